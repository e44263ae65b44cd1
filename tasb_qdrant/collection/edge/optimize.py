"""Building an embedded shard's vector index in a process of its own.

The engine holds the interpreter's lock for as long as it builds: minutes without progress and Ctrl-C.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from tasb_qdrant.collection.edge.engine import is_disk_full
from tasb_qdrant.collection.edge.space import MIB, disk_full, space_at
from tasb_qdrant.errors import CollectionError

POLL_SECONDS: Final = 0.1

INDEX_EVERYTHING_KB: Final = 1
"""The engine indexes segments above this many KB when `optimize` is called, and never by itself: so every
point, and "indexed" can be compared with "points"."""

_DOING: Final = "building the vector index"

_SHORT: Final = 64 * MIB
"""More than the engine makes a file of at a time: SIGBUS with so much room has another reason."""

# The engine looks itself whether there is room for a second copy of the vectors and payloads.
_TOO_LITTLE: Final = re.compile(r"Not enough space.*needed: (?P<number>[\d.]+) (?P<unit>[KMGT]i)?B")
_UNITS: Final = {None: 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

_PR_SET_PDEATHSIG: Final = 1

# The child imports from where this process does (a zip, an added path) and not from its working directory.
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from tasb_qdrant.collection.edge.optimize import main; main(sys.argv[1])"
)


def main(shard: str) -> None:
    """The child's work. It ends with its parent: else a killed run's successor would find the shard taken."""
    for number in (signal.SIGINT, signal.SIGTERM):  # both may reach a whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    build(shard)


def build(shard: str) -> None:
    """Optimize until nothing is left to do, and write everything to disk."""
    import qdrant_edge as edge  # here, so that its failures are the child's too

    opened = edge.EdgeShard.load(shard)
    opened.optimize()
    opened.flush()
    opened.close()


def build_in_child(shard: Path, *, lock: int, while_waiting: Callable[[], None]) -> None:
    """Return when the index is built. The shard must be closed here.

    The child has the file descriptor `lock` too: should this process be killed, the collection stays
    locked until the child has ended. What `while_waiting` raises ends the child. Raises CollectionError.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        # A frozen application's executable would start the application once more.
        while_waiting()
        build(str(shard))
        return
    # A file and not a pipe: nobody reads while the child runs, and a full pipe would block it for ever.
    with _said_in() as said:
        child = _start([sys.executable, "-c", _PROGRAM, str(shard), *sys.path], said, lock=lock, folder=shard.parent)
        try:
            while not _has_ended(child):
                while_waiting()
        except BaseException:
            child.kill()
            # To its end, which Popen's own `with` doesn't do after Ctrl-C: it holds the shard until then.
            child.wait()
            raise
        if child.returncode:
            said.seek(0)
            raise _failure(shard.parent, child.returncode, said.read().decode("utf-8", "replace"))


def _said_in() -> IO[bytes]:
    """A file for what the child says; in memory of the system alone where no disk has room for one."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.memfd_create("said") if hasattr(os, "memfd_create") else os.devnull, "w+b")


def _start(command: list[str], said: IO[bytes], *, lock: int, folder: Path) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603  # our own program
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, pass_fds=(lock,)
        )
    except OSError as error:
        raise CollectionError(
            f"{folder}: the process that builds the vector index can't be started ({error.strerror or error}); "
            "the passages are safe: fix that, and run 'tasb-qdrant collection optimize'"
        ) from error


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _failure(folder: Path, status: int, said: str) -> CollectionError:
    """What made the child end with this status, having said this. The passages are as they were."""
    if -status == signal.SIGBUS and space_at(folder).bytes < _SHORT:
        return disk_full(folder, _DOING)
    if (short := _TOO_LITTLE.search(said)) is not None:
        return disk_full(folder, _DOING, needed=int(float(short["number"]) * _UNITS[short["unit"]]))
    if is_disk_full(said):
        return disk_full(folder, _DOING)
    if status < 0:
        how = f"the process that built the vector index was killed by signal {-status}; is there enough memory?"
    else:
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        how = f"building the vector index ended with status {status} ({last[0][:500]})"
    return CollectionError(f"{folder}: {how}. The passages are safe: run 'tasb-qdrant collection optimize' again")
