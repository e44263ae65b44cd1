"""Where the peers of a cluster are looked for, and what of their replicas can't be read."""

from __future__ import annotations

import pytest
from qdrant_client import models

from tasb_qdrant.collection.server.peers import _holders, _likely, _unreadable
from tasb_qdrant.collection.views import views_of
from tasb_qdrant.errors import SettingsError
from tests.collection.helpers import Place

ACTIVE, DEAD, PARTIAL = models.ReplicaState.ACTIVE, models.ReplicaState.DEAD, models.ReplicaState.PARTIAL


@pytest.mark.parametrize(
    ("uri", "location", "expected"),
    [
        ("http://qdrant-1:6335/", "http://qdrant-0:6333", "http://qdrant-1:6333"),
        ("http://qdrant-1:6335/", "https://cluster.example", "https://qdrant-1:6333"),
        ("http://10.0.0.2:6335", "http://10.0.0.1:7000/", "http://10.0.0.2:7000"),
        ("http://[fd00::2]:6335/", "http://[fd00::1]:6333", "http://[fd00::2]:6333"),
        ("nothing", "http://a:6333", "http://a:6333"),
    ],
)
def test_a_peer_is_looked_for_at_its_own_host_and_the_port_of_the_server(
    uri: str, location: str, expected: str
) -> None:
    assert _likely(models.PeerInfo(uri=uri), location) == expected
    assert _likely(None, location) == location


def placement(
    *local: models.ReplicaState, remote: list[tuple[int, int, models.ReplicaState]]
) -> models.CollectionClusterInfo:
    return models.CollectionClusterInfo(
        peer_id=1,
        shard_count=2,
        local_shards=[
            models.LocalShardInfo(shard_id=shard, points_count=0, state=state) for shard, state in enumerate(local)
        ],
        remote_shards=[
            models.RemoteShardInfo(shard_id=shard, peer_id=peer, state=state) for shard, peer, state in remote
        ],
        shard_transfers=[],
    )


def test_the_peers_of_a_collection_are_those_that_hold_a_part_of_it() -> None:
    assert _holders(placement(ACTIVE, remote=[(0, 7, ACTIVE), (1, 9, DEAD)])) == {1, 7, 9}
    assert _holders(placement(remote=[(0, 7, ACTIVE)])) == {7}


def test_a_replica_that_no_read_goes_to_is_named() -> None:
    sentences = _unreadable(placement(ACTIVE, PARTIAL, remote=[(0, 7, ACTIVE), (1, 9, DEAD)]))
    assert [sentence.split(" and was")[0] for sentence in sentences] == [
        "the replica of shard 1 on peer 1 is Partial",
        "the replica of shard 1 on peer 9 is Dead",
    ]


def test_without_a_cluster_the_collection_is_its_own_only_view(place: Place) -> None:
    with place.collection() as collection:
        with views_of(collection, place.settings) as views:
            assert (dict(views.collections), views.unchecked) == ({"": collection}, ())
        with (
            pytest.raises(SettingsError, match="--peer names http://other:6333, but"),
            views_of(collection, place.settings, ["http://other:6333"]),
        ):
            pass
