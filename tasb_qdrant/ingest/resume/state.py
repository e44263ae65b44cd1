"""The state of a run in files that outlast it, in a folder that one run holds at a time.

FOLDER/checkpoint            what was saved last, preceded by its sha256
FOLDER/checkpoint.previous   what was saved before
FOLDER/lock                  held by the run, whose process it names
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import portalocker

from tasb_qdrant.errors import StateCorruptError, StateError, StateLockedError
from tasb_qdrant.locks import is_held

CHECKPOINT: Final = "checkpoint"
PREVIOUS: Final = "checkpoint.previous"
LOCK: Final = "lock"

_NEW: Final = "checkpoint.new"
_OWN_FILE: Final = 0o600
_OWN_FOLDER: Final = 0o700
_LOCK_TRIES: Final = 20
_LONGEST_PID: Final = 20

_REMEDIES: Final = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EROFS: "make it writable",
    errno.EMFILE: "let the program have more open files (ulimit -n)",
    errno.ENFILE: "let the system have more open files",
}


@dataclass(frozen=True, slots=True)
class Saved:
    """What was saved last; `is_previous` if the last copy is damaged, and this is the one before it."""

    content: bytes
    is_previous: bool


class StateFiles:
    """The files of one run, in a folder of their own. Every method raises StateError and its kinds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None
        self._made: list[Path] = []
        self._has_good = False

    def acquire(self) -> None:
        """Make the folder, and hold it until `release`. Raises StateLockedError."""
        with self._named("can't be used"):
            for _ in range(_LOCK_TRIES):
                self._make_folders()
                if self._try_lock():
                    return
        raise StateError(f"{self.folder}: other programs keep making and deleting it; name another --state")

    def load(self) -> Saved | None:
        """What was saved last, None if nothing was. Raises StateCorruptError if no copy is whole."""
        damaged = False
        for name in (CHECKPOINT, PREVIOUS):
            with self._named("can't be read"):
                data = self._read(name)
            if data is None:
                continue
            content = _checked(data)
            if content is not None:
                self._has_good = name == CHECKPOINT
                return Saved(content, is_previous=damaged)
            damaged = True
        if damaged:
            raise StateCorruptError(
                f"{self.folder}: the state of an interrupted run is damaged, and so is the copy before it; start "
                "over with --restart, which skips what is already stored unchanged"
            )
        return None

    def save(self, content: bytes) -> None:
        """Replace what was saved before with `content`; the old copy stays until the disk has the new one."""
        data = hashlib.sha256(content).hexdigest().encode() + b"\n" + content
        with self._named("can't be written"):
            self._write(_NEW, data)
            if self._has_good:  # never move a damaged copy over the only whole one
                self._has_good = False
                os.replace(self.folder / CHECKPOINT, self.folder / PREVIOUS)
            os.replace(self.folder / _NEW, self.folder / CHECKPOINT)
            self._has_good = True
            self._sync_folder()

    def forget(self) -> None:
        """Delete what was saved; the latest goes last, so that an earlier one is never left alone."""
        with self._named("can't be deleted"):
            gone = [self._unlink(name) for name in (_NEW, PREVIOUS, CHECKPOINT)]
            self._has_good = False
            if any(gone):
                self._sync_folder()

    def release(self) -> None:
        """Let others have the folder, and remove it if nothing is saved. Twice is fine."""
        if self._lock is None:
            return
        with suppress(OSError):  # what is left is an empty folder, or one that the next run uses
            self._unlink(_NEW)
            if not any((self.folder / name).exists() for name in (CHECKPOINT, PREVIOUS)):
                os.unlink(self.folder / LOCK)
                os.rmdir(self.folder)
                for folder in reversed(self._made):
                    os.rmdir(folder)
        with suppress(OSError):
            self._lock.close()
        self._lock = None

    def _make_folders(self) -> None:
        missing = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        for folder in reversed(missing):
            with suppress(FileExistsError):
                # The two that hold nothing but state are private.
                os.mkdir(folder, _OWN_FOLDER if folder in (self.folder, self.folder.parent) else 0o777)
                if folder != self.folder:
                    self._made.append(folder)

    def _try_lock(self) -> bool:
        """Whether the lock is held now; False if its file was deleted a moment ago. Raises StateLockedError."""
        path = self.folder / LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _OWN_FILE)
        except FileNotFoundError:
            return False
        file = os.fdopen(descriptor, "r+", encoding="ascii", errors="replace")
        try:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            if not _is_same(descriptor, path):
                file.close()
                return False
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
        except portalocker.exceptions.LockException as error:
            if is_held(error):
                said = file.read(_LONGEST_PID).strip()
                file.close()
                raise StateLockedError(str(self.folder), pid=int(said) if said.isdecimal() else None) from error
            file.close()
            raise StateError(
                f"{self.folder}: can't be locked ({error}); name a folder with --state, on a disk with file locks"
            ) from error
        except BaseException:
            file.close()
            raise
        self._lock = file
        return True

    def _read(self, name: str) -> bytes | None:
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        pieces = []
        try:
            while piece := os.read(descriptor, 2**20):
                pieces.append(piece)
        finally:
            os.close(descriptor)
        return b"".join(pieces)

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.folder / name, flags, _OWN_FILE)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unlink(self, name: str) -> bool:
        try:
            os.unlink(self.folder / name)
        except FileNotFoundError:
            return False
        return True

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "check the disk")
            raise StateError(
                f"{self.folder}: the state of this run {what} ({error.strerror or error}); {remedy}, or name another "
                "folder with --state. What is stored stays stored, and the same command resumes"
            ) from error


def _checked(data: bytes) -> bytes | None:
    """What follows the checksum, if the checksum is right."""
    checksum, newline, content = data.partition(b"\n")
    return content if newline and checksum == hashlib.sha256(content).hexdigest().encode() else None


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
