"""Passages that a program has, as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tasb_qdrant.errors import InvalidPassageError, SourceError
from tasb_qdrant.ingest.read.content import plain
from tasb_qdrant.records import Passage, Reject


class PassagesInMemory:
    """A PassageReader of any iterable of passages; `line` counts them.

    Payloads are copied: whoever made them may use the same dict for the next passage while this one
    still waits to be stored.
    """

    def __init__(self, passages: Iterable[Passage], *, on_reject: Callable[[Reject], None]) -> None:
        self._passages = passages
        self._on_reject = on_reject
        self.source = "<passages>"
        self.line = 0
        self.bytes_read = 0
        self.bytes_total: int | None = None
        self.files: tuple[Path | Literal["-"], ...] = ()

    def __iter__(self) -> Iterator[Passage]:
        for passage in self._passages:
            self.line += 1
            if not isinstance(passage, Passage):
                raise SourceError(
                    f"expected a Passage, got {type(passage).__name__}; give passages, or a list of file names",
                    source=self.source,
                    line=self.line,
                )
            if passage.payload:
                try:
                    passage = replace(passage, payload=plain(passage.payload))
                except InvalidPassageError as error:  # changed since it was made
                    self._on_reject(Reject(source=self.source, line=self.line, reason=error.reason))
                    continue
            yield passage
