"""Edits of an embedded collection of long texts, on disks that have little room: a named error at most."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_disk import NoDiskError, small_disk

PROGRAM = """
import os, shutil, sys, traceback
from pathlib import Path
import numpy as np
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.errors import DiskFullError
from tasb_qdrant.settings import store_settings
from tests.collection.helpers import *

DIM = 384

def text(number, chars):
    # Such as the engine's compression makes little of.
    return np.random.default_rng(number).integers(33, 126, chars, dtype=np.uint8).tobytes().decode()

def wanted(count, chars):
    return [Passage(str(n), text(n, chars), payload={"n": n}) for n in range(count)]

def make(place, count, chars):
    with place.collection("c", dim=DIM) as opened:
        opened.ensure_indexes({"n": "integer"})
        points, vectors = wanted(count, chars), random_vectors(count, DIM)
        for start in range(0, count, 20):
            opened.upsert(PointBatch(points[start : start + 20], vectors[start : start + 20]))
        opened.flush()
        opened.optimize()

def read(place, count, chars):
    # Whole payloads, each as it was or as an edit made it.
    with open_existing("c", place.settings) as opened:
        found = {one.id: one.payload for one in opened.reads.retrieve(list(range(count)), vectors=True)}
        kept = range(count // 10 if (place.settings.path / "deleting").exists() else 0, count)
        assert set(found) >= set(kept), (len(found), count)
        for number, payload in found.items():
            assert payload["text"] == text(number, chars)

def patch(place, count, chars):
    with open_existing("c", place.settings) as opened:
        opened.patch([str(n) for n in range(count)], {"k": 1}, remove=["n"])

def replace(place, count, chars):
    with open_existing("c", place.settings) as opened:
        payloads = {n: {"passage_id": str(n), "text": text(n, chars), "r": 1} for n in range(count)}
        opened.replace_payloads(payloads)

def delete(place, count, chars):
    with open_existing("c", place.settings) as opened:
        (place.settings.path / "deleting").touch()
        opened.delete([str(n) for n in range(count // 10)])

def drop(place, count, chars):
    with open_existing("c", place.settings) as opened:
        opened.drop_indexes(opened.indexes())

def step(what, root, count, chars):
    place = Place("embedded", store_settings(path=root), EdgeStore(Path(root)))
    try:
        globals()[what](place, int(count), int(chars))
    except DiskFullError as error:
        print("full:", str(error).replace(chr(10), " "), end=" ", flush=True)
    except BaseException:
        print(traceback.format_exc().replace(chr(10), " "), end=" ", flush=True)
        os._exit(3)
    os._exit(0)

for line in sys.stdin:
    if not (child := os.fork()):
        step(*line.split())
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Each step in a process of its own: SIGBUS would end it."""


class Steps:
    """Steps of PROGRAM over one store."""

    def __init__(self, program: subprocess.Popen[str], count: int, chars: int) -> None:
        self._program = program
        self._texts = f"{count} {chars}"

    def run(self, what: str, root: Path) -> bool:
        """Whether it found a full disk. What else befalls it fails the test."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{what} {root} {self._texts}\n")
        self._program.stdin.flush()
        said = self._program.stdout.readline().strip()
        assert said.endswith("ended 0"), f"{what}: {said}"
        return said.startswith("full:")


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started


@pytest.mark.slow
@pytest.mark.property
@pytest.mark.parametrize(
    ("kind", "count", "chars", "free"),
    [("ext4", 800, 21_000, (17, 25)), ("tmpfs", 150, 154_000, (60, 100))],
)
def test_an_edit_on_a_disk_with_little_room_is_a_named_error_at_most_and_every_passage_can_be_read(
    tmp_path: Path, program: subprocess.Popen[str], kind: str, count: int, chars: int, free: tuple[int, ...]
) -> None:
    steps = Steps(program, count, chars)
    try:
        with small_disk(tmp_path / "disk", kind=kind, mebibytes=300) as disk:
            assert not steps.run("make", tmp_path / "made")
            for mebibytes in free:
                for edit in ("patch", "replace", "delete", "drop"):
                    store = disk.folder / "store"
                    subprocess.run(["cp", "-a", "--sparse=always", tmp_path / "made", store], check=True)
                    disk.leave(mebibytes)
                    steps.run(edit, store)
                    assert not steps.run("read", store), f"{edit} with {mebibytes} MiB"
                    disk.free()
                    assert not steps.run("read", store)
                    assert not steps.run(edit, store)
                    assert not steps.run("read", store)
                    shutil.rmtree(store)
    except NoDiskError as error:
        pytest.skip(str(error))
