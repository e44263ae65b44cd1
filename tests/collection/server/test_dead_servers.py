"""Whoever reads from a server that has died is told so in seconds, and what to do, however it died."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pytest

from tasb_qdrant.collection.open import open_collection, open_for_writing, open_store, open_store_at
from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.collection.reads.questions import Nearest, QueryOptions, ReadOptions
from tasb_qdrant.collection.server.connection import Patience
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import CollectionError, SearchTimeoutError, ServerUnreachableError
from tasb_qdrant.manage.listing import list_collections
from tasb_qdrant.settings import READ_SECONDS, CollectionSettings, StoreSettings, Transport, store_settings
from tests.collection.faults import HttpFault, HttpProxy
from tests.collection.helpers import CONTRACT, fill
from tests.qdrant_servers import QdrantServer, free_port
from tests.waiting import errors_of, opened, sooner_than

TRANSPORTS: Final[tuple[Transport, ...]] = ("grpc", "rest")
SHORT: Final = 2.0
"""Seconds that the tests allow a read, so as not to wait for the default each time."""
MOST: Final = 30.0
"""What is far more than that on the busiest machine, and far less than the two minutes of a load."""

READS: Final[dict[str, Callable[[OpenCollection], object]]] = {
    "query": lambda c: c.reads.query([Nearest(_VECTOR)], QueryOptions()),
    "many queries": lambda c: c.reads.query([Nearest(_VECTOR)] * 500, QueryOptions()),
    "groups": lambda c: c.reads.query_groups(Nearest(_VECTOR), QueryOptions(), by="n", size=2),
    "facet": lambda c: c.reads.facet("n"),
    "scroll": lambda c: c.reads.scroll(),
    "retrieve": lambda c: c.reads.retrieve([1]),
    "count": lambda c: c.reads.count(),
    "sample": lambda c: c.reads.sample(1),
    "info": lambda c: c.info(),
    "indexes": lambda c: c.indexes(),
}

_VECTOR: Any = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """One that this module may stop and kill, with a collection `c`."""
    global _VECTOR
    with QdrantServer.start("1.17.0", tmp_path_factory.mktemp("dying")) as started:
        store = open_store_at(_settings(started))
        settings = CollectionSettings(indexes={"n": "integer"})
        with open_for_writing("c", store, contract=CONTRACT, settings=settings) as collection:  # type: ignore[attr-defined]  # a server's can
            _VECTOR = fill(collection, 20)[0]
        store.close()
        yield started


def _settings(server: QdrantServer, transport: Transport = "grpc", **more: Any) -> StoreSettings:
    return store_settings(url=server.url, grpc_port=server.grpc_port, transport=transport, **more)


def _opened(server: QdrantServer, transport: Transport, read_timeout: float | None = SHORT) -> OpenCollection:
    where: dict[str, Any] = {"url": server.url, "grpc_port": server.grpc_port, "transport": transport}
    return opened(
        lambda: open_collection("c", read_timeout=read_timeout, **where), SearchTimeoutError, ServerUnreachableError
    )


@contextmanager
def _stopped(server: QdrantServer) -> Iterator[None]:
    """SIGSTOP: the kernel takes connections, and nothing is answered."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def _killed(server: QdrantServer) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.restart()


@contextmanager
def _black_hole() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


@pytest.mark.slow(4)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_read_of_a_server_that_stopped_ends_in_seconds(server: QdrantServer, transport: Transport) -> None:
    with _opened(server, transport) as collection:
        collection.reads.count()
        with _stopped(server):
            errors = errors_of({name: partial(read, collection) for name, read in READS.items()}, sooner=MOST)
        for name, error in errors.items():
            assert isinstance(error, SearchTimeoutError), f"{name}: {error!r}"
            assert re.search(r"no answer within 2 s .*--read-timeout", str(error)), name
        assert collection.reads.count() == 20  # and it is well again


@pytest.mark.slow(4)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_read_of_a_server_that_died_ends_in_seconds(server: QdrantServer, transport: Transport) -> None:
    with _opened(server, transport) as collection:
        collection.reads.count()
        with _killed(server):
            errors = errors_of({name: partial(read, collection) for name, read in READS.items()}, sooner=MOST)
        for name, error in errors.items():
            assert isinstance(error, ServerUnreachableError), f"{name}: {error!r}"
            assert re.search(r"nothing answers there .*start the", str(error)), name


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_awaited_reads_end_as_soon(server: QdrantServer, transport: Transport) -> None:
    async def ask(collection: OpenCollection, count: int) -> None:
        reads = collection.async_reads()
        try:
            await reads.run(collection.reads.steps.query([Nearest(_VECTOR)] * count, QueryOptions()))
        finally:
            await reads.aclose()

    with _opened(server, transport) as collection, _stopped(server):
        for count in (1, 500):
            # Over gRPC a new connection, which the kernel takes, may be what nobody answers on.
            with sooner_than(MOST), pytest.raises((SearchTimeoutError, ServerUnreachableError)):
                asyncio.run(ask(collection, count))


@pytest.mark.slow(12)
def test_ten_seconds_are_the_default(server: QdrantServer) -> None:
    with _opened(server, "grpc", None) as collection, _stopped(server), sooner_than(MOST + READ_SECONDS):
        began = time.monotonic()
        with pytest.raises(SearchTimeoutError, match="no answer within 10 s"):
            collection.reads.count()
        assert time.monotonic() - began >= READ_SECONDS - 0.5
    assert store_settings(url="http://h", timeout=3).read_seconds == 3
    assert store_settings(url="http://h", timeout=3, read_timeout=60).read_seconds == 60


def test_a_reads_own_timeout_goes_before_the_stores(server: QdrantServer) -> None:
    with (
        _opened(server, "rest", 600) as collection,
        _stopped(server),
        sooner_than(MOST),
        pytest.raises(SearchTimeoutError, match=r"no answer within 0\.3 s"),
    ):
        collection.reads.count(read=ReadOptions(timeout=0.3))


@pytest.mark.parametrize("transport", ["auto", *TRANSPORTS])
def test_opening_a_server_that_says_nothing_ends_in_seconds(server: QdrantServer, transport: Transport) -> None:
    with _black_hole() as port:
        holes: list[dict[str, Any]] = [{"url": f"http://127.0.0.1:{port}"}]
        if transport == "grpc":
            holes.append({"url": server.url, "grpc_port": port})
        for hole in holes:
            options = {**hole, "transport": transport, "read_timeout": SHORT}
            for opening in (lambda o=options: open_collection("c", **o), lambda o=options: open_store(**o)):
                with (
                    sooner_than(MOST),
                    pytest.raises(ServerUnreachableError, match=r"correct --url|name its port with"),
                ):
                    opening()
            with sooner_than(MOST), pytest.raises(ServerUnreachableError):
                list_collections(store_settings(**options))
    nowhere = store_settings(url=f"http://127.0.0.1:{free_port()}", transport=transport)
    with sooner_than(MOST), pytest.raises(ServerUnreachableError, match="start the server"):
        ServerStore(nowhere, patient=False)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_opening_a_collection_of_a_store_that_stopped_ends_in_seconds(
    server: QdrantServer, transport: Transport
) -> None:
    store = ServerStore(_settings(server, transport, read_timeout=SHORT), patient=False)
    with _stopped(server):
        for ask in (lambda: store.open("c"), store.names, lambda: store.exists("c")):
            with sooner_than(MOST), pytest.raises(SearchTimeoutError, match="no answer within 2 s"):
                ask()
    store.close()


def test_a_listing_ends_at_the_first_collection_that_is_waited_for_in_vain(server: QdrantServer) -> None:
    store = open_store_at(_settings(server))
    for name in ("d", "e", "f"):
        open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings()).close()
    with HttpProxy(server) as proxy:
        described = proxy.when = lambda method, path: path.startswith("/collections/") and not path.endswith("/exists")
        proxy.always = HttpFault(504, seconds=600)
        settings = store_settings(url=proxy.url, transport="rest", read_timeout=SHORT)
        with sooner_than(MOST), pytest.raises(SearchTimeoutError, match="reading the collection's state"):
            list_collections(settings)
        proxy.delays.end()
        proxy.when = lambda method, path: described(method, path) and path.endswith("/d/points/count")
        listed = {one.name: one for one in list_collections(settings)}
        assert listed["d"].info is None
        assert "counting: no answer within 2 s" in listed["d"].remark
        assert listed["e"].info is not None
        proxy.delays.end()
    for name in ("d", "e", "f"):
        store.delete(name)
    store.close()


def test_loads_stay_patient(server: QdrantServer) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if sum(waits) > 60 and server.process is None:
            server.restart()
            time.sleep(2)  # gRPC has a clock of its own for connecting anew

    store = ServerStore(_settings(server), sleep=wait)
    collection = store.open("c")
    server.kill()
    assert collection.reads.count() == 20
    assert sum(waits) > 60
    store.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_opened_for_reading_waits_longer_for_its_writes(server: QdrantServer, transport: Transport) -> None:
    """A deletion, or an index over every point, may take a server longer than a person waits for an answer."""
    with _opened(server, transport) as collection:
        connection = collection._connection  # type: ignore[attr-defined]  # nothing shows a client's timeout
        assert connection.asking is not connection.client
        assert connection.client._client._timeout == 60
        assert connection.asking._client._timeout == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_building_the_index_outlasts_a_readers_patience(server: QdrantServer, transport: Transport) -> None:
    with _opened(server, transport, 1.0) as collection:
        server.pause()
        woken = threading.Timer(4.0, server.resume)  # longer than a read waits
        woken.start()
        try:
            collection.optimize()
        finally:
            woken.cancel()
            server.resume()
        assert collection.reads.count() == 20


def test_a_readers_patience_holds_for_a_second_try() -> None:
    settings = store_settings(url="http://h", read_timeout=8)
    patience = Patience.to_read(settings)
    assert patience.request + patience.retries == 8
    assert Patience.to_load(settings) == Patience(60, 120, loads=True)


def test_the_error_says_how_often_and_for_how_long_was_tried(server: QdrantServer) -> None:
    with _opened(server, "rest") as collection, _killed(server), pytest.raises(CollectionError) as caught:
        collection.reads.count()
    assert "tries in" in str(caught.value)
