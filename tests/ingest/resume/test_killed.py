"""A run that is killed, and run again, ends as if nothing had happened."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasb_qdrant.ingest import ingest
from tasb_qdrant.settings import CollectionSettings
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

COUNT = 6_000
INDEXES = CollectionSettings(indexes={"year": "integer"})


def kill_at(line: str, *arguments: str) -> bool:
    """Run the victim and kill it when it says `line`; False if it ended, well, without having said it."""
    command = [sys.executable, "-m", "tests.ingest.resume.victim", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as victim:
        assert victim.stdout is not None
        if any(said == f"{line}\n" for said in victim.stdout):
            os.kill(victim.pid, signal.SIGKILL)
            assert victim.wait(PATIENCE) == -signal.SIGKILL
            return True
        assert victim.wait(PATIENCE) == 0
        return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> stored.Stored:
    folder = tmp_path_factory.mktemp("undisturbed")
    ingest(stored.numbered(COUNT), collection="c", path=folder, encoder=StubEncoder(), settings=INDEXES, optimize=False)
    return stored.embedded(folder)


@pytest.mark.parametrize("seed", [1, 2])
def test_an_embedded_collection_is_whole_after_the_next_run(
    tmp_path: Path, undisturbed: stored.Stored, seed: int
) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(COUNT))
    store = tmp_path / "store"
    # Killed twice: the second run has a half-done one to go on from, and perhaps few windows left.
    first, second = random.Random(seed).randrange(2, 8), random.Random(seed).randrange(3)
    assert kill_at(f"window {first}", str(source), "path", str(store))
    kill_at(f"window {second}", str(source), "path", str(store))
    encoder = StubEncoder()
    report = ingest(source, collection="c", path=store, encoder=encoder, settings=INDEXES)
    assert report.points == report.points_expected == COUNT
    assert report.stored + report.skipped == COUNT
    assert encoder.encoded == report.stored
    assert stored.embedded(store) == undisturbed


@pytest.mark.parametrize("seed", [4, 5])
def test_a_servers_collection_is_whole_after_the_next_run_and_indexed_as_wanted(
    tmp_path: Path, qdrant_1_17: QdrantServer, undisturbed: stored.Stored, seed: int
) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(COUNT))
    window = random.Random(seed).randrange(2, 8)
    with_port = (str(source), "url", qdrant_1_17.url, str(qdrant_1_17.grpc_port))
    assert kill_at(f"window {window}", *with_port)
    client = stored.client_of(qdrant_1_17.url)
    assert client.get_collection("c").config.optimizer_config.indexing_threshold == 0  # deferred, and left so
    report = ingest(
        source,
        collection="c",
        url=qdrant_1_17.url,
        grpc_port=qdrant_1_17.grpc_port,
        encoder=StubEncoder(),
        settings=INDEXES,
    )
    assert report.points == report.points_expected == COUNT
    assert stored.on_server(client) == undisturbed
    described = client.get_collection("c")
    assert described.config.optimizer_config.indexing_threshold == INDEXES.indexing_threshold_kb
    assert (described.indexed_vectors_count or 0) >= COUNT
    client.delete_collection("c")
    client.close()


def test_a_run_killed_while_the_index_is_built_can_be_run_again(tmp_path: Path, undisturbed: stored.Stored) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(COUNT))
    store = tmp_path / "store"
    assert kill_at("building the vector index", str(source), "path", str(store))
    # The process that builds the index ends with the run, but may take a moment, and has the lock so long.
    with (store / "c" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    report = ingest(source, collection="c", path=store, encoder=StubEncoder(), settings=INDEXES)
    assert (report.stored, report.skipped, report.points) == (0, COUNT, COUNT)
    assert stored.embedded(store) == undisturbed
