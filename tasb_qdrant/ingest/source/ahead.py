"""Passages that are read before the run begins, and that come again in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasb_qdrant.ingest.read.content import canonical
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import SourceFile


@dataclass(frozen=True, slots=True)
class _Place:
    source: str
    line: int
    bytes_read: int


class Ahead:
    """A PassageReader whose first passages were read already, by `read`. They come again, each with its place.

    What ended that reading early, such as a reject, is raised where it belongs: after them.
    """

    def __init__(self, source: PassageReader) -> None:
        self._source = source
        self._rest = iter(source)
        self._read: list[tuple[Passage, _Place]] = []
        self.failure: Exception | None = None
        self._place: _Place | None = None
        self.size = 0

    def read(self) -> Iterator[Passage]:
        """Passages from the source; each is kept for later."""
        try:
            for passage in self._rest:
                self._read.append((passage, _Place(self._source.source, self._source.line, self._source.bytes_read)))
                self.size += len(passage.text) + len(canonical(passage.payload))
                yield passage
        except Exception as error:  # whatever it is, it is raised when the run gets there
            self.failure = error

    @property
    def source(self) -> str:
        return self._source.source if self._place is None else self._place.source

    @property
    def line(self) -> int:
        return self._source.line if self._place is None else self._place.line

    @property
    def bytes_read(self) -> int:
        return self._source.bytes_read if self._place is None else self._place.bytes_read

    @property
    def bytes_total(self) -> int | None:
        return self._source.bytes_total

    @property
    def estimate(self) -> int | None:
        """About how many passages the source has, by those that were read of it; None if nothing tells."""
        total = self._source.bytes_total
        if not total or not self._read:
            return None
        # Files are read piece by piece, which may hold more than was taken of them, and they may be compressed.
        seen = min(self._read[-1][1].bytes_read or total, self.size)
        return round(len(self._read) * total / max(1, seen))

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return self._source.files

    def __iter__(self) -> Iterator[Passage]:
        for passage, place in self._read:
            self._place = place
            yield passage
        self._place = None
        self._read.clear()
        if self.failure is not None:
            raise self.failure
        yield from self._rest
