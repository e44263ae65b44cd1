"""What searching costs by the collection's shards, and by the segments of each: time, CPU of the server, recall.

    python -m benchmarks.search_shards                 # 40,000 points, eight collections: some minutes on two cores
    python -m benchmarks.search_shards --points 8000

All collections hold the same points and are on one server; they are searched in turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from benchmarks.search_cost import AROUND, DIM, VERSION, cpu_of
from benchmarks.searching.points import scattered
from benchmarks.searching.recall import recall
from tasb_qdrant.collection.reads.wire import HNSW_EF
from tests.qdrant_servers import QdrantServer

SHAPES: Final = ((1, 0), (2, 0), (4, 0), (8, 0), (1, 8), (2, 4), (4, 2), (8, 1))
"""Shards, and segments of each (0: as many as the server likes, half of its cores, from 2 to 8). The last four are what
a server with 16 cores has: a collection of one shard, and those that are told to have no more segments in all."""

LIMIT: Final = 10


def main() -> int:
    options = _parse()
    rng = np.random.default_rng(5)
    around = rng.standard_normal((max(2, options.points // AROUND), DIM), dtype=np.float32)
    vectors, queries = scattered(around, options.points, rng), scattered(around, options.queries, rng)
    with tempfile.TemporaryDirectory() as folder, QdrantServer.start(VERSION, Path(folder)) as server:
        client = QdrantClient(server.url, grpc_port=server.grpc_port, prefer_grpc=True, timeout=600)
        if server.process is None:
            raise ValueError("the server runs in a process of ours")
        try:
            segments = {shape: _filled(client, shape, vectors) for shape in SHAPES}
            print("| shards | segments in all | p50, ms | server CPU of a query, ms | recall@10 |")
            print("| --- | --- | --- | --- | --- |")
            for shape, (took, cpu, found) in _searched(client, queries, server.process.pid, options.rounds).items():
                share = recall(found, queries, vectors, limit=LIMIT)
                print(f"| {shape[0]} | {segments[shape]} | {1e3 * took:.2f} | {1e3 * cpu:.2f} | {share:.4f} |")
        finally:
            client.close()
    return 0


def _filled(client: QdrantClient, shape: tuple[int, int], vectors: NDArray[np.float32]) -> int:
    """Store and index the points; returns how many segments there are."""
    name, (shards, segments) = _name(shape), shape
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=DIM, distance=models.Distance.DOT),
        shard_number=shards,
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0, default_segment_number=segments or None),
    )
    client.upload_collection(name, vectors=vectors, ids=range(len(vectors)), batch_size=256, wait=True)
    client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=100))
    while True:
        described = client.get_collection(name)
        waiting = described.status != models.CollectionStatus.GREEN
        if not waiting and (described.indexed_vectors_count or 0) >= 0.98 * len(vectors):
            print(f"{name}: {described.segments_count} segments", file=sys.stderr)
            return described.segments_count
        time.sleep(0.5)


def _searched(
    client: QdrantClient, queries: NDArray[np.float32], server: int, rounds: int
) -> dict[tuple[int, int], tuple[float, float, list[list[int]]]]:
    """For each collection the lowest p50 and CPU of the rounds, in seconds, and what was found."""
    best: dict[tuple[int, int], tuple[float, float, list[list[int]]]] = {}
    for _ in range(rounds):
        for shape in SHAPES:
            _ids(client, shape, queries[0])
            seconds, found, before = [], [], cpu_of(server)
            for query in queries:
                began = time.perf_counter()
                found.append(_ids(client, shape, query))
                seconds.append(time.perf_counter() - began)
            took, cpu = median(seconds), (cpu_of(server) - before) / len(queries)
            if shape in best:
                took, cpu = min(took, best[shape][0]), min(cpu, best[shape][1])
            best[shape] = took, cpu, found
    return best


def _ids(client: QdrantClient, shape: tuple[int, int], query: NDArray[np.float32]) -> list[int]:
    params = models.SearchParams(hnsw_ef=HNSW_EF)
    points = client.query_points(_name(shape), query=query.tolist(), limit=LIMIT, search_params=params).points
    return [int(point.id) for point in points]


def _name(shape: tuple[int, int]) -> str:
    return "shards-{}-segments-{}".format(*shape)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=40_000, help="points in each collection")
    parser.add_argument("--queries", type=int, default=200, help="queries of a round")
    parser.add_argument("--rounds", type=int, default=3, help="how often each collection is searched")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
