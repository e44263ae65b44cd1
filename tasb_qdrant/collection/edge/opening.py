"""Opening an embedded shard, also on a disk that is full."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import qdrant_edge as edge

from tasb_qdrant.collection.edge.engine import load_shard
from tasb_qdrant.collection.edge.files import shard_folder
from tasb_qdrant.collection.edge.space import MIB, disk_full, space_at, sparse_files

_LEFT: Final = "temp_segments"
"""Where the engine builds an index; a build that was killed leaves it, as large as the collection, and nothing else
removes it."""

_SPARE: Final = 16 * MIB

_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; import qdrant_edge as e; e.EdgeShard.load(sys.argv[1]).close()"
)


def open_shard(folder: Path, *, lock: int) -> edge.EdgeShard:
    """The shard of the collection in this folder, whose lock the file descriptor `lock` holds.

    Opening may write, too: what a killed process left in the log, and holes that are read on a disk in memory. Where
    there is little room a process of its own tries it first, and then there is nothing left to write.
    Raises DiskFullError, StoreCorruptError, StoreLockedError.
    """
    shard = shard_folder(folder)
    shutil.rmtree(shard / _LEFT, ignore_errors=True)
    if space_at(folder).bytes < _SPARE + sum(file.hole for file in sparse_files(shard)):
        _try(folder, lock)
    return load_shard(shard)


def _try(folder: Path, lock: int) -> None:
    """Raises DiskFullError where opening would end this process. What else fails will fail here, too, by its name."""
    if not sys.executable or getattr(sys, "frozen", False):
        return  # a frozen application's executable would start the application once more
    space, needed = (
        space_at(folder),
        sum(file.hole for file in sparse_files(shard_folder(folder)) if file.is_read_whole),
    )
    command = [sys.executable, "-c", _PROGRAM, str(shard_folder(folder)), *sys.path]
    with suppress(OSError):
        # The child has the lock, too: should this process be killed, nobody opens what the child has open.
        tried = subprocess.run(  # noqa: S603  # our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            check=False,
        )
        if tried.returncode == -signal.SIGBUS:
            raise disk_full(folder, "opening the collection", needed=needed, space=space)
