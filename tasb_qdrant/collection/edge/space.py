"""The room that an embedded collection's disk has, and what its files may still take of it.

The engine writes to files through maps of them, and makes each file at its full size with nothing in it. A disk that is
full then isn't an error of a call: the kernel ends the process with SIGBUS. So room is looked at before each step that
needs some.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasb_qdrant.errors import DiskFullError

MIB: Final = 2**20

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says of a full disk, a used-up quota, and a limit to the size of files (ulimit -f)."""

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_FEW_FILES: Final = 16
"""Files that any step may make on its way."""


@dataclass(frozen=True, slots=True)
class Space:
    """What is free for this user: bytes, and files, None where there is no limit to their number."""

    bytes: int
    files: int | None


def space_at(folder: Path) -> Space:
    """What is free on the disk of this folder, which need not be there yet. Other users' quotas are not seen."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    if not hasattr(os, "statvfs"):
        return Space(free, None)
    counted = os.statvfs(there)
    return Space(free, counted.f_favail if counted.f_files else None)


def require(folder: Path, needed: int, doing: str, *, files: int = _FEW_FILES) -> None:
    """Raises DiskFullError unless so many bytes and files are free."""
    space = space_at(folder)
    if space.bytes < needed or (space.files is not None and space.files < files):
        raise disk_full(folder, doing, needed=needed, files=files)


def disk_full(
    folder: Path, doing: str, *, needed: int | None = None, files: int = _FEW_FILES, space: Space | None = None
) -> DiskFullError:
    """The error of a step that found no room, with what is free now, or was when it began."""
    space = space or space_at(folder)
    if space.files is not None and space.files < files:
        return DiskFullError(str(folder), doing=doing, needed=files, free=space.files, unit="files")
    return DiskFullError(str(folder), doing=doing, needed=needed, free=space.bytes)


@dataclass(frozen=True, slots=True)
class SparseFile:
    """A file of the engine that has room in it which the disk has not given yet: bytes in all, and those it has."""

    path: Path
    size: int
    given: int

    @property
    def hole(self) -> int:
        """Bytes that the disk may still have to give."""
        return self.size - self.given

    @property
    def is_log(self) -> bool:
        """Whether it is of the write-ahead log."""
        return self.path.parent.name == "wal"

    @property
    def is_dense(self) -> bool:
        """Whether it holds dense vectors."""
        return self.path.name.startswith("chunk_")

    @property
    def is_tracker(self) -> bool:
        """Whether it says where each point's payload, or value, is."""
        return self.path.name == "tracker.dat"

    @property
    def is_read_whole(self) -> bool:
        """Whether opening the collection reads all of it, holes too: all but the log and the payloads."""
        return not self.is_log and not (
            self.path.parent.name == "payload_storage" and self.path.name.startswith("page_")
        )


def sparse_files(folder: Path) -> Iterator[SparseFile]:
    """The engine's files below `folder` that aren't filled yet."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                found = path.stat()
            except FileNotFoundError:  # the engine may be replacing it
                continue
            given = found.st_blocks * 512
            if given < found.st_size:
                yield SparseFile(path, found.st_size, given)


@dataclass(frozen=True, slots=True)
class Mount:
    """What kind of disk it is: one in memory, where reading a hole in a file takes room, and one with quotas, where
    less may be free than it says."""

    in_memory: bool = False
    quotas: bool = False


def mount_of(folder: Path) -> Mount:
    """The disk that this folder is on; a plain one where the system doesn't say."""
    try:
        device = folder.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        for line in _MOUNTS.read_text().splitlines():
            where, _, what = line.partition(" - ")
            if where.split()[2] == wanted:
                kind, _, options = what.split(maxsplit=2)
                return Mount(kind in _IN_MEMORY, "quota" in options.replace("noquota", ""))
    except (OSError, ValueError, LookupError):  # another system than Linux
        pass
    return Mount()
