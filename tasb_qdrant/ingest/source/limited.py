"""Only the first passages of a source, for a trial."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import SourceFile


class LimitedPassages:
    """The first `limit` passages of a reader. How long the source is doesn't matter then."""

    bytes_total: int | None = None

    def __init__(self, passages: PassageReader, limit: int) -> None:
        self._passages, self._limit = passages, limit

    def __iter__(self) -> Iterator[Passage]:
        return islice(iter(self._passages), self._limit)

    @property
    def source(self) -> str:
        """Where the last passage came from."""
        return self._passages.source

    @property
    def line(self) -> int:
        """Its line."""
        return self._passages.line

    @property
    def bytes_read(self) -> int:
        """How far the source is read."""
        return self._passages.bytes_read

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """What it is read from."""
        return self._passages.files
