"""The embedded store: one opener, killed processes, damaged files, and an index built by a child."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import orjson
import pytest

from tasb_qdrant.collection.edge import optimize as edge_optimize
from tasb_qdrant.collection.edge.files import EdgeLock
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.info import OptimizeProgress
from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.reads.questions import QueryOptions
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.errors import (
    CollectionError,
    NotOurCollectionError,
    RequestRefusedError,
    StoreCorruptError,
    StoreLockedError,
)
from tasb_qdrant.manage.listing import list_collections
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.helpers import (
    CONTRACT,
    Place,
    fill,
    ids_of,
    passages,
    random_vectors,
    search,
)
from tests.waiting import PATIENCE, sooner_than

PRELUDE = """
import os, sys
from pathlib import Path
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.settings import store_settings
from tests.collection.helpers import *
place = Place("embedded", store_settings(path=sys.argv[1]), EdgeStore(Path(sys.argv[1])))
opening = place.collection("c", dim=64)
def ready(*also):
    print("ready", *also, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "store"
    return Place("embedded", store_settings(path=root), EdgeStore(root))


def _root(place: Place) -> Path:
    assert place.settings.path is not None
    return place.settings.path


@contextmanager
def _process(place: Place, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that ran `program` as far as its ready(); killed at the end."""
    command = [sys.executable, "-c", PRELUDE + program, str(_root(place))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def _open(place: Place, name: str = "c", *, lock_wait: float = 0.0) -> Collection:
    return open_existing(name, place.settings, lock_wait=lock_wait)


def test_a_second_opener_is_told_at_once_in_this_process_and_from_another(place: Place) -> None:
    with place.collection("c"), pytest.raises(StoreLockedError, match="open already, here or in another process"):
        _open(place)
    with _process(place, "opened = open_existing('c', place.settings)\nready()"):
        for use in (lambda: _open(place), lambda: place.store.delete("c")):
            with pytest.raises(StoreLockedError):  # and no wait for the other process, which is without an end
                use()
        (listed,) = list_collections(place.settings)
        assert (listed.name, listed.info, listed.remark) == ("c", None, "open elsewhere")
    _open(place).close()


def test_a_second_opener_waits_for_the_first_and_says_how_long_it_did(place: Place) -> None:
    with place.collection("c") as first:
        with pytest.raises(StoreLockedError, match=r"for 0\.12 seconds now"):
            _open(place, lock_wait=0.12)
        closing = threading.Timer(0.2, first.close)
        closing.start()
        _open(place, lock_wait=30).close()
        closing.join()


def test_what_a_killed_process_had_stored_is_there_on_reopening(place: Place) -> None:
    stored = "opened = opening.__enter__()\nopened.ensure_indexes({'n': 'integer'})\nfill(opened, 700)\nready()"
    with _process(place, stored):
        pass
    opened = _open(place)
    assert (opened.reads.count(), opened.indexes()) == (700, {"n": "integer"})
    vectors = random_vectors(700, 64)
    (hits,) = search(opened, vectors[:1], QueryOptions(limit=700))
    assert sorted(ids_of(hits), key=int) == [str(number) for number in range(700)]
    assert {hit.payload["n"] for hit in hits} == set(range(700))
    opened.close()


@pytest.mark.parametrize("moment", ["create_shard", "write_durably", "sync_path"])
def test_a_creation_that_was_killed_leaves_nothing_by_halves(place: Place, moment: str) -> None:
    killed = f"""
import tasb_qdrant.collection.edge.store as module
real = module.{moment}
def stop(*arguments):
    real(*arguments)
    ready()
module.{moment} = stop
opening.__enter__()
"""
    with _process(place, killed):
        assert list_collections(place.settings) == []
        with place.collection("other"):
            pass  # what is under way elsewhere is left alone
        assert len(list(_root(place).glob(".creating-*"))) == 1
    with place.collection("c") as collection:
        fill(collection, 3)
        assert collection.reads.count() == 3
    assert sorted(child.name for child in _root(place).iterdir()) == ["c", "other"]


def test_a_deletion_that_was_killed_leaves_no_collection(place: Place) -> None:
    with place.collection("c") as collection:
        fill(collection, 3)
    killed = "import shutil\nshutil.rmtree = lambda *_, **__: ready()\nplace.store.delete('c')"
    with _process(place, killed):
        assert place.store.names() == []
    with place.collection("c") as collection:
        assert collection.reads.count() == 0
    assert [child.name for child in _root(place).iterdir()] == ["c"]


def test_a_creation_that_fails_leaves_nothing_and_can_be_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", _raise_disk_full)
        with pytest.raises(CollectionError, match="No space left on device"):
            place.collection("c").__enter__()
    assert list(_root(place).iterdir()) == []
    with place.collection("c"):
        pass


def _raise_disk_full(_: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["child", "parent"])
def test_killing_either_process_while_the_index_is_built_loses_nothing(place: Place, killed: str) -> None:
    building = """
def progress(_):
    global told
    if not told:
        told = True
        print("ready", Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(), flush=True)
told = False
opening.__enter__().optimize(progress)
"""
    with place.collection("c", dim=64) as collection:
        fill(collection, 6000)
    command = [sys.executable, "-c", PRELUDE + building, str(_root(place))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        child = int(process.stdout.readline().split()[1])
        watch = os.pidfd_open(child)
        if killed == "child":
            os.kill(child, signal.SIGKILL)
            said = process.stderr.read().decode()
            assert "killed by signal 9" in said
            assert "The passages are safe" in said
        else:
            process.kill()
            process.wait()
            # It ends with its parent, so that the next run finds the collection free.
            assert select.select([watch], [], [], 10)[0] == [watch]
        os.close(watch)
    opened = _open(place)
    assert opened.reads.count() == 6000
    opened.optimize()
    assert opened.info().indexed == 6000
    opened.close()


@pytest.fixture
def filled(place: Place) -> Iterator[Collection]:
    with place.collection("c", dim=64) as collection:
        fill(collection, 4000)
        yield collection


def test_ctrl_c_while_the_index_is_built_ends_at_once_and_the_collection_lives_on(
    filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    def soon(_: OptimizeProgress) -> None:
        """Not from here, but at any moment, as Ctrl-C does; the child is there by now."""
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    monkeypatch.setattr(edge_optimize, "_PROGRAM", "import time; time.sleep(3600)")
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with sooner_than(3600), pytest.raises(KeyboardInterrupt):
            filled.optimize(soon)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert filled.reads.count() == 4000


def test_others_take_their_turn_when_the_index_is_built(filled: Collection) -> None:
    begun = threading.Event()
    worker = threading.Thread(target=lambda: filled.optimize(lambda _: begun.set()))
    worker.start()
    assert begun.wait(PATIENCE)
    assert filled.reads.count() == 4000  # waits for its turn
    worker.join()
    assert filled.info().indexed == 4000


def test_a_child_that_writes_more_than_a_pipe_holds_does_not_block(
    filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = "import sys; sys.stderr.write('x' * 300_000 + '\\nthe reason\\n'); sys.exit(7)"
    monkeypatch.setattr(edge_optimize, "_PROGRAM", noisy)
    with pytest.raises(CollectionError, match=r"ended with status 7 \(the reason\)\. The passages are safe"):
        filled.optimize()
    assert filled.reads.count() == 4000


def test_the_child_runs_this_package_whatever_lies_in_the_working_directory(
    filled: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("qdrant_edge.py", "tasb_qdrant.py"):
        (tmp_path / name).write_text("raise SystemExit('this file was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry] + [str(Path(__file__).parents[3])])
    filled.optimize()
    assert filled.info().indexed == 4000


def test_an_interpreter_that_can_not_be_started_is_an_error_that_says_so(
    filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(CollectionError, match="process that builds the vector index can't be started"):
        filled.optimize()
    assert filled.reads.count() == 4000


@pytest.mark.parametrize("application", ["frozen", "embedded in another program"])
def test_without_an_interpreter_of_its_own_the_index_is_built_in_this_process(
    filled: Collection, monkeypatch: pytest.MonkeyPatch, application: str
) -> None:
    if application == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(sys, "executable", "")
    seen: list[OptimizeProgress] = []
    filled.optimize(seen.append)
    assert filled.info().indexed == 4000
    assert [progress.indexed for progress in seen] == [0, 4000]


def test_a_store_that_is_damaged_while_the_index_is_built_says_so_and_can_be_closed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.collection("c") as collection:
        fill(collection, 10)
        monkeypatch.setattr(edge_optimize, "_PROGRAM", "import sys, shutil; shutil.rmtree(sys.argv[1])")
        with pytest.raises(StoreCorruptError, match="can't be opened"):
            collection.optimize()
        with pytest.raises(CollectionError, match="closed"):
            collection.reads.count()
    place.store.delete("c")  # not locked any more
    assert place.store.names() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "can't be read"),
        (b'{"tasb_qdrant": {"format": 1, "contr', "can't be read"),
        (b"\x00\xff\xfe garbage", "can't be read"),
        (b"[]", "expected an object, found list"),
        (b'{"tasb_qdrant": 5}', "can't be read"),
        (b'{"tasb_qdrant": {"format": 1}}', r"can't be read \(contract: Field required\)"),
        (b'{"tasb_qdrant": {"format": 4, "new": true}}', r"made by a later version \(format 4.*upgrade tasb-qdrant"),
    ],
)
def test_a_damaged_sidecar_is_named_and_listed(place: Place, content: bytes, said: str) -> None:
    with place.collection("c"):
        pass
    (_root(place) / "c" / "collection.json").write_bytes(content)
    with pytest.raises(StoreCorruptError, match=said):
        _open(place)
    (listed,) = list_collections(place.settings)
    assert (listed.name, listed.info) == ("c", None)
    assert str(_root(place)) in listed.remark
    place.store.delete("c")


def test_a_sidecar_of_another_program_is_no_collection_of_ours(place: Place) -> None:
    folder = _root(place) / "c"
    folder.mkdir(parents=True)
    (folder / "collection.json").write_bytes(orjson.dumps({"other": 1}))
    with pytest.raises(NotOurCollectionError, match="has no model contract"):
        _open(place)
    (listed,) = list_collections(place.settings)
    assert listed.remark == "made by another program"


@pytest.mark.parametrize("victim", ["shard", "edge_config.json", "segment.json", "status.dat", "version.info"])
def test_a_damaged_shard_is_named_and_neither_locked_nor_in_the_way(place: Place, victim: str) -> None:
    with place.collection("c") as collection:
        fill(collection, 10)
    damaged = next((_root(place) / "c").rglob(victim))
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(StoreCorruptError, match=r"can't be opened .* restore the folder from a backup"):
            _open(place)
    place.store.delete("c")
    with place.collection("c") as collection:
        assert collection.reads.count() == 0


def test_a_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for path in (file, file / "below"):
        settings = store_settings(path=path)
        with pytest.raises(CollectionError, match="needs a folder that it can write to"):
            Place("embedded", settings, EdgeStore(path)).collection("c").__enter__()
        with pytest.raises(CollectionError, match="folder"):
            list_collections(settings)


@contextmanager
def _as_nobody() -> Iterator[None]:
    """File permissions mean nothing to root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_can_not_be_written_is_named(place: Place) -> None:
    with place.collection("c"):
        pass
    folders = [_root(place), _root(place) / "c", _root(place) / "c" / "lock"]
    for folder in reversed(folders):
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    above = [each for each in _root(place).parents if each.stat().st_mode & 0o005 != 0o005]  # pytest's, for us alone
    modes = [folder.stat().st_mode for folder in above]
    try:
        for folder in above:
            folder.chmod(0o755)
        with _as_nobody():
            with pytest.raises(CollectionError, match=r"needs a folder that it can write to \(Permission denied\)"):
                place.collection("new").__enter__()
            with pytest.raises(CollectionError, match=r"can't be locked \(Permission denied\); make the folder"):
                _open(place)
            (listed,) = list_collections(place.settings)
            assert "can't be locked" in listed.remark
    finally:
        for folder, mode in zip(above, modes, strict=True):
            folder.chmod(mode)
        for folder in folders:
            folder.chmod(0o755)


def test_a_folder_in_the_way_of_a_collection_is_named(place: Place) -> None:
    (_root(place) / "c").mkdir(parents=True)
    (_root(place) / "c" / "mine.txt").write_text("a person's own file")
    with pytest.raises(
        RequestRefusedError, match="something of that name is there already; choose another --collection"
    ):
        place.collection("c").__enter__()
    assert [path.name for path in _root(place).rglob("*")] == ["c", "mine.txt"]


def test_a_store_without_its_folder_is_empty_and_reading_makes_none(place: Place) -> None:
    assert (place.store.names(), place.store.exists("c"), list_collections(place.settings)) == ([], False, [])
    assert not _root(place).exists()


def test_a_collection_that_is_deleted_while_it_is_being_opened_is_not_opened(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.collection("c"):
        pass
    real = EdgeLock.acquire
    folder = _root(place) / "c"

    def late(lock: EdgeLock, wait: float = 0.0) -> None:
        lock._lock.acquire()  # the file is open, and gone a moment later
        shutil.rmtree(folder)
        shutil.copytree(_root(place) / "copy", folder)
        lock._lock.release()
        stale = folder / "lock"
        stale.unlink()
        real(lock)

    shutil.copytree(folder, _root(place) / "copy")
    monkeypatch.setattr(EdgeLock, "acquire", late)
    opened = place.store.open("c")
    with pytest.raises(StoreLockedError):
        real(EdgeLock(folder))
    opened.close()


def test_closing_twice_is_closing_once_and_a_with_block_closes(place: Place) -> None:
    settings = CollectionSettings()
    place.store.create("c", CollectionSchema.of(CONTRACT, settings), settings)
    with place.store.open("c") as collection:
        collection.upsert(PointBatch(passages(range(2)), random_vectors(2)))
    collection.close()
    opened = _open(place)
    assert opened.reads.count() == 2
    opened.close()
