"""Every call ends by its deadline, all of its requests and its encoding included, whatever the server or the encoder
does with its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tasb_qdrant import AsyncSearcher, F, Passage, Searcher, ingest, open_collection
from tasb_qdrant.cli.failures import UNREACHABLE
from tasb_qdrant.collection.open import open_store
from tasb_qdrant.errors import CollectionError, SearchTimeoutError, ServerBusyError, ServerUnreachableError
from tasb_qdrant.manage.listing import collection_names, list_collections
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.cli.conftest import Run, run
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer
from tests.trickling import Pace, SlowWay
from tests.waiting import opened, sooner_than, until

__all__ = ["run"]  # the fixture

SHORT: Final = 0.3
LONG: Final = 25.0
"""Seconds: what waiting for the trickling answer would take is longer."""

PASSAGES: Final = [Passage(f"p{n}", f"passage number {n}", payload={"n": n, "k": "ab"[n % 2]}) for n in range(40)]
LATE: Final = (SearchTimeoutError, ServerUnreachableError)
"""Over gRPC the second, where a new connection is waited for."""

# Each asks for a field of its own: what is known of the others would spare a request.
CALLS: Final[dict[str, Callable[[Any], Any]]] = {
    "search": lambda s: s.search("passage", timeout=SHORT),
    "search with an indexed field": lambda s: s.search("passage", where=F("n") > 3, timeout=SHORT),
    "search with a new field": lambda s: s.search("passage", where="a1 = 1", timeout=SHORT),
    "search by words": lambda s: s.search("passage", mode="bm25", timeout=SHORT),
    "hybrid": lambda s: s.search("passage", mode="hybrid", timeout=SHORT),
    "diverse": lambda s: s.search("passage", diversity=0.5, timeout=SHORT),
    "best_per": lambda s: s.search("passage", best_per="k", timeout=SHORT),
    "search_batch": lambda s: s.search_batch(["passage"] * 120, timeout=SHORT),
    "search_groups": lambda s: s.search_groups("passage", by="k", timeout=SHORT),
    "more_like_this": lambda s: s.more_like_this("p1", timeout=SHORT),
    "recommend": lambda s: s.recommend(["p1"], where="a2 = 1", timeout=SHORT),
    "rerank": lambda s: s.rerank("passage", ["p1", "p2"], timeout=SHORT),
    "count": lambda s: s.count(timeout=SHORT),
    "count with a filter": lambda s: s.count("a3 = 1", timeout=SHORT),
    "facet": lambda s: s.facet("k", timeout=SHORT),
    "facet with a filter": lambda s: s.facet("k", where="a4 = 1", timeout=SHORT),
    "get": lambda s: s.get(["p1"], timeout=SHORT),
    "info": lambda s: s.info(),
    "delete": lambda s: s.delete(["p1"]),
    "delete_where": lambda s: s.delete_where("n = 1"),
    "patch": lambda s: s.patch(["p1"], {"n": 2}),
    "patch_where": lambda s: s.patch_where("n = 1", {"n": 2}),
    "replace": lambda s: s.replace(Passage("p1", "another")),
}
WALKS: Final[dict[str, Callable[[Any], Any]]] = {
    "search_pages": lambda s: s.search_pages("passage", timeout=SHORT),
    "search_pages with a filter": lambda s: s.search_pages("passage", where="a5 = 1", timeout=SHORT),
    "scroll": lambda s: s.scroll(timeout=SHORT),
    "scroll with a filter": lambda s: s.scroll("a6 = 1", timeout=SHORT),
    "scroll in an order": lambda s: s.scroll(order_by="n", timeout=SHORT),
}


@pytest.fixture(scope="module")
def server(qdrant_1_17: QdrantServer) -> Iterator[QdrantServer]:
    ingest(
        PASSAGES,
        collection="deadlines",
        url=qdrant_1_17.url,
        grpc_port=qdrant_1_17.grpc_port,
        encoder=StubEncoder(),
        settings=CollectionSettings(indexes={"n": "integer", "k": "keyword"}),
        bm25=True,
    )
    yield qdrant_1_17
    with closing(open_store(url=qdrant_1_17.url, grpc_port=qdrant_1_17.grpc_port)) as store:
        store.delete("deadlines")


@pytest.fixture
def ways(server: QdrantServer) -> Iterator[tuple[SlowWay, SlowWay]]:
    with SlowWay(server.http_port) as rest, SlowWay(server.grpc_port) as grpc:
        yield rest, grpc


def _through(ways: tuple[SlowWay, SlowWay], transport: str, **more: Any) -> dict[str, Any]:
    """Options for a reader whose requests are not retried after their first limit."""
    rest, grpc = ways
    where = {"url": f"http://127.0.0.1:{rest.port}", "grpc_port": grpc.port, "transport": transport}
    return {**where, "timeout": 1.0, "retry_seconds": 0.0, **more}


def _opened(ways: tuple[SlowWay, SlowWay], transport: str) -> Searcher:
    """A searcher that is open, though its second may be too short for that on a busy machine."""
    return opened(lambda: Searcher("deadlines", encoder=StubEncoder(), **_through(ways, transport)), *LATE)


async def _opened_async(ways: tuple[SlowWay, SlowWay], transport: str) -> AsyncSearcher:
    """The same, which has asked already and so is connected."""
    while True:
        searcher = AsyncSearcher("deadlines", encoder=StubEncoder(), **_through(ways, transport))
        try:
            await searcher.__aenter__()
            await searcher.count(timeout=60)
        except LATE:
            await searcher.aclose()
        else:
            return searcher


def _slow(ways: tuple[SlowWay, SlowWay], pace: Pace) -> None:
    for way in ways:
        way.pace = pace


PACES: Final[tuple[Pace, ...]] = ("trickling", "stopped")
TRANSPORTS: Final = ("grpc", "rest")


@pytest.mark.slow(4)
@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_call_ends_by_its_deadline(ways: tuple[SlowWay, SlowWay], transport: str, pace: Pace) -> None:
    with _opened(ways, transport) as searcher:
        searcher.count(timeout=60)  # connected
        _slow(ways, pace)
        calls: dict[str, Callable[[Any], Any]] = {
            **CALLS,
            **{name: partial(_walked, walk) for name, walk in WALKS.items()},
        }
        with ThreadPoolExecutor(len(calls)) as pool, sooner_than(LONG):
            ended = {name: pool.submit(call, searcher) for name, call in calls.items()}
            errors = {name: future.exception() for name, future in ended.items()}
    _check(errors)


def _walked(walk: Callable[[Any], Any], searcher: Searcher) -> list[Any]:
    return list(walk(searcher))


@pytest.mark.slow(4)
@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_awaited_call_ends_by_its_deadline(ways: tuple[SlowWay, SlowWay], transport: str, pace: Pace) -> None:
    async def walked(walk: Callable[[Any], Any], searcher: AsyncSearcher) -> list[Any]:
        return [each async for each in walk(searcher)]

    async def ask_all() -> dict[str, BaseException | None]:
        async with aclosing(await _opened_async(ways, transport)) as searcher:
            _slow(ways, pace)
            begun = {name: call(searcher) for name, call in CALLS.items()}
            begun |= {name: walked(walk, searcher) for name, walk in WALKS.items()}
            ended = await asyncio.gather(*begun.values(), return_exceptions=True)
            return dict(zip(begun, ended, strict=True))

    with sooner_than(LONG):
        errors = asyncio.run(ask_all())
    _check(errors)


def _check(errors: dict[str, Any]) -> None:
    """Each of them failed for the lack of an answer, and says for how long that was waited for."""
    for name, error in errors.items():
        assert isinstance(error, (*LATE, ServerBusyError)), f"{name}: {error!r}"
        if isinstance(error, SearchTimeoutError):
            assert error.timeout in (SHORT, 1.0), name


OPENERS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "Searcher": lambda where: Searcher("deadlines", encoder=StubEncoder(), **where),
    "open_collection": lambda where: open_collection("deadlines", **where),
    "open_store": lambda where: open_store(**where),
    "list_collections": lambda where: list_collections(store_settings(**where)),
    "collection_names": lambda where: collection_names(store_settings(**where)),
    "AsyncSearcher": lambda where: asyncio.run(AsyncSearcher("deadlines", encoder=StubEncoder(), **where).__aenter__()),
}


@pytest.mark.parametrize("pace", PACES)
def test_every_opener_ends_by_its_deadline(ways: tuple[SlowWay, SlowWay], pace: Pace) -> None:
    _slow(ways, pace)
    where = _through(ways, "auto", timeout=SHORT)
    with ThreadPoolExecutor(len(OPENERS)) as pool, sooner_than(LONG):
        ended = {name: pool.submit(opener, where) for name, opener in OPENERS.items()}
        for name, future in ended.items():
            assert isinstance(future.exception(), ServerUnreachableError), name


@pytest.mark.parametrize("transport", ["auto", "grpc"])
def test_a_grpc_port_that_says_nothing_is_not_waited_for_beyond_the_deadline(
    ways: tuple[SlowWay, SlowWay], transport: str
) -> None:
    """REST answers at once; with auto, REST is then used."""
    ways[1].pace = "stopped"
    with sooner_than(LONG), suppress(ServerUnreachableError, SearchTimeoutError):
        Searcher("deadlines", encoder=StubEncoder(), **_through(ways, transport)).close()


@pytest.mark.parametrize("pace", PACES)
def test_the_command_line_keeps_its_timeout(run: Run, ways: tuple[SlowWay, SlowWay], pace: Pace) -> None:
    _slow(ways, pace)
    at = ("--url", f"http://127.0.0.1:{ways[0].port}", "--grpc-port", str(ways[1].port), "--timeout", str(SHORT))
    for command in (
        ("search", "passage", "--collection", "deadlines", *at),
        ("collection", "list", *at),
        ("collection", "info", "--collection", "deadlines", *at),
        ("collection", "index", "list", "--collection", "deadlines", *at),
    ):
        with sooner_than(LONG):
            ran = run(*command)
        assert ran.code == UNREACHABLE, command


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    ingest(PASSAGES, collection="c", path=folder, encoder=StubEncoder())
    return folder


class Busy(StubEncoder):
    """An encoder that takes its time: until `free` is set. `queries` are those that it began with."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.queries: list[str] = []

    def encode_queries(self, texts: Any) -> Any:
        self.queries += texts
        self.free.wait(LONG)
        return super().encode_queries(texts)


def test_an_encoder_that_computes_is_not_waited_for_beyond_the_deadline(embedded: Path) -> None:
    busy = Busy()
    with Searcher("c", path=embedded, encoder=busy) as searcher:
        with sooner_than(LONG), pytest.raises(SearchTimeoutError, match=r"timeout of 0\.3 s \(the encoder"):
            searcher.search("first", timeout=SHORT)
        with pytest.raises(SearchTimeoutError):  # waits behind it
            searcher.search("second", timeout=SHORT)
        with pytest.raises(SearchTimeoutError):
            searcher.search_batch(["third", "fourth"], timeout=SHORT)
        busy.free.set()
        assert searcher.search("fifth", timeout=LONG)
    assert busy.queries == ["first", "fifth"]  # what had no time left was never begun


def test_the_same_awaited(embedded: Path) -> None:
    busy = Busy()

    async def ask() -> None:
        async with AsyncSearcher("c", path=embedded, encoder=busy) as searcher:
            first = asyncio.create_task(searcher.search("first", timeout=SHORT))
            while not busy.queries:
                await asyncio.sleep(0.01)
            late = [searcher.search("second", timeout=SHORT), searcher.search_batch(["third", "4"], timeout=SHORT)]
            with sooner_than(LONG):
                ended = await asyncio.gather(first, *late, return_exceptions=True)
            assert [type(each) for each in ended] == [SearchTimeoutError] * 3
            busy.free.set()
            assert await searcher.search("fifth", timeout=LONG)

    asyncio.run(ask())
    assert busy.queries == ["first", "fifth"]


def test_another_call_that_has_the_embedded_collection_is_not_waited_for(embedded: Path) -> None:
    """Such as a build of the index, which takes minutes."""
    began, over = threading.Event(), threading.Event()

    def build(collection: Any) -> None:
        with collection._shard.engine("building"):
            began.set()
            over.wait(LONG)

    with Searcher("c", path=embedded, encoder=StubEncoder()) as searcher, ThreadPoolExecutor(1) as pool:
        building = pool.submit(build, searcher.collection)
        began.wait(LONG)
        with sooner_than(LONG), pytest.raises(SearchTimeoutError, match="another call"):
            searcher.search("passage", timeout=SHORT)
        over.set()
        building.result()
        assert searcher.search("passage", timeout=LONG)


def test_a_cross_encoder_is_not_waited_for_beyond_the_deadline(embedded: Path) -> None:
    over = threading.Event()

    class Crossing:
        def score(self, query: str, texts: list[str]) -> list[float]:
            over.wait(LONG)
            return [0.0] * len(texts)

    crossing: Any = Crossing()

    async def ask() -> None:
        async with AsyncSearcher("c", path=embedded, encoder=StubEncoder()) as searcher:
            try:
                with pytest.raises(SearchTimeoutError):
                    await searcher.rerank("passage", ["p1"], cross_encoder=crossing, timeout=SHORT)
            finally:
                over.set()

    with sooner_than(LONG):
        with Searcher("c", path=embedded, encoder=StubEncoder()) as searcher, pytest.raises(SearchTimeoutError):
            searcher.rerank("passage", ["p1"], cross_encoder=crossing, timeout=SHORT)
        over.set()
        over.clear()
        asyncio.run(ask())


def test_an_error_of_the_encoder_is_its_own(embedded: Path) -> None:
    class Failing(StubEncoder):
        def encode_queries(self, texts: Any) -> Any:
            raise TimeoutError("the model's own")

    async def ask() -> None:
        async with AsyncSearcher("c", path=embedded, encoder=Failing()) as searcher:
            await searcher.search_batch(["a", "b"], timeout=LONG)

    with Searcher("c", path=embedded, encoder=Failing()) as searcher, pytest.raises(TimeoutError, match="the model's"):
        searcher.search("a", timeout=LONG)
    with pytest.raises(TimeoutError, match="the model's"):
        asyncio.run(ask())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_closing_amid_searches_is_named_and_cancelling_stays_cancelling(
    ways: tuple[SlowWay, SlowWay], transport: str
) -> None:
    async def ask() -> None:
        options = _through(ways, transport, timeout=60.0)
        async with AsyncSearcher("deadlines", encoder=StubEncoder(), **options) as searcher:
            await searcher.count()
            _slow(ways, "stopped")
            searches = [asyncio.create_task(searcher.search(f"passage {n}")) for n in range(8)]
            late = asyncio.create_task(asyncio.wait_for(searcher.search("late"), SHORT))
            await asyncio.wait([late])
            assert isinstance(late.exception(), TimeoutError)  # the caller's own limit
            searches[0].cancel()
            await asyncio.wait([searches[0]])
        assert searches[0].cancelled()
        with sooner_than(LONG):
            ended = await asyncio.gather(*searches[1:], return_exceptions=True)
        assert {type(each) for each in ended} == {CollectionError}
        with pytest.raises(CollectionError, match="is not open"):
            await searcher.search("passage")

    asyncio.run(ask())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_closing_a_searcher_amid_searches_of_other_threads_is_named(
    ways: tuple[SlowWay, SlowWay], transport: str
) -> None:
    searcher = Searcher("deadlines", encoder=StubEncoder(), **_through(ways, transport, timeout=60.0))
    answered = threading.Event()

    def search() -> BaseException | None:
        try:
            while True:
                searcher.search("passage")
                answered.set()
        except Exception as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        ended = [pool.submit(search) for _ in range(4)]
        until(answered.is_set, "an answer")
        searcher.close()
        assert {type(each.result()) for each in ended} == {CollectionError}


def test_an_async_searcher_in_another_event_loop_is_refused(embedded: Path) -> None:
    searcher = AsyncSearcher("c", path=embedded, encoder=StubEncoder())
    one = asyncio.new_event_loop()
    one.run_until_complete(searcher.__aenter__())
    with pytest.raises(CollectionError, match="was opened in another event loop"):
        asyncio.run(searcher.count())
    asyncio.run(searcher.aclose())
    one.close()
