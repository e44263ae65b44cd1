"""What was saved is read back whole, or the copy before it is, or it is refused: never anything else."""

from __future__ import annotations

import errno
import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import portalocker
import pytest

from tasb_qdrant.errors import StateCorruptError, StateError, StateLockedError
from tasb_qdrant.ingest.resume import state
from tasb_qdrant.ingest.resume.state import CHECKPOINT, PREVIOUS, Saved, StateFiles

OLD, NEW = b'{"windows": 1, "text": "old"}', b'{"windows": 2, "text": "new"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder in which OLD and then NEW were saved, by a run that was killed."""
    files = StateFiles(tmp_path / "root" / "run")
    files.acquire()
    files.save(OLD)
    files.save(NEW)
    files.release()
    return files.folder


def load(folder: Path) -> Saved | None:
    return StateFiles(folder).load()


def test_what_is_saved_is_loaded(folder: Path) -> None:
    assert load(folder) == Saved(NEW, is_previous=False)
    assert sorted(path.name for path in folder.iterdir()) == [CHECKPOINT, PREVIOUS, "lock"]


def test_only_the_user_can_read_it(folder: Path) -> None:
    for path in (folder, folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_loaded_where_nothing_was_saved(tmp_path: Path) -> None:
    assert load(tmp_path / "none") is None
    assert load(tmp_path) is None


def test_what_is_forgotten_is_gone_and_the_folder_too(folder: Path) -> None:
    files = StateFiles(folder)
    files.acquire()
    files.forget()
    assert files.load() is None
    files.forget()
    files.release()
    assert not folder.exists()


def test_a_run_that_saves_nothing_leaves_nothing(tmp_path: Path) -> None:
    files = StateFiles(tmp_path / "a" / "b" / "run")
    files.acquire()
    files.release()
    files.release()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_persons_own_stays(tmp_path: Path) -> None:
    files = StateFiles(tmp_path / "run")
    files.acquire()
    files.release()
    assert tmp_path.is_dir()


def test_a_second_run_is_told_who_holds_the_folder(folder: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from tasb_qdrant.ingest.resume.state import StateFiles\n"
        "StateFiles(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    # Kept in a variable, since a lock ends with its file.
    hold = hold.replace("StateFiles(Path(sys.argv[1])).acquire()", "f = StateFiles(Path(sys.argv[1])); f.acquire()")
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(StateLockedError, match=f"process {first.pid}") as caught:
            StateFiles(folder).acquire()
        assert caught.value.pid == first.pid
        first.kill()
    again = StateFiles(folder)
    again.acquire()
    assert again.load() == Saved(NEW, is_previous=False)
    again.release()


def test_a_lock_file_that_says_nothing_of_use_is_no_obstacle(folder: Path) -> None:
    first = StateFiles(folder)
    first.acquire()
    (folder / "lock").write_bytes(b"\xff\xfenonsense")
    with pytest.raises(StateLockedError, match="another run is ingesting the same sources"):
        StateFiles(folder).acquire()
    first.release()


def test_a_lock_deleted_between_opening_and_locking_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = portalocker.lock
    deleted: list[bool] = []

    def lock(file: Any, flags: Any) -> None:
        if not deleted:
            deleted.append(True)
            (tmp_path / "run" / "lock").unlink()
        real(file, flags)

    monkeypatch.setattr(portalocker, "lock", lock)
    first, second = StateFiles(tmp_path / "run"), StateFiles(tmp_path / "run")
    first.acquire()
    with pytest.raises(StateLockedError):
        second.acquire()
    first.release()


def damaged(data: bytes) -> list[bytes]:
    """Cut after every byte, and with one to three bits flipped, a thousand times."""
    rng = random.Random(4)
    found = [data[:end] for end in range(len(data))]
    for _ in range(1_000):
        bits = bytearray(data)
        for position in rng.sample(range(8 * len(bits)), rng.randint(1, 3)):
            bits[position // 8] ^= 1 << position % 8
        found.append(bytes(bits))
    return found


def test_a_damaged_checkpoint_gives_way_to_the_one_before(folder: Path) -> None:
    for data in damaged((folder / CHECKPOINT).read_bytes()):
        (folder / CHECKPOINT).write_bytes(data)
        assert load(folder) == Saved(OLD, is_previous=True), data


def test_damage_to_the_one_before_does_not_matter(folder: Path) -> None:
    for data in damaged((folder / PREVIOUS).read_bytes()):
        (folder / PREVIOUS).write_bytes(data)
        assert load(folder) == Saved(NEW, is_previous=False), data


def test_damage_to_both_is_refused(folder: Path) -> None:
    pairs = zip(damaged((folder / CHECKPOINT).read_bytes()), damaged((folder / PREVIOUS).read_bytes()), strict=True)
    for current, previous in pairs:
        (folder / CHECKPOINT).write_bytes(current)
        (folder / PREVIOUS).write_bytes(previous)
        with pytest.raises(StateCorruptError, match="--restart"):
            load(folder)


@pytest.mark.parametrize("name", [CHECKPOINT, PREVIOUS])
def test_damage_to_the_only_copy_is_refused(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / CHECKPOINT).unlink()
    (folder / PREVIOUS).unlink(missing_ok=True)
    for changed in damaged(data):
        (folder / name).write_bytes(changed)
        with pytest.raises(StateCorruptError, match="--restart"):
            load(folder)


def test_a_run_killed_between_the_two_renames_goes_on_from_the_one_before(folder: Path) -> None:
    (folder / CHECKPOINT).replace(folder / PREVIOUS)
    assert load(folder) == Saved(NEW, is_previous=False)


def test_a_damaged_checkpoint_never_takes_the_place_of_the_good_one_before(folder: Path) -> None:
    (folder / CHECKPOINT).write_bytes(b"")
    files = StateFiles(folder)
    files.acquire()
    assert files.load() == Saved(OLD, is_previous=True)
    files.save(b"third")
    assert (folder / PREVIOUS).read_bytes().endswith(OLD)
    assert files.load() == Saved(b"third", is_previous=False)
    files.release()


class FailingOs:
    """The module `os`, whose calls with a path or a descriptor fail from the Nth on, or only the Nth."""

    CALLS = ("open", "write", "fsync", "replace", "unlink", "close", "mkdir", "read", "stat", "rmdir")

    def __init__(self, number: int, code: int, *, lasting: bool) -> None:
        self._number = number
        self._code = code
        self._lasting = lasting
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._failing(real) if name in self.CALLS else real

    def _failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self._number or (self._lasting and self.calls > self._number):
                if real is os.close:
                    real(*arguments)  # as Linux does
                raise OSError(self._code, os.strerror(self._code))
            return real(*arguments, **named)

        return call


def a_life(folder: Path) -> list[bytes]:
    """Everything that a run does with its state; returns what was saved by the end, after which may come "failed"."""
    saved: list[bytes] = []
    files = StateFiles(folder)
    try:
        files.acquire()
        there = files.load()
        saved.append(there.content if there else b"")
        for number in range(3):
            files.save(b"save %d" % number)
            saved.append(b"save %d" % number)
    except StateError as error:
        said = str(error)
        saved.append(b"failed" if "--state" in said and "the same command resumes" in said else said.encode())
    finally:
        files.release()
    return saved


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize("fresh", [False, True])
def test_the_last_good_state_outlives_a_failure_of_any_system_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, lasting: bool, fresh: bool
) -> None:
    number = 0
    while True:
        number += 1
        folder = tmp_path / f"{number}" / "run"
        if not fresh:
            a_life(folder)
        failing = FailingOs(number, code, lasting=lasting)
        with monkeypatch.context() as patch:
            patch.setattr(state, "os", failing)
            saved = a_life(folder)
        if failing.calls < number:
            break
        there = load(folder)
        found = there.content if there else b""
        if b"failed" not in saved:
            assert found == b"save 2"
            continue
        before = saved[saved.index(b"failed") - 1] if len(saved) > 1 else (b"" if fresh else b"save 2")
        # The save that failed may have been the one that lasts: nobody was told that it hadn't.
        assert found in (before, b"save %d" % (len(saved) - 2))
        again = StateFiles(folder)
        again.acquire()
        again.save(b"later")
        again.release()
        assert load(folder) == Saved(b"later", is_previous=False)
    assert number > 20


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.EROFS, errno.EIO])
def test_an_error_of_the_system_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    files = StateFiles(tmp_path / "run")
    files.acquire()
    monkeypatch.setattr(state, "os", FailingOs(1, code, lasting=True))
    with pytest.raises(StateError, match=os.strerror(code)) as caught:
        files.save(NEW)
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    files.release()


def test_a_folder_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"Not a directory.*--state"):
        StateFiles(tmp_path / "file" / "run").acquire()
