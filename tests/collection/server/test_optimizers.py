"""Whatever becomes of a load, a server's optimizers end with the settings that the person wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages

from tasb_qdrant.collection.info import OptimizeProgress
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.server import store as server_store
from tasb_qdrant.collection.server.connection import Connection, connect
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import ServerBusyError
from tasb_qdrant.settings import CollectionSettings, StoreSettings, store_settings
from tests.collection.conftest import server_settings
from tests.collection.faults import GrpcProxy, HttpFault, HttpProxy
from tests.collection.helpers import CONTRACT, fill, fresh_name
from tests.qdrant_servers import QdrantServer

DIM = 64


@pytest.fixture
def store(qdrant_server: QdrantServer) -> Iterator[ServerStore]:
    store = ServerStore(server_settings(qdrant_server))
    yield store
    for name in store.names():
        store.delete(name)
    store.close()


@pytest.fixture
def client(qdrant_server: QdrantServer) -> Iterator[QdrantClient]:
    client = QdrantClient(url=qdrant_server.url, check_compatibility=False)
    yield client
    client.close()


def opened(store: ServerStore, name: str, **options: Any) -> Collection:
    return open_for_writing(name, store, contract=replace(CONTRACT, dim=DIM), settings=CollectionSettings(**options))


def in_force(client: QdrantClient, name: str) -> int | None:
    return client.get_collection(name).config.optimizer_config.indexing_threshold


def interrupt(_: OptimizeProgress) -> None:
    raise KeyboardInterrupt


def test_a_deferred_load_is_seen_by_everybody_until_it_is_finished(store: ServerStore, client: QdrantClient) -> None:
    collection = opened(store, "c")
    assert not collection.index_deferred()
    collection.defer_indexing()
    fill(collection, 1000)
    other = store.open("c")
    assert other.index_deferred()
    assert other.info().index_deferred
    assert other.info().to_dict()["index_deferred"] is True
    (note,) = other.notes
    assert "deferred by a load that is under way or did not finish" in note
    assert "tasb-qdrant collection optimize --collection c" in note
    assert opened(store, "c").notes == ()  # whoever writes makes up for it
    other.optimize()
    assert not other.index_deferred()
    assert store.open("c").notes == ()


def test_settling_finishes_a_deferred_load_though_nothing_was_stored(store: ServerStore, client: QdrantClient) -> None:
    collection = opened(store, "c", indexing_threshold_kb=5432)
    collection.defer_indexing()
    fill(collection, 1000)
    collection.settle_index(changed=False)
    info = collection.info()
    assert (info.indexed, info.index_deferred) == (1000, False)
    assert in_force(client, "c") == 5432


def test_a_load_resumed_is_indexed_along_and_in_the_end_as_a_whole(store: ServerStore, client: QdrantClient) -> None:
    collection = opened(store, "c", indexing_threshold_kb=5432)
    collection.defer_indexing()
    fill(collection, 500)
    collection.resume_indexing()
    assert in_force(client, "c") == 5432
    assert not store.open("c").index_deferred()  # were this process gone, nothing would have to be put back
    fill(collection, 1000)
    collection.settle_index(changed=True)
    assert (in_force(client, "c"), collection.info().indexed) == (5432, 1000)


def test_a_load_killed_while_the_index_was_built_is_seen_and_made_up_for(
    store: ServerStore, client: QdrantClient
) -> None:
    collection = opened(store, "c", indexing_threshold_kb=5432)
    fill(collection, 1000)
    # What a process that is killed while it waits leaves behind.
    client.update_collection("c", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1))
    assert store.open("c").index_deferred()
    collection.settle_index(changed=False)
    assert in_force(client, "c") == 5432


def test_settling_what_is_settled_changes_nothing_and_takes_one_look(qdrant_server: QdrantServer) -> None:
    waits: list[float] = []
    with HttpProxy(qdrant_server) as proxy:
        store = ServerStore(store_settings(url=proxy.url, transport="rest"), sleep=waits.append)
        name = fresh_name()
        collection = opened(store, name)
        collection.defer_indexing()
        fill(collection, 1000)
        collection.optimize()
        waits.clear()
        proxy.seen.clear()
        proxy.when = lambda method, path: path.endswith(name)
        collection.settle_index(changed=False)
        assert proxy.seen == [("GET", f"/collections/{name}")]
        assert waits == []
        store.delete(name)
        store.close()


def test_a_small_addition_is_left_to_the_servers_own_threshold(store: ServerStore, client: QdrantClient) -> None:
    collection = opened(store, "c", indexing_threshold_kb=100)
    collection.defer_indexing()
    fill(collection, 1000)
    collection.optimize()
    segments = client.get_collection("c").segments_count
    fill(collection, 1010)
    seen: list[OptimizeProgress] = []
    collection.settle_index(changed=True, on_progress=seen.append)
    assert 1 < len(seen) < 40
    assert in_force(client, "c") == 100
    assert client.get_collection("c").segments_count <= segments + 1
    assert collection.reads.count() == 1010


def test_what_somebody_else_set_is_what_is_wanted_from_then_on(store: ServerStore, client: QdrantClient) -> None:
    collection = opened(store, "c", indexing_threshold_kb=5432)
    client.update_collection(
        "c",
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=777),
        metadata={"theirs": "kept"},
    )
    collection.defer_indexing()
    fill(collection, 500)
    del collection  # the process that knew is gone
    found = client.get_collection("c").config
    assert found.metadata is not None
    assert found.metadata["theirs"] == "kept"
    assert found.metadata["tasb_qdrant"]["indexing_threshold_kb"] == 777
    store.open("c").optimize()
    assert in_force(client, "c") == 777


def test_ctrl_c_while_the_index_is_built_leaves_the_wanted_settings(store: ServerStore, client: QdrantClient) -> None:
    collection = opened(store, "c", indexing_threshold_kb=5432)
    collection.defer_indexing()
    fill(collection, 1000)
    with pytest.raises(KeyboardInterrupt):
        collection.settle_index(changed=True, on_progress=interrupt)
    assert in_force(client, "c") == 5432
    assert not collection.index_deferred()


def test_a_failed_optimizer_leaves_the_wanted_settings(
    store: ServerStore, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = opened(store, "c", indexing_threshold_kb=5432)
    collection.defer_indexing()
    fill(collection, 100)
    real = store._client.get_collection

    def failed(name: str) -> models.CollectionInfo:
        return real(name).model_copy(update={"optimizer_status": models.OptimizersStatusOneOf1(error="disk")})

    monkeypatch.setattr(store._client, "get_collection", failed)
    with pytest.raises(ServerBusyError, match="optimizer failed"):
        collection.optimize()
    assert in_force(client, "c") == 5432


def test_settings_that_could_not_be_restored_are_restored_by_the_next_run(qdrant_server: QdrantServer) -> None:
    with HttpProxy(qdrant_server) as proxy:
        store = ServerStore(store_settings(url=proxy.url, transport="rest"), sleep=lambda _: None)
        name = fresh_name()
        collection = opened(store, name)
        collection.defer_indexing()
        fill(collection, 100)
        proxy.when = lambda method, path: method == "PATCH"

        def cut_off(_: OptimizeProgress) -> None:
            proxy.always = HttpFault(503)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            collection.optimize(cut_off)
        proxy.always = None
        again = store.open(name)
        assert again.index_deferred()
        again.settle_index(changed=False)
        assert not again.index_deferred()
        store.delete(name)
        store.close()


@pytest.mark.parametrize("version", ["1.16.3", "1.17.0"])
def test_a_server_that_crashes_while_it_builds_the_index_ends_with_the_wanted_settings(
    version: str, tmp_path: Path
) -> None:
    with QdrantServer.start(version, tmp_path) as server:
        settings = server_settings(server, retry_seconds=30)
        store = ServerStore(settings)
        collection = opened(store, "c", indexing_threshold_kb=5432)
        collection.defer_indexing()
        fill(collection, 3000)
        looks = 0

        def crash(_: OptimizeProgress) -> None:
            nonlocal looks
            looks += 1
            if looks == 2:
                server.kill()
                server.restart()

        collection.optimize(crash)
        info = collection.info()
        assert (info.points, info.indexed, info.index_deferred) == (3000, 3000, False)
        client = QdrantClient(url=server.url, check_compatibility=False)
        assert in_force(client, "c") == 5432
        client.close()
        store.close()


def _claiming(version: tuple[int, int, int]) -> Callable[..., Connection]:
    def connect_to_it(settings: StoreSettings, **options: Any) -> Connection:
        return replace(connect(settings, **options), version=version)

    return connect_to_it


PREVENTING = [(1, True), (777, False)]
PLAIN = [(1, None), (777, None)]
VERSIONS: list[Any] = [
    ((1, 16, 3), PLAIN),
    ((1, 17, 0), PLAIN),
    ((1, 17, 1), PREVENTING),
    ((1, 18, 0), PREVENTING),
]


@pytest.mark.parametrize(("version", "expected"), VERSIONS)
def test_prevent_unoptimized_is_sent_to_servers_that_have_it_alone(
    qdrant_1_17: QdrantServer,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int, int],
    expected: list[tuple[int, bool | None]],
) -> None:
    monkeypatch.setattr(server_store, "connect", _claiming(version))
    with GrpcProxy(qdrant_1_17) as proxy:
        proxy.method = "/qdrant.Collections/Update"
        store = ServerStore(store_settings(url=qdrant_1_17.url, grpc_port=proxy.port, transport="grpc"))
        name = fresh_name()
        collection = opened(store, name, indexing_threshold_kb=777)
        collection.defer_indexing()
        collection.optimize()
        sent = [messages.UpdateCollection.FromString(request).optimizers_config for request in proxy.requests]
        found = [
            (one.indexing_threshold, one.prevent_unoptimized if one.HasField("prevent_unoptimized") else None)
            for one in sent
        ]
        assert found == [(0, None), *expected]
        store.delete(name)
        store.close()


@pytest.mark.parametrize(("version", "expected"), VERSIONS)
def test_over_rest_it_is_the_same(
    qdrant_1_17: QdrantServer,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int, int],
    expected: list[tuple[int, bool | None]],
) -> None:
    monkeypatch.setattr(server_store, "connect", _claiming(version))
    with HttpProxy(qdrant_1_17) as proxy:
        proxy.when = lambda method, path: method == "PATCH"
        store = ServerStore(store_settings(url=proxy.url, transport="rest"))
        name = fresh_name()
        collection = opened(store, name, indexing_threshold_kb=777)
        collection.optimize()
        sent = [json.loads(body)["optimizers_config"] for body in proxy.bodies]
        assert [(one["indexing_threshold"], one.get("prevent_unoptimized")) for one in sent] == expected
        store.delete(name)
        store.close()
