"""Only the first passages of a source, for a trial."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tasb_qdrant.ingest.read.around import ReaderAround
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.records import Passage


class LimitedPassages(ReaderAround):
    """The first `limit` passages of a reader."""

    def __init__(self, passages: PassageReader, limit: int) -> None:
        super().__init__(passages)
        self._limit = limit

    def __iter__(self) -> Iterator[Passage]:
        return islice(iter(self._passages), self._limit)

    @property
    def bytes_total(self) -> int | None:
        """None: how long the source is doesn't matter."""
        return None
