"""The cluster that the tests use: it stands, keeps what it holds over crashes, and names what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from tests.qdrant_cluster import QdrantCluster, qdrant_cluster
from tests.qdrant_servers import ServerError


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantCluster]:
    with qdrant_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        client = QdrantClient(url=cluster.url, check_compatibility=False)
        client.create_collection(
            "c",
            vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT),
            shard_number=2,
            replication_factor=3,
            write_consistency_factor=2,
        )
        cluster.wait_until_active("c")
        client.upsert("c", [models.PointStruct(id=number, vector=[1.0, float(number)]) for number in range(50)])
        client.close()
        yield cluster


def _counts(cluster: QdrantCluster) -> list[int]:
    counts = []
    for node in cluster.nodes:
        client = QdrantClient(url=node.url, check_compatibility=False)
        counts.append(client.count("c", exact=True).count)
        client.close()
    return counts


def test_a_node_that_crashed_comes_back_as_itself(cluster: QdrantCluster) -> None:
    ids = [cluster.peer_id(node) for node in cluster.nodes]
    assert len(set(ids)) == 3
    for node in cluster.nodes:  # the one that the others were bootstrapped from, too
        node.kill()
        node.restart()
        cluster.wait_until_joined()
        cluster.wait_until_active("c")
    assert [cluster.peer_id(node) for node in cluster.nodes] == ids
    assert _counts(cluster) == [50, 50, 50]


def test_a_cluster_whose_nodes_all_crashed_comes_back(cluster: QdrantCluster) -> None:
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.restart()
    cluster.wait_until_joined()
    cluster.wait_until_active("c")
    assert _counts(cluster) == [50, 50, 50]


def test_what_a_cluster_waits_for_is_said(cluster: QdrantCluster) -> None:
    node = cluster.nodes[1]
    node.kill()
    try:
        with pytest.raises(ServerError, match=f"not ready within 0 s: {node.url} doesn't answer"):
            cluster.wait_until_joined(seconds=0.1)
    finally:
        node.restart()


def test_its_nodes_end_with_it(tmp_path: Path) -> None:
    with qdrant_cluster(tmp_path, size=1) as small:
        (node,) = small.nodes
        process = node.process
        assert process is not None
    assert process.poll() is not None
