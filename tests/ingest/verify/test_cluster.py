"""On a cluster, every replica of every shard is verified, and what can't be looked at is never passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client.http.exceptions import UnexpectedResponse

from tasb_qdrant import CollectionSettings, ingest, verify
from tasb_qdrant.errors import CollectionError, SettingsError
from tasb_qdrant.ingest import plan_sync
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.qdrant_cluster import QdrantCluster, qdrant_cluster

COUNT = 600


@pytest.fixture
def cluster(shared_cluster: QdrantCluster) -> QdrantCluster:
    return shared_cluster


def where(cluster: QdrantCluster, name: str) -> dict[str, Any]:
    return {"collection": name, "url": cluster.url, "grpc_port": cluster.grpc_port}


def others(cluster: QdrantCluster) -> list[str]:
    return [node.url for node in cluster.nodes[1:]]


def load(
    cluster: QdrantCluster, name: str, *, replicas: int = 3, write_consistency: int = 2, bm25: bool = False
) -> None:
    settings = CollectionSettings(shards=3, replicas=replicas, write_consistency=write_consistency)
    ingest(
        stored.numbered(COUNT),
        encoder=StubEncoder(),
        settings=settings,
        bm25=bm25,
        optimize=False,
        **where(cluster, name),
    )
    cluster.wait_until_active(name)


def test_every_peer_is_looked_at_and_counted(cluster: QdrantCluster) -> None:
    load(cluster, "equal", bm25=True)  # the words of the sample are compared on each peer, too
    found = verify(stored.numbered(COUNT), encoder=StubEncoder(), peers=others(cluster), **where(cluster, "equal"))
    assert found.equal
    assert found.points == {node.url: COUNT for node in cluster.nodes}
    report = ingest(
        stored.numbered(COUNT), encoder=StubEncoder(), verify=True, optimize=False, **where(cluster, "equal")
    )
    assert report.verification is not None
    assert len(report.verification.unchecked) == 2  # the others' ports can't be derived here
    assert not report.verified
    report = ingest(
        stored.numbered(COUNT),
        encoder=StubEncoder(),
        sync=True,
        verify=True,
        optimize=False,
        peers=others(cluster),
        **where(cluster, "equal"),
    )
    assert report.verified


def test_a_peer_whose_address_is_not_known_is_said_and_never_passed(cluster: QdrantCluster) -> None:
    load(cluster, "unnamed")
    found = verify(stored.numbered(COUNT), encoder=StubEncoder(), **where(cluster, "unnamed"))
    assert (found.differences, found.equal) == (0, False)
    assert list(found.points) == [cluster.url]
    assert len(found.unchecked) == 2
    for node, sentence in zip(sorted(cluster.nodes[1:], key=cluster.peer_id), found.unchecked, strict=True):
        assert f"peer {cluster.peer_id(node)} (http://127.0.0.1:" in sentence
        assert sentence.endswith("name its address with --peer")


def test_addresses_that_are_not_of_the_cluster_are_refused(cluster: QdrantCluster, qdrant_1_17: Any) -> None:
    load(cluster, "refused")
    with pytest.raises(CollectionError, match="nothing answers there"):
        verify([], sample=0, peers=["http://127.0.0.1:1"], **where(cluster, "refused"))
    ingest(
        stored.numbered(1),
        collection="refused",
        url=qdrant_1_17.url,
        grpc_port=qdrant_1_17.grpc_port,
        encoder=StubEncoder(),
        optimize=False,
    )
    with pytest.raises(SettingsError, match="no peer of the cluster"):
        verify([], sample=0, peers=[qdrant_1_17.url], **where(cluster, "refused"))


def test_a_collection_on_one_peer_needs_no_other(cluster: QdrantCluster) -> None:
    settings = CollectionSettings(shards=1, replicas=1)
    ingest(stored.numbered(50), encoder=StubEncoder(), settings=settings, optimize=False, **where(cluster, "single"))
    found = verify(stored.numbered(50), encoder=StubEncoder(), peers=others(cluster), **where(cluster, "single"))
    assert (found.equal, list(found.points.values())) == (True, [50])


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantCluster]:
    """For tests that kill nodes."""
    with qdrant_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.mark.slow
def test_replicas_that_differ_while_all_say_active_are_found_and_repaired(own_cluster: QdrantCluster) -> None:
    """A write that needs all replicas, with one node down, fails and stays on the two others."""
    cluster = own_cluster
    load(cluster, "parted", write_consistency=3)
    client = stored.client_of(cluster.url)
    down = cluster.nodes[2]
    down.kill()
    with pytest.raises(UnexpectedResponse):
        client.delete("parted", [7, 11], wait=True)
    down.restart()
    cluster.wait_until_joined()
    cluster.wait_until_active("parted")

    source = stored.numbered(COUNT)
    everywhere = {"peers": others(cluster), **where(cluster, "parted")}
    found = verify(source, encoder=StubEncoder(), **everywhere)
    assert (found.missing, found.differences) == (2, 2)
    assert found.points == {cluster.url: COUNT - 2, cluster.nodes[1].url: COUNT - 2, down.url: COUNT}
    assert found.examples["missing"] == (f"7 ({cluster.url})", f"11 ({cluster.url})")

    without = [passage for passage in source if passage.id not in ("7", "11")]
    found = verify(without, encoder=StubEncoder(), **everywhere)
    assert (found.extra, found.differences, found.examples["extra"]) == (2, 2, (f"7 ({down.url})", f"11 ({down.url})"))

    found = verify(source, encoder=StubEncoder(), repair=True, **everywhere)
    assert (found.equal, found.encoded) == (True, 2)
    assert set(found.points.values()) == {COUNT}
    client.close()


@pytest.mark.slow
def test_a_node_that_is_down_is_named_and_the_rest_verified(own_cluster: QdrantCluster) -> None:
    cluster = own_cluster
    load(cluster, "down")
    down = cluster.nodes[1]
    peer = cluster.peer_id(down)
    down.kill()
    try:
        found = verify(
            stored.numbered(COUNT), encoder=StubEncoder(), peers=[cluster.nodes[2].url], **where(cluster, "down")
        )
        assert (found.differences, found.equal, len(found.points)) == (0, False, 2)
        assert any(f"peer {peer} " in sentence for sentence in found.unchecked)
        plan = plan_sync(stored.numbered(COUNT), **where(cluster, "down"))
        assert (plan.delete, plan.encode, plan.update) == (0, 0, 0)
        assert plan.unchecked
    finally:
        down.restart()
        cluster.wait_until_joined()
        cluster.wait_until_active("down")


def test_pages_are_what_all_replicas_hold(cluster: QdrantCluster) -> None:
    from tasb_qdrant.collection.open import open_collection
    from tasb_qdrant.ingest.verify.reconcile import AGREED

    load(cluster, "pages")
    for transport in ("grpc", "rest"):
        with open_collection("pages", url=cluster.url, grpc_port=cluster.grpc_port, transport=transport) as opened:
            page = opened.reads.scroll(limit=COUNT, payload=False, read=AGREED)
            assert [point.id for point in page.points] == list(range(COUNT))
            assert len(opened.reads.scroll(limit=COUNT, read=AGREED).points) == COUNT
