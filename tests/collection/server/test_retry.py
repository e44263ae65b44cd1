"""What the server store does when requests fail: waits and tries again, splits, or says what is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.reads.questions import QueryOptions
from tasb_qdrant.collection.server.retry import MAX_WAIT
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import (
    CollectionError,
    RequestRefusedError,
    ServerBusyError,
    ServerUnreachableError,
    UnauthorizedError,
)
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.faults import GrpcFault, GrpcProxy, HttpFault, HttpProxy
from tests.collection.helpers import (
    CONTRACT,
    fill,
    fresh_name,
    passages,
    payloads_of,
    random_vectors,
    search,
)
from tests.qdrant_servers import QdrantServer

Code = grpc.StatusCode


@dataclass
class Waits:
    """Stands for `time.sleep`: keeps what was slept, and takes no time."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@contextmanager
def _store(
    url: str, *, waits: Waits, grpc_port: int | None = None, retry_seconds: float = 120.0
) -> Iterator[ServerStore]:
    settings = store_settings(
        url=url, grpc_port=grpc_port, transport="grpc" if grpc_port else "rest", retry_seconds=retry_seconds
    )
    store = ServerStore(settings, sleep=waits)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _collection(store: ServerStore) -> Iterator[Collection]:
    name = fresh_name()
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    try:
        yield collection
    finally:
        collection.close()
        store.delete(name)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def rest(qdrant_1_17: QdrantServer, waits: Waits) -> Iterator[tuple[HttpProxy, Collection]]:
    with (
        HttpProxy(qdrant_1_17) as proxy,
        _store(proxy.url, waits=waits) as store,
        _collection(store) as collection,
    ):
        yield proxy, collection
        proxy.always = None


@pytest.fixture
def over_grpc(qdrant_1_17: QdrantServer, waits: Waits) -> Iterator[tuple[GrpcProxy, Collection]]:
    with (
        GrpcProxy(qdrant_1_17) as proxy,
        _store(qdrant_1_17.url, grpc_port=proxy.port, waits=waits) as store,
        _collection(store) as collection,
    ):
        yield proxy, collection
        proxy.always = None


def _batch(count: int = 3, *, seed: int = 0) -> PointBatch:
    return PointBatch(passages(range(count)), random_vectors(count, seed=seed))


def _status(status: str) -> bytes:
    return b'{"result":{"operation_id":1,"status":"%s"},"status":"ok","time":0.0}' % status.encode()


PASSING_HTTP = {
    "408": HttpFault(408),
    "412": HttpFault(412),
    "429": HttpFault(429),
    "429, retry-after 0": HttpFault(429, {"retry-after": "0"}),
    "429, retry-after 7": HttpFault(429, {"retry-after": "7"}),
    "429, retry-after -7": HttpFault(429, {"retry-after": "-7"}),
    "429, retry-after junk": HttpFault(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    "429, retry-after 1e9": HttpFault(429, {"retry-after": "1000000000"}),
    "429, no body": HttpFault(429, {"retry-after": "1"}, body=b""),
    "500": HttpFault(500),
    "502": HttpFault(502, body=b"<html>Bad Gateway</html>"),
    "503": HttpFault(503),
    "504": HttpFault(504),
    "504, but it was done": HttpFault(504, late=True),
    "storage locked": HttpFault(403, body=b'{"status":{"error":"Forbidden: storage is locked"}}'),
    "reset": HttpFault(reset=True),
    "acknowledged": HttpFault(200, body=_status("acknowledged")),
    "wait_timeout": HttpFault(200, body=_status("wait_timeout")),
    "HTML": HttpFault(200, body=b"<html>A proxy's page</html>"),
    "other JSON": HttpFault(200, body=b'{"result": 5}'),
    "binary": HttpFault(200, body=b"\xff\xfe\x00"),
    "nothing": HttpFault(200, body=b""),
    "not gzip": HttpFault(200, {"content-encoding": "gzip"}, body=b"plain"),
}


def test_over_rest_what_may_pass_is_tried_again(rest: tuple[HttpProxy, Collection], waits: Waits) -> None:
    proxy, collection = rest
    for seed, (name, fault) in enumerate(PASSING_HTTP.items()):  # each batch is a new one: what is there counts
        proxy.seen.clear()
        waits.seconds.clear()
        proxy.script.append(fault)
        collection.upsert(_batch(seed=seed))
        assert len(proxy.seen) == 2, name
        (waited,) = waits.seconds
        if "retry-after 7" in name:
            assert waited == 7
        elif "1e9" in name:
            assert waited == MAX_WAIT
        else:
            assert 0 <= waited <= 1, name
    assert collection.reads.count() == 3


PASSING_GRPC = {
    "unavailable": GrpcFault(Code.UNAVAILABLE),
    "deadline": GrpcFault(Code.DEADLINE_EXCEEDED),
    "internal": GrpcFault(Code.INTERNAL),
    "aborted": GrpcFault(Code.ABORTED),
    "cancelled": GrpcFault(Code.CANCELLED),
    "unknown": GrpcFault(Code.UNKNOWN),
    "deadline, but it was done": GrpcFault(Code.DEADLINE_EXCEEDED, late=True),
    "disk full": GrpcFault(Code.INTERNAL, "No space left on device (os error 28)"),
    "locked": GrpcFault(Code.PERMISSION_DENIED, "Forbidden: storage is locked"),
    "junk": GrpcFault(answer=b"<html>A proxy's page</html>"),
    "nothing": GrpcFault(answer=b""),
    "precondition": GrpcFault(Code.FAILED_PRECONDITION, "storage is locked"),
    "exhausted": GrpcFault(Code.RESOURCE_EXHAUSTED),
    "exhausted, retry-after 0": GrpcFault(Code.RESOURCE_EXHAUSTED, metadata=(("retry-after", "0"),)),
    "exhausted, retry-after 7": GrpcFault(Code.RESOURCE_EXHAUSTED, metadata=(("retry-after", "7"),)),
    "exhausted, retry-after junk": GrpcFault(Code.RESOURCE_EXHAUSTED, metadata=(("retry-after", "soon"),)),
    "exhausted, retry-after 1e9": GrpcFault(Code.RESOURCE_EXHAUSTED, metadata=(("retry-after", "1000000000"),)),
    **{
        f"status {status}": GrpcFault(
            answer=messages.PointsOperationResponse(
                result=messages.UpdateResult(operation_id=1, status=status)
            ).SerializeToString()
        )
        for status in (
            messages.UpdateStatus.UnknownUpdateStatus,
            messages.UpdateStatus.Acknowledged,
            messages.UpdateStatus.ClockRejected,
            messages.UpdateStatus.WaitTimeout,
        )
    },
}


def test_over_grpc_what_may_pass_is_tried_again(over_grpc: tuple[GrpcProxy, Collection], waits: Waits) -> None:
    proxy, collection = over_grpc
    for seed, (name, fault) in enumerate(PASSING_GRPC.items()):
        proxy.seen = 0
        waits.seconds.clear()
        proxy.script.append(fault)
        collection.upsert(_batch(seed=seed))
        assert proxy.seen == 2, name
        (waited,) = waits.seconds
        if "retry-after 7" in name:
            assert waited == 7
        elif "1e9" in name:
            assert waited == MAX_WAIT
        else:
            assert 0 <= waited <= 1, name
    assert collection.reads.count() == 3


def test_over_rest_what_can_not_pass_is_said_at_once(rest: tuple[HttpProxy, Collection], waits: Waits) -> None:
    proxy, collection = rest
    expected: dict[int, type[CollectionError]] = {
        301: RequestRefusedError,
        400: RequestRefusedError,
        401: UnauthorizedError,
        403: UnauthorizedError,
        404: RequestRefusedError,
        409: RequestRefusedError,
        422: RequestRefusedError,
    }
    for status, kind in expected.items():
        proxy.seen.clear()
        proxy.script.append(HttpFault(status, body=b"the server's\nown words"))
        with pytest.raises(kind, match=f"storing 3 passages: the server .*{status} the server's own words") as caught:
            collection.upsert(_batch())
        assert "\n" not in str(caught.value)
        assert len(proxy.seen) == 1
    assert (waits.seconds, collection.reads.count()) == ([], 0)


def test_over_grpc_what_can_not_pass_is_said_at_once(over_grpc: tuple[GrpcProxy, Collection], waits: Waits) -> None:
    proxy, collection = over_grpc
    expected: dict[grpc.StatusCode, type[CollectionError]] = {
        Code.INVALID_ARGUMENT: RequestRefusedError,
        Code.UNAUTHENTICATED: UnauthorizedError,
        Code.PERMISSION_DENIED: UnauthorizedError,
        Code.NOT_FOUND: RequestRefusedError,
        Code.ALREADY_EXISTS: RequestRefusedError,
        Code.UNIMPLEMENTED: RequestRefusedError,
        Code.OUT_OF_RANGE: RequestRefusedError,
    }
    for code, kind in expected.items():
        proxy.seen = 0
        proxy.script.append(GrpcFault(code, "the server's\nown words"))
        with pytest.raises(kind, match=r"storing 3 passages: the server .*the server's own words"):
            collection.upsert(_batch())
        assert proxy.seen == 1
    assert (waits.seconds, collection.reads.count()) == ([], 0)


@pytest.mark.parametrize("retry_seconds", [0.0, 5.0, 120.0])
def test_retries_end_in_time_whatever_the_server_asks_for(
    qdrant_1_17: QdrantServer, waits: Waits, retry_seconds: float
) -> None:
    with (
        HttpProxy(qdrant_1_17) as proxy,
        _store(proxy.url, waits=waits, retry_seconds=retry_seconds) as store,
        _collection(store) as collection,
    ):
        for fault in (HttpFault(503), HttpFault(429, {"retry-after": "999"}), HttpFault(reset=True)):
            proxy.always, proxy.seen[:], waits.seconds[:] = fault, [], []
            with pytest.raises(ServerBusyError, match=r"failed for as long as was retried .* run the same again"):
                collection.upsert(_batch())
            assert sum(waits.seconds) <= retry_seconds
            assert max(waits.seconds, default=0) <= MAX_WAIT
            assert len(proxy.seen) == len(waits.seconds) + 1 <= 1 + 10 * retry_seconds


def test_a_full_disk_and_an_unconfirmed_write_are_named_after_the_retries(
    rest: tuple[HttpProxy, Collection],
) -> None:
    proxy, collection = rest
    proxy.always = HttpFault(500, body=b"Service internal error: No space left on device (os error 28)")
    with pytest.raises(ServerBusyError, match="the server's disk is full; free some space"):
        collection.upsert(_batch())
    proxy.always = HttpFault(200, body=_status("acknowledged"))
    with pytest.raises(ServerBusyError, match="said 'acknowledged' instead of 'completed'"):
        collection.upsert(_batch())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (413, b"<html>nginx: 413 Request Entity Too Large</html>"),
        (
            429,
            b"Write rate limit exceeded, request larger than rate limiter capacity, please try to split your request",
        ),
        (400, b"Payload error: JSON payload (7540475 bytes) is larger than allowed (limit: 1048576 bytes)."),
        (400, b'Bad request: Limit exceeded 101 > 100 for "upsert limit". Help: Reduce the "upsert limit" parameter.'),
    ],
)
def test_a_request_that_can_never_fit_is_split_until_it_does(
    rest: tuple[HttpProxy, Collection], status: int, words: bytes
) -> None:
    proxy, collection = rest
    proxy.script.extend([HttpFault(status, body=words)] * 2)
    collection.upsert(_batch(7))
    assert len(proxy.seen) == 5  # 7; 3; 1 and 2; 4
    assert collection.reads.count() == 7
    proxy.always = HttpFault(status, body=words)
    with pytest.raises(RequestRefusedError, match="storing 1 passage: the server never takes a request that large"):
        collection.upsert(_batch(5))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (Code.RESOURCE_EXHAUSTED, "request larger than rate limiter capacity, please try to split your request"),
        (Code.RESOURCE_EXHAUSTED, "Received message larger than max (8000000 vs. 4194304)"),
        (Code.OUT_OF_RANGE, "Error, decoded message length too large: found 8000000 bytes, the limit is: 4194304"),
        (Code.INVALID_ARGUMENT, 'Bad request: Limit exceeded 101 > 100 for "upsert limit".'),
    ],
)
def test_over_grpc_too_it_is_split(
    over_grpc: tuple[GrpcProxy, Collection], waits: Waits, code: grpc.StatusCode, words: str
) -> None:
    proxy, collection = over_grpc
    proxy.script.extend([GrpcFault(code, words)] * 2)
    collection.upsert(_batch(7))
    assert (proxy.seen, collection.reads.count(), waits.seconds) == (5, 7, [])
    proxy.always = GrpcFault(code, words)
    with pytest.raises(RequestRefusedError, match="storing 1 passage: the server never takes a request that large"):
        collection.upsert(_batch(5))


def test_the_error_after_the_retries_tells_their_number_and_the_last_reason(
    over_grpc: tuple[GrpcProxy, Collection], waits: Waits
) -> None:
    proxy, collection = over_grpc
    proxy.always = GrpcFault(Code.RESOURCE_EXHAUSTED, "rate limited", metadata=(("retry-after", "50"),))
    with pytest.raises(
        ServerBusyError, match=r"storing 3 passages: .*retried \(4 tries in 0 s, the last: .*rate limited"
    ):
        collection.upsert(_batch())
    assert waits.seconds == [MAX_WAIT] * 3


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_strict_modes_own_limit_of_points_is_met_by_splitting(qdrant_1_17: QdrantServer, transport: str) -> None:
    name = fresh_name()
    settings = store_settings(
        url=qdrant_1_17.url, grpc_port=qdrant_1_17.grpc_port, transport="grpc" if transport == "grpc" else "rest"
    )
    store = ServerStore(settings)
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    plain = QdrantClient(url=qdrant_1_17.url, check_compatibility=False)
    plain.update_collection(name, strict_mode_config=models.StrictModeConfig(enabled=True, upsert_max_batchsize=2))
    plain.close()
    collection.upsert(_batch(25))
    assert collection.reads.count() == 25
    store.delete(name)
    store.close()


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_servers_own_rate_limit_is_met_by_splitting_and_waiting(qdrant_1_17: QdrantServer, transport: str) -> None:
    name = fresh_name()
    plain = QdrantClient(url=qdrant_1_17.url, check_compatibility=False)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        plain.update_collection(name, strict_mode_config=models.StrictModeConfig(enabled=False))

    settings = store_settings(
        url=qdrant_1_17.url, grpc_port=qdrant_1_17.grpc_port, transport="grpc" if transport == "grpc" else "rest"
    )
    store = ServerStore(settings, sleep=wait)
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    plain.update_collection(name, strict_mode_config=models.StrictModeConfig(enabled=True, write_rate_limit=10))
    collection.upsert(_batch(25))
    assert collection.reads.count() == 25
    assert 1 <= waited[0] <= MAX_WAIT  # as the server asked
    store.delete(name)
    store.close()
    plain.close()


def test_reads_are_tried_again_too(rest: tuple[HttpProxy, Collection]) -> None:
    proxy, collection = rest
    fill(collection, 5)
    proxy.when = lambda method, path: True
    for use in (
        collection.reads.count,
        collection.info,
        collection.indexes,
        lambda: collection.reads.sample(1),
        lambda: payloads_of(collection, [1]),
        lambda: search(collection, random_vectors(1), QueryOptions()),
        lambda: collection.ensure_indexes({"n": "integer"}),
    ):
        proxy.script.append(HttpFault(503))
        assert use() != []
        assert not proxy.script


def test_half_an_answer_over_rest_counts_for_none(rest: tuple[HttpProxy, Collection], waits: Waits) -> None:
    """qdrant-client asserts that there is a result: no error of its own, and none that a person could use."""
    proxy, collection = rest
    proxy.when = lambda method, path: method == "POST" and path.endswith("/points/count")
    proxy.script.append(HttpFault(200, body=b'{"status":"ok","time":0.0}'))
    assert collection.reads.count() == 0
    assert len(waits.seconds) == 1
    proxy.always = HttpFault(200, body=b'{"status":"ok","time":0.0}')
    with pytest.raises(ServerBusyError, match="its answer is not Qdrant's"):
        collection.reads.count()


def test_half_an_answer_over_grpc_counts_for_none(over_grpc: tuple[GrpcProxy, Collection], waits: Waits) -> None:
    """qdrant-client makes models of it, and pydantic refuses these."""
    proxy, collection = over_grpc
    proxy.method = "/qdrant.Collections/Get"
    half = messages.GetCollectionInfoResponse(time=0.1).SerializeToString()
    proxy.script.append(GrpcFault(answer=half))
    assert collection.info().points == 0
    assert len(waits.seconds) == 1
    proxy.always = GrpcFault(answer=half)
    with pytest.raises(ServerBusyError, match="its answer is not Qdrant's"):
        collection.info()


def test_an_answer_that_the_client_can_make_no_sense_of_counts_for_none(
    over_grpc: tuple[GrpcProxy, Collection], waits: Waits
) -> None:
    """qdrant-client raises a plain ValueError of a status that it doesn't know."""
    proxy, collection = over_grpc
    proxy.method = "/qdrant.Points/CreateFieldIndex"
    empty = messages.PointsOperationResponse(result=messages.UpdateResult()).SerializeToString()
    proxy.script.append(GrpcFault(answer=empty))
    collection.ensure_indexes({"year": "integer"})
    assert len(waits.seconds) == 1
    assert collection.indexes() == {"year": "integer"}
    proxy.always = GrpcFault(answer=empty)
    with pytest.raises(ServerBusyError, match="its answer is not Qdrant's"):
        collection.ensure_indexes({"lang": "keyword"})


def test_a_creation_whose_answer_was_lost_is_no_error(qdrant_1_17: QdrantServer, waits: Waits) -> None:
    with HttpProxy(qdrant_1_17) as proxy, _store(proxy.url, waits=waits) as store:
        proxy.when = lambda method, path: method == "PUT"
        proxy.script.append(HttpFault(504, late=True))
        with _collection(store) as collection:
            assert collection.reads.count() == 0
        assert len(proxy.seen) == 2


def test_a_cluster_that_is_busy_is_asked_again_for_its_nodes(qdrant_1_17: QdrantServer, waits: Waits) -> None:
    """Else a collection that should have three copies would have one."""
    with HttpProxy(qdrant_1_17) as proxy, _store(proxy.url, waits=waits) as store:
        proxy.when = lambda method, path: path == "/cluster"
        proxy.script.append(HttpFault(429, {"retry-after": "7"}))
        with _collection(store):
            assert waits.seconds == [7]
            assert len(proxy.seen) == 2
        proxy.script.append(HttpFault(403))
        with _collection(store):  # a key that may not ask makes collections, too
            assert len(proxy.seen) == 3


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_server_that_is_killed_and_restarted_costs_nothing_but_time(
    tmp_path_factory: pytest.TempPathFactory, transport: str
) -> None:
    with QdrantServer.start("1.17.0", tmp_path_factory.mktemp("restarted")) as server:

        def restart(seconds: float) -> None:
            if server.process is None:
                server.restart()
            time.sleep(seconds)  # gRPC has a clock of its own for connecting anew

        settings = store_settings(
            url=server.url, grpc_port=server.grpc_port, transport="grpc" if transport == "grpc" else "rest"
        )
        store = ServerStore(settings, sleep=restart)
        collection = open_for_writing("c", store, contract=CONTRACT, settings=CollectionSettings())
        for start in range(3):
            collection.upsert(PointBatch(passages([start]), random_vectors(1)))
            server.kill()
        assert collection.reads.count() == 3
        store.close()


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_server_that_went_away_for_good_is_unreachable(
    tmp_path_factory: pytest.TempPathFactory, waits: Waits, transport: str
) -> None:
    with QdrantServer.start("1.17.0", tmp_path_factory.mktemp("gone")) as server:
        grpc_port = server.grpc_port if transport == "grpc" else None
        with _store(server.url, grpc_port=grpc_port, waits=waits) as store:
            server.kill()
            with pytest.raises(ServerUnreachableError, match="listing collections: nothing answers there"):
                store.names()
    assert 30 < sum(waits.seconds) <= 120
