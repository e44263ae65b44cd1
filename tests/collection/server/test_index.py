"""Waiting for a server's vector index, with servers that count oddly, do nothing, or fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection.info import OptimizeProgress
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.server.index import (
    FULL_INDEXING_KB,
    NUDGE_POLLS,
    NUDGES,
    QUIET_POLLS,
    REPLICA_QUIET_POLLS,
    SMALL_QUIET_POLLS,
    wait_until_indexed,
)
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import ServerBusyError
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.faults import HttpFault, HttpProxy
from tests.collection.helpers import CONTRACT, fill, fresh_name
from tests.qdrant_servers import QdrantServer

GREEN, YELLOW, GREY, RED = (models.CollectionStatus(name) for name in ("green", "yellow", "grey", "red"))
VECTOR_BYTES = 64 * 4


@pytest.fixture(scope="module")
def description(qdrant_1_17: QdrantServer) -> Iterator[models.CollectionInfo]:
    """A real server's, to be changed."""
    client, name = QdrantClient(url=qdrant_1_17.url, check_compatibility=False), fresh_name()
    client.create_collection(name, vectors_config=models.VectorParams(size=64, distance=models.Distance.DOT))
    yield client.get_collection(name)
    client.delete_collection(name)
    client.close()


@dataclass
class Scripted:
    """A server whose state changes from poll to poll; the last state stays."""

    description: models.CollectionInfo
    states: Sequence[tuple[models.CollectionStatus, int, int]]
    error: str | None = None
    queued: int = 0
    polls: int = 0
    nudges: int = 0
    waited: float = 0.0
    seen: list[OptimizeProgress] = field(default_factory=list)

    def wait(self, on_nudge: Callable[[], None] | None = None) -> None:
        states = chain(self.states, repeat(self.states[-1]))

        def describe() -> models.CollectionInfo:
            self.polls += 1
            status, points, indexed = next(states)
            changes = {
                "status": status,
                "points_count": points,
                "indexed_vectors_count": indexed,
                "segments_count": 2,
                "update_queue": models.UpdateQueueInfo(length=self.queued) if self.queued else None,
            }
            if self.error is not None:
                changes["optimizer_status"] = models.OptimizersStatusOneOf1(error=self.error)
            return self.description.model_copy(update=changes)

        def nudge() -> None:
            nonlocal states
            self.nudges += 1
            if on_nudge is not None:
                states = chain([(YELLOW, 5000, 0)], repeat((GREEN, 5000, 5000)))

        def sleep(seconds: float) -> None:
            self.waited += seconds

        wait_until_indexed(
            describe,
            vector_bytes=VECTOR_BYTES,
            threshold_kb=FULL_INDEXING_KB,
            nudge=nudge,
            on_progress=self.seen.append,
            sleep=sleep,
        )


class _LimitError(Exception):
    """So many polls are enough."""


class _Limited(list[OptimizeProgress]):
    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def append(self, item: OptimizeProgress) -> None:
        super().append(item)
        if len(self) == self.most:
            raise _LimitError


def test_a_built_index_is_believed_at_the_second_look(description: models.CollectionInfo) -> None:
    for points, indexed in ((0, 0), (5000, 5000), (5000, 6000)):
        server = Scripted(description, [(GREEN, points, indexed)])
        server.wait()
        assert server.polls == 2
        assert server.seen[-1] == OptimizeProgress(points, points, "")


def test_the_moment_before_the_optimizers_start_is_not_taken_for_the_end(description: models.CollectionInfo) -> None:
    server = Scripted(
        description, [(GREEN, 5000, 0)] * 3 + [(YELLOW, 5000, 0)] * 50 + [(YELLOW, 5000, 2500), (GREEN, 5000, 5000)]
    )
    server.wait()
    assert server.polls == 3 + 50 + 1 + 2
    assert server.seen[10] == OptimizeProgress(5000, 0, "the vector index")
    assert server.seen[53] == OptimizeProgress(5000, 2500, "the vector index")


def test_a_count_that_never_gets_there_is_believed_after_a_while(description: models.CollectionInfo) -> None:
    server = Scripted(description, [(GREEN, 5000, 4900)])
    server.wait()
    assert server.polls == QUIET_POLLS + 1
    assert server.waited <= 10


def test_what_is_too_small_for_an_index_is_not_waited_for_long(description: models.CollectionInfo) -> None:
    server = Scripted(description, [(GREEN, 5000, 4992)])
    server.wait()
    assert server.polls == SMALL_QUIET_POLLS + 1


def test_replicas_on_other_nodes_are_given_time(description: models.CollectionInfo) -> None:
    replicated = description.model_copy(deep=True)
    replicated.config.params.replication_factor = 3
    server = Scripted(replicated, [(GREEN, 5000, 5000)])
    server.wait()
    assert server.polls == REPLICA_QUIET_POLLS + 1


def test_queued_updates_are_waited_for(description: models.CollectionInfo) -> None:
    server = Scripted(description, [(GREEN, 5000, 5000)], queued=7, seen=_Limited(100))
    with pytest.raises(_LimitError):
        server.wait()
    assert server.seen[-1].waiting_for == "7 queued updates"


def test_work_that_nobody_triggered_is_triggered(description: models.CollectionInfo) -> None:
    server = Scripted(description, [(GREY, 5000, 0)])
    server.wait(on_nudge=lambda: None)
    assert server.nudges == 1
    assert server.polls <= NUDGE_POLLS + 5


def test_work_that_is_never_begun_is_an_error_in_the_end(description: models.CollectionInfo) -> None:
    server = Scripted(description, [(GREY, 5000, 100)])
    with pytest.raises(ServerBusyError, match=r"doesn't begin it \(4900 of 5000 vectors are missing\)"):
        server.wait()
    assert server.nudges == NUDGES
    assert server.waited < 300


def test_a_failed_optimizer_is_an_error_with_the_servers_words(description: models.CollectionInfo) -> None:
    for status in (GREEN, YELLOW, RED):
        with pytest.raises(ServerBusyError, match=r"optimizer failed \(No space left on device\)"):
            Scripted(description, [(status, 5000, 0)], error="No space left on device").wait()
    with pytest.raises(ServerBusyError, match=r"optimizer failed \(status red\)"):
        Scripted(description, [(RED, 5000, 0)]).wait()


@pytest.mark.parametrize("version", ["1.16.3", "1.17.0"])
def test_a_deferred_load_on_a_server_that_crashed_is_indexed_after_its_restart(version: str, tmp_path: Path) -> None:
    with QdrantServer.start(version, tmp_path) as server:
        settings = store_settings(url=server.url, grpc_port=server.grpc_port)
        store = ServerStore(settings)
        contract = replace(CONTRACT, dim=64)
        collection = open_for_writing("c", store, contract=contract, settings=CollectionSettings())
        collection.defer_indexing()
        fill(collection, 3000)
        store.close()
        server.kill()
        server.restart()
        store = ServerStore(settings)
        collection = store.open("c")
        collection.optimize()
        info = collection.info()
        assert (info.points, info.indexed, info.status) == (3000, 3000, "green")
        store.close()


@pytest.mark.parametrize("while_what", ["interrupted", "failed"])
def test_the_first_error_is_seen_when_restoring_the_threshold_fails_too(
    qdrant_1_17: QdrantServer, while_what: str
) -> None:
    waits: list[float] = []
    with HttpProxy(qdrant_1_17) as proxy:
        store = ServerStore(store_settings(url=proxy.url, transport="rest"), sleep=waits.append)
        name = fresh_name()
        collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
        fill(collection, 10)
        proxy.when = lambda method, path: method == "PATCH"

        def fail(_: OptimizeProgress) -> None:
            proxy.always = HttpFault(503)
            raise KeyboardInterrupt if while_what == "interrupted" else ZeroDivisionError

        with pytest.raises(KeyboardInterrupt if while_what == "interrupted" else ZeroDivisionError) as caught:
            collection.optimize(fail)
        assert "indexing threshold could not be restored to 10000 KB" in caught.value.__notes__[0]
        assert waits == []  # nobody waits after Ctrl-C
        proxy.always = None
        collection.optimize()
        proxy.script.extend([HttpFault(503), HttpFault(503)])
        collection.optimize()  # passing faults are waited for
        store.delete(name)
        store.close()
