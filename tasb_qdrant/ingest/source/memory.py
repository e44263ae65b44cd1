"""Passages that a program has, as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from tasb_qdrant.errors import InvalidPassageError, SourceError
from tasb_qdrant.ingest.read.content import plain
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources import SourceFields, SourceFile, SourceReader, open_records

_NONE: Any = object()


class PassagesInMemory:
    """A PassageReader of any iterable of passages; `line` counts them.

    Payloads are copied: whoever made them may use the same dict for the next passage while this one
    still waits to be stored.
    """

    def __init__(
        self,
        passages: Iterable[Passage],
        *,
        on_reject: Callable[[Reject], None],
        fields: SourceFields | None = None,
        opened: Callable[[SourceReader], None] = lambda _: None,
        column_types: Mapping[str, IndexType] | None = None,
        on_nulled: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._passages = passages
        self._fields = fields or SourceFields()
        self._on_reject = on_reject
        self._opened = opened
        self._column_types = column_types
        self._on_nulled = on_nulled
        self.source = "<passages>"
        self.line = 0
        self.bytes_read = 0
        self.bytes_total: int | None = None
        self.files: tuple[SourceFile, ...] = ()

    def __iter__(self) -> Iterator[Passage]:
        rest = iter(self._passages)
        first = next(rest, _NONE)
        if isinstance(first, Mapping):
            yield from self._records(chain([first], rest))
            return
        for passage in rest if first is _NONE else chain([first], rest):
            self.line += 1
            if not isinstance(passage, Passage):
                raise SourceError(
                    f"expected a Passage, got {type(passage).__name__}; give passages, or a list of file names",
                    source=self.source,
                    line=self.line,
                )
            if passage.payload:
                nulled = getattr(passage.payload, "nulled", 0)
                try:
                    passage = replace(passage, payload=plain(passage.payload))
                except InvalidPassageError as error:  # changed since it was made
                    self._on_reject(Reject(source=self.source, line=self.line, reason=error.reason))
                    continue
                # It may have been spoiled since it was made, too.
                self._on_nulled(nulled or getattr(passage.payload, "nulled", 0))
            yield passage

    def _reader(self, records: Iterable[Any]) -> SourceReader:
        return open_records(records, fields=self._fields, on_reject=self._on_reject, column_types=self._column_types)

    def _records(self, records: Iterable[Any]) -> Iterator[Passage]:
        """The passages of an iterator of dicts, which only its first item tells from one of passages."""
        with self._reader(records) as reader:
            self._opened(reader)
            self.source = reader.source or self.source
            for passage in reader:
                self.line = reader.line
                yield passage
