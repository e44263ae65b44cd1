"""One strategy at a time into a fresh server, fed with finished requests as fast as it takes them, or at a pace."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import grpc
from qdrant_client import QdrantClient, models

from benchmarks.indexing.points import COLLECTION, Requests
from benchmarks.indexing.results import Turn
from benchmarks.indexing.strategies import QDRANT_M, Strategy
from benchmarks.loading.turns import fresh_server
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.processes import cpu_of, disk_mib, watched
from tasb_qdrant.collection.server.index import FULL_INDEXING_KB, wait_until_indexed

IN_FLIGHT: Final = 3
_TIMEOUT: Final = 300


def take_turn(strategy: Strategy, requests: Requests, *, pace: float, build: Path) -> Turn:
    """Everything stored and indexed. Raises ContestantFailedError."""
    with (
        fresh_server(build) as server,
        closing(QdrantClient(url=server.url, check_compatibility=False, timeout=_TIMEOUT)) as client,
    ):
        assert server.process is not None
        pid = server.process.pid
        client.create_collection(
            COLLECTION,
            vectors_config=models.VectorParams(size=requests.dim, distance=models.Distance.DOT),
            hnsw_config=models.HnswConfigDiff(m=strategy.m),
            optimizers_config=models.OptimizersConfigDiff(
                indexing_threshold=strategy.threshold_kb, **strategy.optimizers
            ),
        )
        with watched(pid, server.folder) as peaks:
            before, start = cpu_of(pid), time.perf_counter()
            feed(requests, f"127.0.0.1:{server.grpc_port}", pace=pace)
            loaded, load_cpu = time.perf_counter(), cpu_of(pid)
            _index_all(client, strategy, requests.dim)
            ended, end_cpu = time.perf_counter(), cpu_of(pid)
        described = client.get_collection(COLLECTION)
        if described.points_count != requests.count:
            raise ContestantFailedError(f"expected {requests.count} points, the server has {described.points_count}")
        return Turn(
            strategy=strategy.name,
            points=requests.count,
            dim=requests.dim,
            pace=pace,
            load_s=loaded - start,
            end_s=ended - start,
            load_cpu_s=load_cpu - before,
            end_cpu_s=end_cpu - load_cpu,
            memory_mib=peaks.memory_mib,
            disk_mib=peaks.disk_mib,
            kept_mib=disk_mib(server.folder),
            segments=described.segments_count,
        )


def feed(requests: Requests, address: str, *, pace: float) -> None:
    """Send them all, IN_FLIGHT at once; `pace` points a second, 0: as fast as they are taken."""
    turn, pending = threading.Lock(), iter(requests)
    failures: list[grpc.RpcError] = []
    start, handed = time.perf_counter(), 0

    def take() -> bytes:
        nonlocal handed
        with turn:
            points, request = next(pending, (0, b""))
            if pace and request:
                handed += points
                time.sleep(max(0.0, start + handed / pace - time.perf_counter()))
            return request

    with closing(grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)])) as channel:
        upsert: Any = channel.unary_unary("/qdrant.Points/Upsert")

        def send() -> None:
            try:
                while request := take():
                    upsert(request, timeout=_TIMEOUT)
            except grpc.RpcError as error:
                failures.append(error)

        threads = [threading.Thread(target=send) for _ in range(IN_FLIGHT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise ContestantFailedError(f"a request failed: {failures[0]}")


def _index_all(client: QdrantClient, strategy: Strategy, dim: int) -> None:
    """Have all in the index, whatever the strategy has left out of it, and wait."""

    def everything() -> None:
        client.update_collection(
            COLLECTION,
            hnsw_config=models.HnswConfigDiff(m=QDRANT_M) if strategy.m != QDRANT_M else None,
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=FULL_INDEXING_KB),
        )

    everything()
    wait_until_indexed(
        lambda: client.get_collection(COLLECTION),
        vector_bytes=4 * dim,
        threshold_kb=FULL_INDEXING_KB,
        nudge=everything,
        on_progress=None,
        sleep=time.sleep,
    )
