"""A PassageReader around another one, which knows the places."""

from __future__ import annotations

from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.sources import SourceFile


class ReaderAround:
    """Says of the source what the other reader says; who inherits from it gives the passages."""

    def __init__(self, passages: PassageReader) -> None:
        self._passages = passages

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
    def bytes_total(self) -> int | None:
        """How long it is, if known."""
        return self._passages.bytes_total

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """What it is read from."""
        return self._passages.files
