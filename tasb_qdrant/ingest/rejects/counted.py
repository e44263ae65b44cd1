"""The rejects of a source that is only looked at."""

from __future__ import annotations

from collections.abc import Iterable

from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.records import Reject
from tasb_qdrant.sources import SourceFile


class CountedRejects(RejectLog):
    """Counts the inputs that can't be stored, and keeps only the first. `files` are those that are read."""

    def __init__(self) -> None:
        super().__init__(None, on_reject=lambda: None)
        self.count = 0
        self.first: Reject | None = None
        self.files: tuple[SourceFile, ...] = ()

    def open(self, *, sources: Iterable[SourceFile] = ()) -> None:
        """Remember which files are read."""
        self.files = tuple(sources)

    def add(self, reject: Reject) -> None:
        """Count it."""
        self.count += 1
        self.first = self.first or reject
