"""A run that is killed, and run again, ends as if nothing had happened."""

from __future__ import annotations

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

COUNT = 6_000
INDEXES = CollectionSettings(indexes={"year": "integer"})


def kill_after(lines: int, *arguments: str, phase: str = "") -> int:
    """Run the victim, kill it after so many lines of progress, or when it begins a phase; its exit code."""
    command = [sys.executable, "-m", "tests.ingest.victim", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as victim:
        assert victim.stdout is not None
        for number, line in enumerate(victim.stdout):
            if number >= lines or (phase and phase in line):
                os.kill(victim.pid, signal.SIGKILL)
                break
        else:
            pytest.fail("the run ended before it could be killed")
        return victim.wait(30)


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
    # Killed twice: the second run has a half-done one to go on from.
    for lines in random.Random(seed).sample(range(2, 6), 2):
        assert kill_after(lines, str(source), "path", str(store)) == -signal.SIGKILL
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
    lines = random.Random(seed).randrange(2, 6)
    with_port = (str(source), "url", qdrant_1_17.url, str(qdrant_1_17.grpc_port))
    assert kill_after(lines, *with_port) == -signal.SIGKILL
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
    kill_after(10_000, str(source), "path", str(store), phase="building")
    report = ingest(source, collection="c", path=store, encoder=StubEncoder(), settings=INDEXES)
    assert (report.stored, report.skipped, report.points) == (0, COUNT, COUNT)
    assert stored.embedded(store) == undisturbed
