"""What is tried again, waited for and chosen is logged: with the reason, and without secrets or anybody's text."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest

from tasb_qdrant.collection.open import open_for_writing, open_store_at
from tasb_qdrant.collection.server import reads as server_reads
from tasb_qdrant.collection.server.collection import ServerCollection
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.collection.watch import log_answer
from tasb_qdrant.errors import CollectionError
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.faults import GrpcFault, GrpcProxy, HttpFault, HttpProxy
from tests.collection.helpers import CONTRACT, Place, fill, fresh_name
from tests.qdrant_servers import QdrantServer, free_port

QUOTED = b'{"status":{"error":"no index for the text: my secret illness"},"time":0.0}'


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG, logger="tasb_qdrant"):
        yield


def _above_debug(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG)


def _filled(store: ServerStore) -> ServerCollection:
    collection = open_for_writing(fresh_name(), store, contract=CONTRACT, settings=CollectionSettings())
    assert isinstance(collection, ServerCollection)
    fill(collection, 5)
    return collection


@pytest.mark.parametrize("over_grpc", [True, False], ids=["gRPC", "REST"])
def test_each_retry_is_a_warning_with_its_reason_and_the_wait(
    qdrant_1_17: QdrantServer, caplog: pytest.LogCaptureFixture, over_grpc: bool
) -> None:
    with HttpProxy(qdrant_1_17) as http, GrpcProxy(qdrant_1_17) as grpc_proxy:
        port = grpc_proxy.port if over_grpc else None
        settings = store_settings(url=http.url, grpc_port=port, transport="grpc" if over_grpc else "rest")
        store = ServerStore(settings, sleep=lambda seconds: None)
        collection = _filled(store)
        caplog.clear()
        if over_grpc:
            grpc_proxy.method = "/qdrant.Points/Count"
            words = "my secret illness"
            grpc_proxy.script.extend([GrpcFault(grpc.StatusCode.INTERNAL, words)] * 2)
        else:
            http.when = lambda method, path: path.endswith("/points/count")
            http.script.extend([HttpFault(503, body=QUOTED)] * 2)
        assert collection.reads.count() == 5
        store.delete(collection.name)
        store.close()
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    reason = "gRPC status INTERNAL" if over_grpc else "HTTP status 503"
    assert len(warned) == 2
    for number, line in enumerate(warned, 1):
        assert line.startswith(f"{http.url}, counting: {reason}; trying again in ")
        assert line.endswith(f" s (try {number} failed)")
    assert "counting: answered at try 3, after" in _above_debug(caplog)
    assert "my secret illness" in caplog.text
    assert "my secret illness" not in _above_debug(caplog)


def test_no_log_has_the_key(keyed_server: QdrantServer, caplog: pytest.LogCaptureFixture) -> None:
    key = keyed_server.api_key
    assert key is not None
    with HttpProxy(keyed_server) as proxy:
        proxy.when = lambda method, path: path.endswith("/points/count")
        proxy.script.append(HttpFault(503, body=b'{"status":{"error":"no"}}'))
        store = ServerStore(store_settings(url=proxy.url, api_key=key, transport="rest"), sleep=lambda _: None)
        collection = _filled(store)
        assert collection.reads.count() == 5
        store.delete(collection.name)
        store.close()
    for wrong in ("wr0ng-and-s3cret", None):
        with pytest.raises(CollectionError):
            open_store_at(store_settings(url=keyed_server.url, api_key=wrong, grpc_port=keyed_server.grpc_port))
    assert "trying again" in caplog.text
    assert key not in caplog.text
    assert "s3cret" not in caplog.text


def test_a_fallback_to_rest_is_a_warning(qdrant_1_17: QdrantServer, caplog: pytest.LogCaptureFixture) -> None:
    open_store_at(store_settings(url=qdrant_1_17.url, grpc_port=free_port())).close()
    (warned,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warned.name == "tasb_qdrant.collection.server.connection"
    assert "REST is used" in warned.getMessage()


def test_waiting_for_the_optimizer_is_told_and_its_end_too(
    qdrant_1_17: QdrantServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = ServerStore(store_settings(url=qdrant_1_17.url, grpc_port=qdrant_1_17.grpc_port))
    collection = _filled(store)
    collection.defer_indexing()
    fill(collection, 2_000)
    collection.optimize()
    store.delete(collection.name)
    store.close()
    assert "the vector index is built: " in _above_debug(caplog)


def test_a_slow_answer_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tasb_qdrant.test")
    log_answer(log, "counting", 0.99, slow=1.0)
    log_answer(log, "counting", 1.0, slow=1.0)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "counting took 990.0 ms"),
        ("WARNING", "slow: counting took 1.0 s"),
    ]


def test_slow_reads_of_every_store_are_told(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_reads, "SLOW_READ_SECONDS", 0.0)
    monkeypatch.setattr("tasb_qdrant.collection.edge.shard.SLOW_READ_SECONDS", 0.0)
    with place.collection() as collection:
        caplog.clear()
        collection.reads.count()
    assert "counting took" in _above_debug(caplog)


def test_nothing_is_formatted_that_nobody_reads(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A record that is dropped must cost nothing: its text is made by the handler that wants it."""
    with place.collection() as collection, caplog.at_level(logging.CRITICAL, logger="tasb_qdrant"):
        asked: list[logging.LogRecord] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logging.LogRecord, "getMessage", asked.append)
            collection.reads.count()
        assert asked == []


def test_without_configuration_nothing_is_printed() -> None:
    code = (
        "import logging, tasb_qdrant\n"
        "logging.getLogger('tasb_qdrant.collection').warning('nobody asked')\n"
        "assert logging.getLogger().handlers == []\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert ran.stderr + ran.stdout == b""
