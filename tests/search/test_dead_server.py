"""A searcher whose server stops or dies says so in seconds, whatever it is asked: waited for, awaited, on the shell."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest

from tasb_qdrant import AsyncSearcher, Encoder, Searcher, ingest
from tasb_qdrant.cli.failures import UNREACHABLE
from tasb_qdrant.errors import SearchTimeoutError, ServerUnreachableError
from tests.cli.conftest import Run, run
from tests.models import minilm_folder
from tests.qdrant_servers import QdrantServer, free_port
from tests.search.conftest import BEES, CORPUS
from tests.waiting import errors_of, opened, sooner_than

__all__ = ["run"]  # the fixture

SHORT: Final = 1.0
MOST: Final = 30.0
"""Seconds: far less than the two minutes for which a load tries."""

STOPPED: Final = (SearchTimeoutError, ServerUnreachableError)
"""Over gRPC the second, where a new connection is waited for: the kernel takes it, and the server says nothing."""

CALLS: Final[dict[str, Callable[[Any], Any]]] = {
    "search": lambda s: s.search(BEES),
    "search with a filter": lambda s: s.search(BEES, where="year > 1900"),
    "search by words": lambda s: s.search(BEES, mode="bm25"),
    "hybrid search": lambda s: s.search(BEES, mode="hybrid"),
    "search_batch": lambda s: s.search_batch([BEES] * 300),
    "search_groups": lambda s: s.search_groups(BEES, by="topic"),
    "more_like_this": lambda s: s.more_like_this("bees-waggle-dance"),
    "rerank": lambda s: s.rerank(BEES, ["bees-waggle-dance"]),
    "count": lambda s: s.count(),
    "facet": lambda s: s.facet("topic"),
    "get": lambda s: s.get(["bees-waggle-dance"]),
    "info": lambda s: s.info(),
}
WALKS: Final[dict[str, Callable[[Any], Any]]] = {
    "search_pages": lambda s: s.search_pages(BEES),
    "scroll": lambda s: s.scroll(),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Iterator[QdrantServer]:
    with QdrantServer.start("1.17.0", tmp_path_factory.mktemp("stopping")) as started:
        ingest(
            CORPUS,
            collection="c",
            url=started.url,
            grpc_port=started.grpc_port,
            encoder=encoder,
            bm25=True,
        )
        yield started


@pytest.mark.slow(4)
@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_every_call_ends_in_seconds_when_the_server_stops(
    server: QdrantServer, encoder: Encoder, transport: Any
) -> None:
    where: dict[str, Any] = {"url": server.url, "grpc_port": server.grpc_port, "transport": transport}
    with opened(lambda: Searcher("c", encoder=encoder, read_timeout=SHORT, **where), *STOPPED) as searcher:
        server.pause()
        try:
            calls: dict[str, Callable[[], Any]] = {name: partial(call, searcher) for name, call in CALLS.items()}
            calls |= {name: partial(_walked, walk, searcher) for name, walk in WALKS.items()}
            errors = errors_of(calls, sooner=MOST)
        finally:
            server.resume()
    for name, error in errors.items():
        assert isinstance(error, SearchTimeoutError), f"{name}: {error!r}"
        assert re.search(r"(no answer within|timeout of) 1 s", str(error)), f"{name}: {error}"


def _walked(walk: Callable[[Any], Any], searcher: Searcher) -> list[Any]:
    return list(walk(searcher))


@pytest.mark.slow(4)
@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_every_awaited_call_ends_in_seconds_when_the_server_stops(
    server: QdrantServer, encoder: Encoder, transport: Any
) -> None:
    async def walked(walk: Callable[[Any], Any], searcher: AsyncSearcher) -> list[Any]:
        return [each async for each in walk(searcher)]

    async def ask_all() -> None:
        where: dict[str, Any] = {"url": server.url, "grpc_port": server.grpc_port, "transport": transport}
        async with AsyncSearcher("c", encoder=encoder, read_timeout=SHORT, **where) as searcher:
            server.pause()
            try:
                begun = {name: call(searcher) for name, call in CALLS.items()}
                begun |= {name: walked(walk, searcher) for name, walk in WALKS.items()}
                with sooner_than(MOST):
                    ended = await asyncio.gather(*begun.values(), return_exceptions=True)
            finally:
                server.resume()
        for name, error in zip(begun, ended, strict=True):
            assert isinstance(error, STOPPED), f"{name}: {error!r}"

    asyncio.run(ask_all())


def test_a_searcher_opens_or_fails_in_seconds(server: QdrantServer, encoder: Encoder) -> None:
    async def open_async(url: str) -> None:
        async with AsyncSearcher("c", encoder=encoder, url=url, read_timeout=SHORT):
            pass

    server.pause()
    try:
        for url in (server.url, f"http://127.0.0.1:{free_port()}"):
            with sooner_than(MOST), pytest.raises(ServerUnreachableError, match="correct --url"):
                Searcher("c", encoder=encoder, url=url, read_timeout=SHORT)
            with sooner_than(MOST), pytest.raises(ServerUnreachableError, match="correct --url"):
                asyncio.run(open_async(url))
    finally:
        server.resume()


def test_the_command_line_ends_in_seconds_too(run: Run) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        hole = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for url in (hole, f"http://127.0.0.1:{free_port()}"):
            where = ("--url", url, "--read-timeout", "1")
            for command in (
                ("search", "bees", "--collection", "c", *where),
                ("collection", "list", *where),
                ("collection", "info", "--collection", "c", *where),
            ):
                with sooner_than(MOST):
                    ran = run(*command)
                assert ran.code == UNREACHABLE
                assert "correct --url" in ran.err


def test_an_answer_on_the_command_line_is_not_waited_for_longer(
    run: Run, server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stops between opening and the question."""
    from tasb_qdrant.cli import asking

    real = asking.ask_once

    def ask(*arguments: Any) -> None:
        server.pause()
        try:
            real(*arguments)
        finally:
            server.resume()

    monkeypatch.setattr(asking, "ask_once", ask)
    where = ("--url", server.url, "--grpc-port", str(server.grpc_port), "--model", str(minilm_folder()))
    with sooner_than(MOST * 2):
        ran = run("search", "bees", "--collection", "c", "--read-timeout", "1", *where)
    assert ran.code == UNREACHABLE
    assert re.search(r"(searching|reading the collection's state): no answer within 1 s", ran.err)
