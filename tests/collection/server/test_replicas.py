"""How many copies a new collection keeps: as asked, or as a cluster makes sensible."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import QdrantClient

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.server.replicas import Replicas, choose_replicas
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings import CollectionSettings
from tests.collection.conftest import server_settings
from tests.collection.helpers import CONTRACT, fill, fresh_name
from tests.qdrant_cluster import QdrantCluster
from tests.qdrant_servers import QdrantServer


def chosen(nodes: int | None, **options: Any) -> Replicas:
    return choose_replicas(CollectionSettings(**options), lambda: nodes)


def test_what_is_asked_for_is_taken_and_the_cluster_not_asked() -> None:
    def never() -> int:
        raise AssertionError

    settings = CollectionSettings(replicas=2, write_consistency=1)
    assert choose_replicas(settings, never) == Replicas(2, 1)


def test_three_copies_are_proposed_on_three_nodes_and_more() -> None:
    for nodes in (3, 5):
        found = chosen(nodes)
        assert (found.factor, found.write_consistency) == (None, None)
        (note,) = found.notes
        assert f"cluster of {nodes} nodes" in note
        assert "--replicas 3 --write-consistency 2, or --replicas auto" in note
    for too_few in (1, 2, None):
        assert chosen(too_few) == Replicas(None, None)


def test_auto_is_three_copies_where_there_are_the_nodes_and_says_so_elsewhere() -> None:
    assert chosen(3, replicas="auto") == Replicas(3, 2)
    assert chosen(4, replicas="auto", write_consistency=1) == Replicas(3, 1)
    for nodes, words in ((1, "has 1"), (2, "has 2"), (None, "doesn't say")):
        found = chosen(nodes, replicas="auto")
        assert (found.factor, found.write_consistency) == (1, None)
        assert words in found.notes[0]


@pytest.mark.parametrize("wrong", [0, 65, "many", 1.5])
def test_other_numbers_of_copies_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match="replicas"):
        CollectionSettings(replicas=wrong)


def _made(store: ServerStore, name: str, **options: Any) -> Collection:
    return open_for_writing(name, store, contract=replace(CONTRACT, dim=64), settings=CollectionSettings(**options))


def test_a_single_server_is_asked_and_nothing_is_proposed(qdrant_server: QdrantServer) -> None:
    store = ServerStore(server_settings(qdrant_server))
    name = fresh_name()
    assert _made(store, name).notes == ()
    store.delete(name)
    store.close()


def test_a_cluster_keeps_what_was_chosen_and_indexes_every_replica(shared_cluster: QdrantCluster) -> None:
    store = ServerStore(server_settings(shared_cluster.nodes[0]))
    name, plain = fresh_name(), fresh_name()
    (note,) = _made(store, plain).notes
    assert "cluster of 3 nodes" in note
    assert store.open(plain).notes == ()  # said once, when it is made
    collection = _made(store, name, replicas="auto", indexing_threshold_kb=777)
    assert collection.notes == ()
    shared_cluster.wait_until_active(name)
    collection.defer_indexing()
    fill(collection, 3000)
    collection.optimize()
    for node in shared_cluster.nodes:
        client = QdrantClient(url=node.url, check_compatibility=False)
        described = client.get_collection(name)
        params = described.config.params
        assert (params.replication_factor, params.write_consistency_factor, params.shard_number) == (3, 2, 3)
        assert described.config.optimizer_config.indexing_threshold == 777
        assert client.count(name, exact=True).count == 3000
        assert described.indexed_vectors_count == 3000, node.url
        client.close()
    for each in (name, plain):
        store.delete(each)
    store.close()
