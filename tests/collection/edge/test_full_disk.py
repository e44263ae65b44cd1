"""The embedded store on a disk that is full, or fills up: a named error, and all that was confirmed is there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.collection.edge import optimize as edge_optimize
from tasb_qdrant.collection.edge import reserve
from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.edge.engine import is_disk_full
from tasb_qdrant.collection.edge.room import Room, Writing
from tasb_qdrant.collection.edge.space import MIB, Mount, Space, mount_of, space_at, sparse_files
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.errors import CollectionError, DiskFullError
from tasb_qdrant.manage.listing import list_collections
from tasb_qdrant.records import RoleFields
from tasb_qdrant.settings import store_settings
from tests.collection.helpers import Place, fill
from tests.small_disk import NoDiskError, SmallDisk, small_disk

PROGRAM = """
import os, sys, traceback
from pathlib import Path
import numpy as np
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.errors import DiskFullError
from tasb_qdrant.manage.listing import list_collections
from tasb_qdrant.settings import store_settings
from tasb_qdrant.collection.reads.questions import QueryOptions
from tests.collection.helpers import *

N, DIM, BATCH = 400, 384, 50
points, vectors = passages(range(N)), random_vectors(N, DIM)

def store(place, confirmed):
    with place.collection("c", dim=DIM) if not place.store.exists("c") else open_existing("c", place.settings) as opened:
        opened.ensure_indexes({"n": "integer"})
        for start in range(0, N, BATCH):
            rows = slice(start, start + BATCH)
            opened.upsert(PointBatch(points[rows], vectors[rows]))
            confirmed.write_text(str(start + BATCH))
        opened.flush()
        opened.optimize()

def read(place, confirmed):
    said = int(confirmed.read_text()) if confirmed.exists() else 0
    if not said:
        return
    list_collections(place.settings)
    with open_existing("c", place.settings) as opened:
        found = {one.id: one for one in opened.reads.retrieve(list(range(said)), vectors=True)}
        assert sorted(found) == list(range(said)), (said, len(found))
        assert all(one.payload["n"] == one.id and np.array_equal(one.vector, vectors[one.id]) for one in found.values())
        assert search(opened, vectors[:1], QueryOptions(limit=3))

def step(what, root, confirmed):
    place = Place("embedded", store_settings(path=root), EdgeStore(Path(root)))
    try:
        {"store": store, "read": read}[what](place, Path(confirmed))
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
    """Steps of PROGRAM on one disk."""

    def __init__(self, program: subprocess.Popen[str], disk: SmallDisk, confirmed: Path) -> None:
        self._program = program
        self._arguments = f"{disk.folder / 'store'} {confirmed}"

    def run(self, what: str) -> bool:
        """Whether it found a full disk. What else befalls it fails the test."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{what} {self._arguments}\n")
        self._program.stdin.flush()
        said = self._program.stdout.readline().strip()
        assert said.endswith("ended 0"), f"{what}: {said}"
        return said.startswith("full:")


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started


@contextmanager
def _steps(
    program: subprocess.Popen[str], folder: Path, *, kind: str, mebibytes: float
) -> Iterator[tuple[Steps, SmallDisk]]:
    try:
        with small_disk(folder / f"disk-{mebibytes}", kind=kind, mebibytes=mebibytes) as disk:
            yield Steps(program, disk, folder / f"confirmed-{mebibytes}"), disk
    except NoDiskError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.property
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_of_any_size_is_a_named_error_at_most_and_what_was_confirmed_can_be_read(
    tmp_path: Path, program: subprocess.Popen[str], kind: str
) -> None:
    for mebibytes in (0.25, 4, 6, 8, 12, 42, 46, 200):
        with _steps(program, tmp_path, kind=kind, mebibytes=mebibytes) as (steps, disk):
            full = steps.run("store")
            assert full if mebibytes <= 4 else not full if mebibytes == 200 else True
            assert not steps.run("read")  # with what room is left
            disk.fill()
            steps.run("read")
            steps.run("store")
            disk.free()
            assert not steps.run("read")
            assert not steps.run("store")
            assert not steps.run("read")
        assert (tmp_path / f"confirmed-{mebibytes}").read_text() == "400"


@pytest.mark.slow
def test_a_store_on_a_disk_that_others_fill_can_still_be_read(tmp_path: Path, program: subprocess.Popen[str]) -> None:
    with _steps(program, tmp_path, kind="ext4", mebibytes=100) as (steps, disk):
        assert not steps.run("store")
        disk.fill()
        assert not steps.run("read")
        assert not steps.run("read")


TOO_LITTLE = (
    "Exception: Service runtime error: Not enough space available for optimization, needed: 83.87 MiB, "
    "available: 12.14 MiB"
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "store"
    return Place("embedded", store_settings(path=root), EdgeStore(root))


@pytest.fixture
def filled(place: Place) -> Iterator[EdgeCollection]:
    with place.collection("c", dim=64) as collection:
        fill(collection, 500)
        assert isinstance(collection, EdgeCollection)
        yield collection


def _leave(monkeypatch: pytest.MonkeyPatch, free: int, files: int | None = None) -> None:
    """As if so much were free, and the room could be had."""
    for module in ("space", "room", "opening", "optimize", "reserve"):
        monkeypatch.setattr(f"tasb_qdrant.collection.edge.{module}.space_at", lambda _: Space(free, files))


def test_an_update_without_room_is_refused_before_it_begins_with_what_is_needed_and_free(
    filled: EdgeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _leave(patched, MIB)
        updates: dict[str, Callable[[], object]] = {
            "storing passages": lambda: fill(filled, 600),
            "deleting passages": lambda: filled.delete_points([1]),
            "patching payloads": lambda: filled.patch_payloads([1], {"k": 1}, []),
            "replacing payloads": lambda: filled.replace_payloads({1: {"n": 5}}),
            "indexing a payload field": lambda: filled.ensure_indexes({"n": "integer"}),
        }
        for doing, update in updates.items():
            with pytest.raises(
                DiskFullError, match=rf"{doing}: the disk is full \(.* MiB may be needed, 1\.0 MiB"
            ) as told:
                update()
            assert (told.value.doing, told.value.free, told.value.unit) == (doing, MIB, "bytes")
            assert told.value.needed is not None
            assert told.value.needed > MIB
            assert str(told.value).endswith("What was confirmed stays stored, and can be searched")
        assert filled.reads.count() == 500
        assert filled.indexes() == {}
    fill(filled, 600)
    assert filled.reads.count() == 600


def test_a_new_collection_without_room_is_refused_and_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, files, told in (
        (MIB, None, r"4\.0 MiB may be needed, 1\.0 MiB are free\)"),
        (2**40, 3, "3 files are free"),
    ):
        with monkeypatch.context() as patched:
            _leave(patched, free, files)
            with pytest.raises(DiskFullError, match=told):
                place.collection("c").__enter__()
    root = place.settings.path
    assert root is not None
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (
            f"import sys; sys.exit({TOO_LITTLE!r})",
            r"\(83\.9 MiB may be needed, ",
        ),
        ("import sys; sys.exit('Service error: No space left on device (os error 28)')", "the disk is full"),
        ("import sys; sys.exit('Service error: Disk quota exceeded (os error 122)')", "is there a quota"),
        (f"import os; os.kill(os.getpid(), {signal.SIGBUS.value})", r"the disk is full \(10\.0 MiB are free\)"),
    ],
)
def test_an_index_that_has_no_room_is_a_full_disk_by_name(
    filled: EdgeCollection, monkeypatch: pytest.MonkeyPatch, program: str, told: str
) -> None:
    monkeypatch.setattr(edge_optimize, "_PROGRAM", program)
    if "kill" in program:
        _leave(monkeypatch, 10 * MIB)
    with pytest.raises(DiskFullError, match=f"building the vector index.*{told}"):
        filled.optimize()
    assert filled.reads.count() == 500


def test_sigbus_with_plenty_of_room_is_not_called_a_full_disk(
    filled: EdgeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_optimize, "_PROGRAM", f"import os; os.kill(os.getpid(), {signal.SIGBUS.value})")
    _leave(monkeypatch, 2**40)
    with pytest.raises(Exception, match="killed by signal 7") as told:
        filled.optimize()
    assert not isinstance(told.value, DiskFullError)


def test_a_child_that_ends_by_sigbus_keeps_this_process_from_opening(
    filled: EdgeCollection, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.close()
    monkeypatch.setattr(
        "tasb_qdrant.collection.edge.opening._PROGRAM", f"import os; os.kill(os.getpid(), {signal.SIGBUS.value})"
    )
    _leave(monkeypatch, MIB)
    with pytest.raises(DiskFullError, match="opening the collection: the disk is full"):
        open_existing("c", place.settings)
    (listed,) = list_collections(place.settings)
    assert listed.info is None
    assert "the disk is full" in listed.remark
    _leave(monkeypatch, 2**40)
    with open_existing("c", place.settings) as opened:
        assert opened.reads.count() == 500


def test_what_a_killed_build_left_is_removed_when_the_collection_is_opened(
    filled: EdgeCollection, place: Place
) -> None:
    filled.close()
    root = place.settings.path
    assert root is not None
    left = root / "c" / "shard" / "temp_segments"
    left.mkdir()
    (left / "large").write_bytes(bytes(1000))
    with open_existing("c", place.settings) as opened:
        assert opened.reads.count() == 500
    assert not left.exists()


def test_a_reserve_is_kept_given_up_when_there_is_little_else_and_kept_again(
    filled: EdgeCollection, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.close()
    root = place.settings.path
    assert root is not None
    kept = root / "c" / "reserve"
    assert sum(file.stat().st_blocks for file in kept.iterdir()) * 512 >= 512 * 1024
    with monkeypatch.context() as patched:
        _leave(patched, MIB)
        with open_existing("c", place.settings):
            assert not kept.exists()
    assert kept.exists()
    shutil.rmtree(kept)  # as in a collection of an earlier version
    with open_existing("c", place.settings):
        pass
    assert kept.exists()


def test_a_reserve_that_can_not_be_had_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    reserve.keep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_blocks_of_an_update_are_taken_before_it_where_room_is_short(
    filled: EdgeCollection, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = place.settings.path
    assert root is not None
    shard = root / "c" / "shard"
    before = {file.path: file.given for file in sparse_files(shard)}
    _leave(monkeypatch, 100 * MIB)
    Room(shard).for_update(Writing(100, 4 * 2**20, 2**16), "storing passages")
    grown = {file.path.name: file.given - before.get(file.path, 0) for file in sparse_files(shard)}
    assert grown["chunk_0.mmap"] > 3 * 2**20
    assert grown["open-1"] > 4 * 2**20


@pytest.mark.parametrize(("code", "kind"), [(28, DiskFullError), (122, DiskFullError), (13, CollectionError)])
def test_a_sidecar_that_can_not_be_written_is_a_full_disk_where_that_is_why(
    filled: EdgeCollection, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[CollectionError]
) -> None:
    def refused(path: Path, _: bytes) -> None:
        path.touch()
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr("tasb_qdrant.collection.edge.files.write_durably", refused)
        for write in (
            lambda: filled.patch(["1"], {"k": 1}),
            lambda: filled.record_fields(RoleFields(text=("body",))),
        ):
            with pytest.raises(CollectionError) as told:
                write()
            assert type(told.value) is kind
    if kind is DiskFullError:
        assert not [path for path in Path(filled.location, "c").iterdir() if path.name.endswith(".new")]
    assert filled.patch(["1"], {"k": 1}).changed == 1


@pytest.mark.parametrize("code", [28, 122])
def test_a_quota_that_only_a_write_shows_is_a_full_disk(
    filled: EdgeCollection, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    _leave(monkeypatch, 100 * MIB)
    monkeypatch.setattr(os, "posix_fallocate", refused)
    with pytest.raises(DiskFullError, match=r"storing passages: the disk is full.*is there a quota"):
        fill(filled, 600)
    assert filled.reads.count() == 500


def test_a_disk_without_blocks_to_take_has_the_look_alone(
    filled: EdgeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    _leave(monkeypatch, 100 * MIB)
    monkeypatch.setattr(os, "posix_fallocate", unknown)
    fill(filled, 600)
    assert filled.reads.count() == 600


def test_what_is_free_is_told_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert space_at(tmp_path / "a" / "b").bytes == pytest.approx(shutil.disk_usage(tmp_path).free, abs=64 * MIB)


@pytest.mark.parametrize(
    ("line", "mount"),
    [
        ("tmpfs tmpfs rw,size=10k", Mount(in_memory=True)),
        ("ext4 /dev/sda1 rw,usrquota", Mount(quotas=True)),
        ("xfs /dev/sda1 rw,noquota", Mount()),
        ("ext4", Mount()),
    ],
)
def test_a_disk_in_memory_and_one_with_quotas_are_told_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, mount: Mount
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"1 2 0:999 / /elsewhere rw - ext4 x rw\n1 2 {os.major(device)}:{os.minor(device)} / / rw - {line}\n"
    )
    monkeypatch.setattr("tasb_qdrant.collection.edge.space._MOUNTS", mounts)
    assert mount_of(tmp_path) == mount
    monkeypatch.setattr("tasb_qdrant.collection.edge.space._MOUNTS", tmp_path / "none")
    assert mount_of(tmp_path) == Mount()


def test_texts_of_the_engine_that_mean_a_full_disk() -> None:
    for text in ("No space left on device (os error 28)", "Disk quota exceeded (os error 122)", "File too large"):
        assert is_disk_full(Exception(f"Service runtime error: {text}"))
    assert not is_disk_full(Exception("Wrong vector dimension"))
