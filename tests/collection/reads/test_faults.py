"""What a read does when requests fail: waits and tries again within its time, and says what is wrong. Never nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
import pytest
from qdrant_client import QdrantClient

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.reads.questions import FindOptions, FoundPoint, Nearest, ReadOptions
from tasb_qdrant.collection.server.collection import ServerCollection
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import (
    CollectionError,
    CollectionNotFoundError,
    RequestRefusedError,
    SearchTimeoutError,
    ServerBusyError,
    ServerOverloadedError,
    ServerUnreachableError,
    UnauthorizedError,
)
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.faults import GrpcFault, GrpcProxy, HttpFault, HttpProxy
from tests.collection.helpers import CONTRACT, fill, fresh_name
from tests.qdrant_servers import QdrantServer
from tests.waiting import sooner_than

Code = grpc.StatusCode

QUICK: Final = FindOptions(read=ReadOptions(timeout=1.0))
SLOW: Final = 60.0
"""Seconds that a server takes which the deadline doesn't wait for."""


@dataclass(frozen=True)
class Asked:
    """A collection behind a proxy, read in one of four ways."""

    collection: ServerCollection
    proxy: Any
    awaited: bool
    over_grpc: bool

    def query(self, options: FindOptions = QUICK, count: int = 1) -> list[list[FoundPoint]]:
        asks = [Nearest(vector) for vector in self.vectors[:count]]
        if not self.awaited:
            return self.collection.reads.query(asks, options)

        async def ask() -> list[list[FoundPoint]]:
            reads = self.collection.async_reads()
            try:
                return await reads.query(asks, options)
            finally:
                await reads.aclose()

        return asyncio.run(ask())

    @property
    def tries(self) -> int:
        seen: int = self.proxy.seen if self.over_grpc else len(self.proxy.seen)
        return seen

    @property
    def vectors(self) -> Any:
        return _VECTORS[self.collection.name]

    def fail(self, code: grpc.StatusCode, status: int, *, seconds: float = 0.0, **more: Any) -> None:
        """Every query from now on."""
        self.proxy.always = self._fault(code, status, seconds=seconds, **more)

    def fail_once(self, code: grpc.StatusCode, status: int, **more: Any) -> None:
        self.proxy.script.append(self._fault(code, status, **more))

    def _fault(
        self, code: grpc.StatusCode, status: int, *, details: str = "a fault", retry_after: str = "", **more: Any
    ) -> Any:
        if self.over_grpc:
            metadata = (("retry-after", retry_after),) if retry_after else ()
            return GrpcFault(code, details, metadata, **more)
        body = f'{{"status":{{"error":"{details}"}}}}'.encode()
        return HttpFault(status, {"retry-after": retry_after} if retry_after else {}, body, **more)


_VECTORS: dict[str, Any] = {}


@pytest.fixture(scope="module", params=["gRPC", "gRPC awaited", "REST", "REST awaited"])
def opened(request: pytest.FixtureRequest, qdrant_1_17: QdrantServer) -> Iterator[Asked]:
    over_grpc, awaited = "gRPC" in request.param, "awaited" in request.param
    with ExitStack() as stack:
        proxy: Any = stack.enter_context(GrpcProxy(qdrant_1_17) if over_grpc else HttpProxy(qdrant_1_17))
        if over_grpc:
            proxy.method = "/qdrant.Points/QueryBatch"
            settings = store_settings(url=qdrant_1_17.url, grpc_port=proxy.port, transport="grpc")
        else:
            proxy.when = lambda method, path: path.split("?")[0].endswith("/points/query/batch")
            settings = store_settings(url=proxy.url, transport="rest")
        store = ServerStore(settings)
        stack.callback(store.close)
        name = fresh_name()
        collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
        assert isinstance(collection, ServerCollection)
        _VECTORS[name] = fill(collection, 60)
        yield Asked(collection, proxy, awaited, over_grpc)
        store.delete(name)


@pytest.fixture
def asked(opened: Asked) -> Iterator[Asked]:
    yield opened
    opened.proxy.always = None
    opened.proxy.script.clear()
    opened.proxy.delays.end()


def test_a_failure_that_passes_is_not_seen(asked: Asked) -> None:
    expected = asked.query()
    asked.fail_once(Code.UNAVAILABLE, 503)
    asked.fail_once(Code.RESOURCE_EXHAUSTED, 429)
    again = asked.query(replace(QUICK, read=ReadOptions(timeout=20)))
    assert [point.id for point in again[0]] == [point.id for point in expected[0]]


def _error(asked: Asked, options: FindOptions = QUICK) -> CollectionError:
    with sooner_than(SLOW), pytest.raises(CollectionError) as caught:
        asked.query(options)
    return caught.value


@pytest.mark.parametrize(
    ("code", "status", "details", "kind", "advice"),
    [
        (Code.UNAUTHENTICATED, 401, "Must provide an API key", UnauthorizedError, "QDRANT_API_KEY"),
        (Code.PERMISSION_DENIED, 403, "Global access is required", UnauthorizedError, "QDRANT_API_KEY"),
        (Code.INVALID_ARGUMENT, 400, "Wrong input: no such thing", RequestRefusedError, "no such thing"),
        (Code.NOT_FOUND, 404, "Not found: Collection `gone` doesn't exist!", CollectionNotFoundError, "--collection"),
    ],
)
def test_what_no_waiting_mends_is_said_at_once_by_name(
    asked: Asked, code: grpc.StatusCode, status: int, details: str, kind: type[CollectionError], advice: str
) -> None:
    asked.fail(code, status, details=details)
    before = asked.tries
    error = _error(asked, replace(QUICK, read=ReadOptions(timeout=20)))
    assert type(error) is kind
    assert advice in str(error)
    assert asked.tries == before + 1


def test_an_overloaded_server_is_asked_again_within_the_deadline_and_then_named(asked: Asked) -> None:
    asked.fail(Code.RESOURCE_EXHAUSTED, 429)
    error = _error(asked)
    assert type(error) is ServerOverloadedError
    assert "ask for less at once" in str(error)
    asked.fail(Code.RESOURCE_EXHAUSTED, 429, retry_after="30", details="Rate limiting")
    before = asked.tries
    error = _error(asked)
    assert type(error) is ServerOverloadedError
    assert asked.tries == before + 1  # the pause that it asks for would end too late


def test_a_server_that_is_away_is_named(asked: Asked) -> None:
    asked.fail(Code.UNAVAILABLE, 502)
    error = _error(asked)
    assert type(error) is (ServerUnreachableError if asked.over_grpc else ServerBusyError)


def test_what_failed_before_the_time_was_over_is_named(asked: Asked) -> None:
    asked.fail_once(Code.RESOURCE_EXHAUSTED, 429)
    asked.fail(Code.UNAVAILABLE, 503, seconds=SLOW)
    error = _error(asked)
    assert type(error) is ServerOverloadedError


def test_a_search_ends_when_its_time_is_over(asked: Asked) -> None:
    asked.fail(Code.UNAVAILABLE, 503, seconds=SLOW)
    error = _error(asked, replace(QUICK, read=ReadOptions(timeout=0.4)))
    assert type(error) is SearchTimeoutError
    assert isinstance(error, SearchTimeoutError)
    assert error.timeout == 0.4
    assert "0.4 s" in str(error)


def test_the_time_is_for_all_tries_together(asked: Asked) -> None:
    asked.fail(Code.UNAVAILABLE, 503, seconds=0.15)
    before = asked.tries
    _error(asked)
    assert asked.tries - before <= 1.0 / 0.15 + 1


def test_a_server_that_says_it_took_too_long_is_a_timeout(asked: Asked) -> None:
    asked.fail(Code.DEADLINE_EXCEEDED, 408, details="Operation 'Search' timed out after 1 seconds")
    error = _error(asked)
    assert type(error) is SearchTimeoutError


def test_half_an_answer_is_none(asked: Asked) -> None:
    for junk in (b"", b"\x0a\x02\x0a", b'{"result":[]}', b'{"result":null}', b'{"resu', b"[]"):
        asked.proxy.always = GrpcFault(answer=junk) if asked.over_grpc else HttpFault(200, body=junk)
        error = _error(asked)
        assert type(error) is ServerBusyError, junk


def test_one_failing_part_of_many_fails_all(asked: Asked) -> None:
    options = FindOptions(limit=50, payload=False, read=ReadOptions(timeout=5))
    assert len(asked.query(options, count=60)) == 60
    asked.fail_once(Code.INVALID_ARGUMENT, 400, details="Wrong input")
    with pytest.raises(RequestRefusedError, match="Wrong input"):
        asked.query(options, count=60)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_collection_that_was_deleted_meanwhile_is_missed_by_name(qdrant_1_17: QdrantServer, transport: Any) -> None:
    name = fresh_name()
    store = ServerStore(store_settings(url=qdrant_1_17.url, grpc_port=qdrant_1_17.grpc_port, transport=transport))
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    assert isinstance(collection, ServerCollection)
    store.delete(name)
    with pytest.raises(CollectionNotFoundError, match=name):
        collection.reads.count_matching(None, exact=True, read=ReadOptions())
    store.close()


def test_a_server_that_stops_is_named(qdrant_1_17: QdrantServer) -> None:
    """The proxy's port is closed: nothing answers there any more."""
    with HttpProxy(qdrant_1_17) as proxy:
        store = ServerStore(store_settings(url=proxy.url, transport="rest"))
        name = fresh_name()
        collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
        assert isinstance(collection, ServerCollection)
    with pytest.raises(ServerUnreachableError, match="start the server"):
        collection.reads.count_matching(None, exact=True, read=ReadOptions(timeout=0.3))
    store.close()
    client = QdrantClient(url=qdrant_1_17.url, check_compatibility=False)
    client.delete_collection(name)
    client.close()


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_key_goes_with_every_read(keyed_server: QdrantServer, transport: Any) -> None:
    settings = store_settings(
        url=keyed_server.url, grpc_port=keyed_server.grpc_port, api_key=keyed_server.api_key, transport=transport
    )
    store = ServerStore(settings)
    name = fresh_name()
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    assert isinstance(collection, ServerCollection)
    asks = [Nearest(vector) for vector in fill(collection, 20)]

    async def awaited() -> list[list[FoundPoint]]:
        reads = collection.async_reads()
        try:
            return await reads.query(asks, FindOptions(limit=1))
        finally:
            await reads.aclose()

    assert len(collection.reads.query(asks, FindOptions(limit=1))) == 20
    assert len(asyncio.run(awaited())) == 20
    store.delete(name)
    store.close()
