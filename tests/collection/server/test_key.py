"""Where the API key goes, and where it is shown: to the server that a person named, and nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import traceback
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

from tasb_qdrant import AsyncSearcher, Searcher, ingest
from tasb_qdrant.collection.open import open_store_at
from tasb_qdrant.collection.server.connection import connect
from tasb_qdrant.collection.server.key import HiddenText, for_peer, without_frames
from tasb_qdrant.errors import ServerUnreachableError, SettingsError, TasbQdrantError
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import StoreSettings, Transport, store_settings
from tests.collection.faults import HttpFault, HttpProxy
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer, free_port

SECRET = "s3cret-4711-key"


@contextlib.contextmanager
def _stranger() -> Iterator[tuple[int, list[tuple[str, object]]]]:
    """A gRPC server that is not Qdrant; what it was called, and with which key."""
    told: list[tuple[str, object]] = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            told.append((handler_call_details.method, dict(handler_call_details.invocation_metadata).get("api-key")))
            return None

    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, told
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("transport", ["auto", "grpc"])
def test_what_listens_on_the_grpc_port_is_known_before_it_sees_the_key(
    keyed_server: QdrantServer, transport: Transport
) -> None:
    with _stranger() as (port, told):
        settings = store_settings(
            url=keyed_server.url, grpc_port=port, api_key=keyed_server.api_key, transport=transport
        )
        if transport == "auto":
            connection = connect(settings)
            assert (connection.transport, len(connection.notes)) == ("rest", 1)
            connection.close()
        else:
            with pytest.raises(ServerUnreachableError, match="gRPC can't be used"):
                connect(settings)
        assert told
        assert {key for _, key in told} == {None}


def test_another_program_at_the_url_never_sees_the_key() -> None:
    for answer in (b"{}", b'{"title": "a shop", "version": "1.17.0"}', b"<html>"):
        with HttpProxy() as proxy:
            proxy.when = lambda *_: True
            proxy.always = HttpFault(200, {"content-type": "application/json"}, answer)
            with pytest.raises(ServerUnreachableError, match="isn't a Qdrant server"):
                open_store_at(store_settings(url=proxy.url, api_key=SECRET))
            assert proxy.headers
            assert not [headers for headers in proxy.headers if "api-key" in {name.lower() for name in headers}]


def test_a_gateway_that_wants_the_key_for_everything_gets_it(keyed_server: QdrantServer) -> None:
    with HttpProxy(keyed_server) as proxy:
        proxy.when = lambda _, path: path == "/"
        proxy.script.append(HttpFault(401))
        settings = store_settings(url=proxy.url, api_key=keyed_server.api_key, transport="rest")
        connect(settings).close()
        keys = [{name.lower(): value for name, value in one.items()}.get("api-key") for one in proxy.headers]
        assert keys[:2] == [None, keyed_server.api_key]


def _resolving(monkeypatch: pytest.MonkeyPatch, **hosts: list[str]) -> None:
    def found(host: str, *_: object) -> list[tuple[object, ...]]:
        if host not in hosts:
            raise socket.gaierror
        return [(0, 0, 0, "", (address, 0)) for address in hosts[host]]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_a_host_that_a_server_names_gets_the_key_only_at_the_addresses_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _resolving(monkeypatch, all=["10.0.0.1", "10.0.0.2"], node=["10.0.0.2"], other=["10.0.0.2", "6.6.6.6"])
    for url, named, allowed in (
        ("https://all:6333", [], True),
        ("https://node:6333", [], True),
        ("https://other:6333", [], False),
        ("https://nowhere:6333", [], False),
        ("https://169.254.169.254:6333", [], False),
        ("https://other:7000", ["https://other:6333"], True),
        ("https://other.:7000", ["https://other:6333"], True),
    ):
        found = for_peer(store_settings(url="https://all:6333", api_key=SECRET), url, named=named)
        assert (found is not None) is allowed, url
        keyless = for_peer(store_settings(url="https://all:6333", api_key=""), url, named=named)
        assert keyless is not None, url


def test_plain_http_is_allowed_for_the_host_that_it_was_said_of(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, all=["10.0.0.1", "10.0.0.2"], node=["10.0.0.2"], other=["6.6.6.6"])
    first = store_settings(url="http://all:6333", api_key=SECRET, allow_plain_http_key=True)
    assert not first.at("http://other:6333", transport="rest").allow_plain_http_key
    for url, named in (("http://node:6333", ()), ("http://other:6333", ("http://other:6333",))):
        found = for_peer(first, url, named=named)
        assert found is not None
        assert found.allow_plain_http_key
    assert for_peer(first, "http://other:6333", named=()) is None


def _frames(error: BaseException) -> str:
    """What a reporter of errors shows: every frame of the error, and of those before it, with its variables."""
    shown: list[str] = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        stack = traceback.TracebackException.from_exception(one, capture_locals=True).stack
        shown += [f"{name}={value}" for frame in stack[1:] for name, value in (frame.locals or {}).items()]
        waiting += [one.__cause__, one.__context__]
    return "\n".join(shown)


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_no_variable_of_a_frame_shows_the_key(keyed_server: QdrantServer, transport: Transport) -> None:
    key = keyed_server.api_key
    assert key is not None
    there: dict[str, Any] = {"url": keyed_server.url, "grpc_port": keyed_server.grpc_port, "transport": transport}
    encoder, name = StubEncoder(), f"frames-{transport}"

    def fail(_: int) -> None:
        raise RuntimeError("the encoder fails")

    def search_what_is_gone() -> None:
        ingest([Passage("1", "bees")], collection=name, api_key=key, encoder=encoder, **there)
        with Searcher(name, api_key=key, encoder=encoder, **there) as searcher:
            store = open_store_at(store_settings(api_key=key, **there))
            store.delete(name)
            store.close()
            searcher.search("bees", exact=True)

    async def search_what_was_never() -> None:
        async with AsyncSearcher("never", api_key=key, encoder=encoder, **there) as searcher:
            await searcher.search("bees")

    dead: dict[str, Any] = {"url": f"http://127.0.0.1:{free_port()}", "transport": transport}
    failing = StubEncoder(before_encode=fail)
    for attempt in (
        lambda: Searcher("never", api_key=key, encoder=encoder, **there),
        lambda: Searcher("never", api_key=key, encoder=encoder, **dead),
        lambda: open_store_at(store_settings(api_key=key, **dead)),
        lambda: Searcher("never", api_key=f"{key}x", encoder=encoder, **there),
        lambda: ingest([Passage("1", "bees")], collection="x", api_key=key, encoder=failing, **there),
        lambda: ingest([Passage("1", "bees")], collection="x", api_key=key, encoder=encoder, **dead),
        search_what_is_gone,
        lambda: asyncio.run(search_what_was_never()),
    ):
        with pytest.raises((TasbQdrantError, RuntimeError)) as caught:
            attempt()
        shown = _frames(caught.value)
        assert shown
        # The frames of this test know the key, and its own variables are named for it.
        ours = [line for line in shown.splitlines() if key in line and not line.startswith(("key=", "there="))]
        assert not ours, ours


def test_the_key_looks_like_asterisks_and_is_sent_as_it_is() -> None:
    key = HiddenText(SECRET)
    headers = {"api-key": key}
    assert SECRET not in repr(headers) + repr([("api-key", key)]) + repr(key.encode("ascii"))
    assert (key, key.encode("ascii"), key.encode()) == (SECRET, SECRET.encode(), SECRET.encode())
    assert SECRET not in repr(key.encode("ascii").decode("ascii"))


def test_an_errors_frames_are_left_out_with_those_of_what_it_was_made_from() -> None:
    try:
        try:
            raise ValueError("first")
        except ValueError as first:
            raise KeyError("second") from first
    except KeyError as second:
        bare = without_frames(second)
    assert bare.__traceback__ is None
    assert bare.__cause__ is not None
    assert bare.__cause__.__traceback__ is None


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@127.0.0.1:6333",
        f"http://user:{SECRET}",
        f"http://127.0.0.1:6333/?api-key={SECRET}",
        f"http://127.0.0.1:6333/#{SECRET}",
        SECRET,
        f"api-key:{SECRET}",
        f"{SECRET}@host",
        f"https:{SECRET}",
    ],
)
def test_a_key_in_the_place_of_a_url_is_not_repeated(url: str) -> None:
    first = StoreSettings(url="http://127.0.0.1:6333")
    attempts: tuple[Any, ...] = (
        lambda: store_settings(url=url),
        lambda: store_settings(url=url, path="folder"),
        lambda: StoreSettings(url=url),
        lambda: first.at(url, transport="rest"),
    )
    for attempt in attempts:
        with pytest.raises(SettingsError) as caught:
            attempt()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
