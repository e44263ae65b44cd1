"""Room for what is about to be stored: looked at, and taken where the engine will write.

Another program may take the room between the look and the write. So the blocks are taken before, too, in the files that
are there; a file that the engine makes on the way has only the look.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from tasb_qdrant.collection.edge.space import (
    DISK_FULL,
    MIB,
    SparseFile,
    disk_full,
    mount_of,
    require,
    space_at,
    sparse_files,
)

if TYPE_CHECKING:
    from tasb_qdrant.collection.points import PointBatch

_MARGIN: Final = MIB
"""For the engine's small files, which it writes anew at each flush."""

_A_POINT: Final = 256
"""Bytes of a point in files that are written at a flush: its id (21), and its place in each store of payloads (16)."""

_PLACE: Final = 64
"""Bytes of a point in a file that says where its payload or value is."""

_CHUNK: Final = 32 * MIB
"""The size at which the engine makes a file of vectors, of payloads or texts, or of its log."""

_READ_INDEX: Final = 8 * MIB
"""What is read of an index on opening."""

_PLENTY: Final = 2**30
"""With so much free, and room for hundreds of such writes, nobody else fills the disk before this one is done."""

_MANY: Final = 256

_AMPLE: Final = 64
"""With room for so many writes, some of it can be taken for the next ones."""

_AHEAD: Final = 4
"""So many writes' room is taken at once then: taking it costs 0.8 ms a file on ext4."""

_INDEX: Final = 4 * MIB
"""An index of a payload field, before any point is in it: two or three maps of 1 MiB, and what they are kept in."""

_INDEX_FILES: Final = 24

_INDEXED_POINT: Final = 512
"""Bytes of a point's values in an index; a text has its words there once more."""


@dataclass(frozen=True, slots=True)
class Writing:
    """How much an update brings: points, bytes of their dense vectors as float32, and of their payloads and words."""

    points: int
    vectors: int = 0
    payload: int = 0

    @property
    def log(self) -> int:
        """Bytes in the log, where a number of a vector takes five."""
        return self.vectors * 21 // 16 + 2 * self.payload + _A_POINT * self.points

    @property
    def elsewhere(self) -> int:
        """Bytes in each other store: of payloads, of words, of a field's index. A value takes whole 128 bytes."""
        return 2 * self.payload + _A_POINT * self.points

    def within(self, file: SparseFile) -> int:
        """Bytes of it in this file, at the most."""
        if file.is_log:
            most = self.log
        elif file.is_dense:
            most = self.vectors
        else:
            most = _PLACE * self.points if file.is_tracker else self.elsewhere
        return min(most, file.hole)


def size_of(batch: PointBatch, payloads: Iterable[Mapping[str, Any]]) -> Writing:
    """What storing the batch brings, with these payloads; a word takes eight bytes."""
    words = 0 if batch.sparse is None else 8 * len(batch.sparse.indices)
    return Writing(len(batch.passages), batch.vectors.nbytes, words + sum(len(orjson.dumps(one)) for one in payloads))


class Room:
    """The room under one open shard. To be used by one thread at a time."""

    def __init__(self, shard: Path) -> None:
        self._shard = shard
        self._unflushed = 0
        self._ahead = 0
        self._mount = mount_of(shard)

    def for_update(self, writing: Writing, doing: str) -> None:
        """Return when there is room for it. Raises DiskFullError, and nothing was written then."""
        self._unflushed += writing.points
        margin = _MARGIN + _A_POINT * self._unflushed
        least = writing.log + writing.vectors + 2 * writing.elsewhere + margin
        free = space_at(self._shard).bytes
        if (free > max(_PLENTY, _MANY * least) and not self._mount.quotas) or (free >= least and least <= self._ahead):
            self._ahead -= min(least, self._ahead)
            return
        files = list(sparse_files(self._shard))
        # The log goes on in its next file at the most, and all else in the files that are there, or in new ones.
        needed = writing.log + writing.vectors + margin
        needed += sum(writing.within(file) for file in files if not file.is_log and not file.is_dense)
        require(self._shard, needed + self._for_reading(files, writing), doing)
        times = _AHEAD if free > _AMPLE * needed else 1
        for file in files:
            self._take(file, times * writing.within(file) + _A_POINT * self._unflushed, doing)
        self._ahead = (times - 1) * least

    def for_indexes(self, texts: Iterable[bool], *, points: int, doing: str) -> None:
        """Return when there is room for a payload index for each item, which says whether it is of texts."""
        wanted = list(texts)
        if not wanted:
            return
        segments = max(1, sum(1 for _ in (self._shard / "segments").iterdir()))
        needed = len(wanted) * (segments * _INDEX + points * _INDEXED_POINT)
        if any(wanted):
            needed += 2 * sum(file.given for file in sparse_files(self._shard) if not file.is_read_whole)
        if self._mount.in_memory:
            needed += sum(file.hole for file in sparse_files(self._shard) if file.is_read_whole)
            needed += sum(_READ_INDEX + (_CHUNK if is_text else 0) for is_text in wanted)
        require(self._shard, needed + _MARGIN, doing, files=segments * len(wanted) * _INDEX_FILES)

    @property
    def in_memory(self) -> bool:
        """Whether the disk is one in memory."""
        return self._mount.in_memory

    def flushed(self) -> None:
        """What was stored so far is on disk."""
        self._unflushed = 0

    def _for_reading(self, files: list[SparseFile], writing: Writing) -> int:
        """What the next opening will take, so that it can be opened on a disk that is full by then."""
        if not self._mount.in_memory:
            return 0
        dense = max((file.hole for file in files if file.is_dense), default=0)
        new = _CHUNK if dense < writing.vectors and not self._has_dense() else 0
        return sum(file.hole for file in files if file.is_read_whole) + new

    def _has_dense(self) -> bool:
        """Whether there is a file of vectors that can grow; one that was read whole has no holes any more."""
        return any((self._shard / "segments").glob("*/vector_storage/vectors/chunk_0.mmap"))

    def _take(self, file: SparseFile, needed: int, doing: str) -> None:
        """Have the disk give the file's next bytes, from the first that it hasn't given."""
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            descriptor = os.open(file.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # the engine may have replaced it; what else is wrong, it will say itself
            return
        try:
            start = os.lseek(descriptor, 0, os.SEEK_HOLE)
            if start < file.size:
                os.posix_fallocate(descriptor, start, min(needed, file.size - start))
        except OSError as error:  # others: a kind of disk that has no blocks to take
            if error.errno in DISK_FULL:
                raise disk_full(self._shard, doing, needed=needed) from error
        finally:
            os.close(descriptor)
