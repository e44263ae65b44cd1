"""Checksums beside the engine's files: whether they are as they were written last.

The engine notices a file that it can't read, and believes one that is cut short, or that has lost some bits: vectors of
zeros, hits that are none. DIR/NAME/checksums.json has the size and the checksum of each file. It is written when a
collection is closed in which something was stored, and is gone from the first write until then: after a process was
killed nothing is known, and nothing is said.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson

from tasb_qdrant.collection.edge.files import named_failure, sync_path, write_durably
from tasb_qdrant.errors import StoreCorruptError
from tasb_qdrant.printable import logger

log: Final = logger(__name__)

_RECORD: Final = "checksums.json"
_NEW: Final = "checksums.json.new"
_WAL: Final = "wal"

_BLOCK: Final = 64 * 1024
_ZEROS: Final = bytes(_BLOCK)

_READ_ON_OPENING: Final = 64 * 1024
"""Files up to this size are read whenever a collection is opened: 300 of them in 10 ms."""

_READ_BEFORE_WRITING: Final = 2**29
"""A store of so many bytes at the most is read as a whole when it is opened to be written to: that takes 0.1 s, and as
long as its disk takes where the system doesn't have the files in memory."""

_NAMED: Final = 3

_JOURNAL: Final = "tracker_journal.dat"
"""A file that the engine makes when something is written, and deletes on the next opening."""

_WRITTEN_ON_OPENING: Final = (".json", ".info", ".versions")
"""Files that the engine may write anew whenever it opens them: it reads the first two as a whole, and says itself when
it can't; they may be shorter then."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A file's size, and the checksum of what it holds. A hole counts as the zeros that are read from it."""

    size: int
    crc: int


class Checksums:
    """Those of one collection, for the process that holds its lock. `shard` is the folder of the engine's files."""

    def __init__(self, folder: Path, shard: Path) -> None:
        self._folder = folder
        self._shard = shard
        self._known: dict[str, Sum] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._written = False

    def check_on_opening(self) -> None:
        """Look at every file's size, and read the small ones. Raises StoreCorruptError, which names those that are
        damaged. Nothing is said where another program has written since."""
        self._known = self._read()
        if damaged := list(self._damaged(whole=False)):
            raise self._error(damaged)

    def opened(self) -> None:
        """The engine has opened its files, and written what it writes then."""
        self._seen = {name: _stamp(path) for name, path in self._files()}

    def writing(self) -> None:
        """Something is about to be written: from now on the checksums may be wrong. Raises CollectionError."""
        if self._written:
            return
        with named_failure(self._folder, "removing the checksums of its files"), suppress(FileNotFoundError):
            (self._folder / _RECORD).unlink()
            sync_path(self._folder)  # else a power loss could bring it back, beside files that were changed
        self._written = True

    def closed(self, *, in_memory: bool) -> None:
        """The engine has closed its files: note how they are, if something was written. On a disk `in_memory` the time
        of a file's last change says nothing."""
        if not self._written:
            return
        try:
            sums = {name: self._sum(name, path, in_memory=in_memory) for name, path in self._files()}
            write_durably(self._folder / _NEW, orjson.dumps(self._as_json(sums)))
            (self._folder / _NEW).replace(self._folder / _RECORD)
        except OSError as error:
            with suppress(OSError):
                (self._folder / _NEW).unlink(missing_ok=True)
            log.info("%s: no checksums were written (%s), so damage will not be noticed", self._folder, error.strerror)
        else:
            self._known, self._written = sums, False

    def damaged(self) -> list[str] | None:
        """The files that aren't as they were written, all of which are read; None where that isn't known."""
        if self._written or not (known := self._read()):
            return None
        self._known = known
        return list(self._damaged(whole=True))

    def check_before_writing(self) -> None:
        """Read all files of a small store. Raises StoreCorruptError, as on opening: what is damaged would be written
        to, and then its checksum. A large store is left to `damaged`."""
        given = sum(path.stat().st_blocks * 512 for _, path in self._files())
        if given <= _READ_BEFORE_WRITING and (damaged := self.damaged()):
            raise self._error(damaged)

    def _error(self, damaged: list[str]) -> StoreCorruptError:
        more = f", and {len(damaged) - _NAMED:,} more" if len(damaged) > _NAMED else ""
        return StoreCorruptError(
            f"{self._folder}: the embedded store can't be opened (files are not as they were written: "
            f"{', '.join(damaged[:_NAMED])}{more}); restore the folder from a backup, or delete the collection and "
            "ingest again"
        )

    def _damaged(self, *, whole: bool) -> Iterator[str]:
        for name, then in self._known.items():
            path = self._shard / name
            try:
                size = path.stat().st_size
                if size < then.size and not name.endswith(_WRITTEN_ON_OPENING[:2]):
                    yield f"{name} has {size:,} of {then.size:,} bytes"
                elif name.endswith(_WRITTEN_ON_OPENING) or not (whole or size <= _READ_ON_OPENING):
                    continue
                elif size != then.size or _crc(path) != then.crc:
                    yield f"{name} has other content"
            except FileNotFoundError:
                yield f"{name} is gone"
            except OSError as error:
                yield f"{name} can't be read ({error.strerror})"

    def _read(self) -> dict[str, Sum]:
        """What was written, if it still says something of the files that are there."""
        try:
            stored: Mapping[str, Any] = orjson.loads((self._folder / _RECORD).read_bytes())
            if stored["engine"] != _engine() or stored["log"] != _end_of_log(self._shard / _WAL):
                return {}
            return {name: Sum(**values) for name, values in stored["files"].items()}
        except (OSError, ValueError, TypeError, LookupError):
            return {}

    def _as_json(self, sums: Mapping[str, Sum]) -> dict[str, Any]:
        files = {name: asdict(one) for name, one in sums.items()}
        return {"engine": _engine(), "log": _end_of_log(self._shard / _WAL), "files": files}

    def _files(self) -> Iterator[tuple[str, Path]]:
        """All but the log, which has checksums of its own."""
        for path in sorted(self._shard.rglob("*")):
            name = path.relative_to(self._shard).as_posix()
            if not name.startswith(f"{_WAL}/") and path.name != _JOURNAL and path.is_file():
                yield name, path

    def _sum(self, name: str, path: Path, *, in_memory: bool) -> Sum:
        known = self._known.get(name)
        if known is not None and not in_memory and self._seen.get(name) == _stamp(path):
            return known
        # The checksum will be on the disk: so must be what it is of, or a power loss would look like damage.
        sync_path(path)
        return Sum(path.stat().st_size, _crc(path))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _crc(path: Path) -> int:
    """Of the blocks that aren't all zeros, each with its place: the same whether the disk has holes there or not."""
    crc = 0
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while (at := _data_at(file.fileno(), at, size)) < size:
            block = os.pread(file.fileno(), _BLOCK, at)
            if block != _ZEROS[: len(block)]:
                crc = zlib.crc32(block, zlib.crc32(at.to_bytes(8, "little"), crc))
            at += _BLOCK
    return crc


def _data_at(descriptor: int, at: int, size: int) -> int:
    """The start of the next block that may have something in it; the file's `size` if there is none."""
    if not hasattr(os, "SEEK_DATA"):
        return at
    try:
        return max(at, os.lseek(descriptor, at, os.SEEK_DATA) // _BLOCK * _BLOCK)
    except OSError as error:
        return size if error.errno == errno.ENXIO else at  # only a hole is left; others know no holes


def _data_end(descriptor: int, size: int) -> int:
    """Where the last data may end, as far as the disk knows it."""
    at = end = 0
    try:
        while at < size:
            at = end = os.lseek(descriptor, os.lseek(descriptor, at, os.SEEK_DATA), os.SEEK_HOLE)
    except (OSError, AttributeError) as error:
        return end if getattr(error, "errno", None) == errno.ENXIO else size
    return size


def _end_of_log(folder: Path) -> dict[str, int]:
    """What changes whenever something is written, by whatever program: the last block of each file of the log."""
    found = {}
    for path in sorted(folder.glob("*")):
        with path.open("rb", buffering=0) as file:
            end = _data_end(file.fileno(), os.fstat(file.fileno()).st_size)
            for at in range((end - 1) // _BLOCK * _BLOCK, -1, -_BLOCK):
                block = os.pread(file.fileno(), _BLOCK, at)
                if block != _ZEROS[: len(block)]:
                    found[path.name] = zlib.crc32(block, at)
                    break
    return found


def _engine() -> str:
    return version("qdrant-edge-py")
