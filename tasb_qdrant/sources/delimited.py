"""CSV and TSV with a header, as Python's csv module reads them: quoted fields may contain line breaks."""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.errors import InvalidPassageError, SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources.column_types import Convert, converters
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.fields import SourceFields, plan_fields
from tasb_qdrant.sources.lines import MAX_LINE_BYTES, TOO_LONG, line_blocks, undecodable
from tasb_qdrant.sources.streams import ByteStream, Head

DELIMITERS: Final[Mapping[str, str]] = {"csv": ",", "tsv": "\t"}


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns hold the id, text and title, and how the others become payload."""

    count: int
    id: int
    text: int
    title: int | None
    payload: tuple[tuple[str, int, Convert | None], ...]

    def passage(self, row: list[str]) -> Passage:
        """Raises InvalidPassageError."""
        if len(row) != self.count:
            plural = "" if len(row) == 1 else "s"
            raise InvalidPassageError(f"{len(row)} column{plural}, expected {self.count}", field="payload")
        payload: dict[str, object] = {
            name: row[at] if convert is None else convert(name, row[at]) for name, at, convert in self.payload
        }
        title = None if self.title is None else row[self.title] or None
        return Passage(id=row[self.id], text=row[self.text], title=title, payload=payload)


def check_delimited(
    head: Head, *, delimiter: str, fields: SourceFields, types: Mapping[str, IndexType], source: str
) -> None:
    """Raises MissingFieldError or SourceError for a header that can't be used."""
    _raise_field_limit()
    lines = (line.decode(errors="replace") + "\n" for line in head.data.removeprefix(BOM_UTF8).split(b"\n"))
    try:
        header = next((row for row in csv.reader(lines, delimiter=delimiter, strict=True) if row), None)
    except csv.Error as error:
        raise SourceError(f"the header can't be read: {error}", source=source, line=1) from None
    if header is not None:
        _columns(header, fields, types, source=source, line=1)


def read_delimited(
    stream: ByteStream,
    cursor: Cursor,
    *,
    delimiter: str,
    fields: SourceFields,
    types: Mapping[str, IndexType],
) -> Iterator[Passage]:
    """The passages in order; `cursor.line` is where the record starts. Blank lines are skipped."""
    _raise_field_limit()
    lines = _RecordLines(stream, source=cursor.source)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    columns: _Columns | None = None
    while True:
        start = lines.begin_record()
        try:
            row = next(rows, None)
            if row is None:
                return
            if lines.problem is not None:
                raise InvalidPassageError(lines.problem, field="text")
            if not row:
                continue
            if columns is None:
                columns = _columns(row, fields, types, source=cursor.source, line=start)
                continue
            passage = columns.passage(row)
        except (csv.Error, InvalidPassageError) as error:
            reason = _why(error, start, lines.number)
            if columns is None:
                raise SourceError(f"the header can't be read: {reason}", source=cursor.source, line=start) from None
            cursor.reject(start, reason)
            continue
        cursor.line = start
        yield passage


class _RecordLines(Iterator[str]):
    """Lines for csv.reader, numbered, with a limit on the size of one record.

    A line that isn't UTF-8 is passed on all the same, so that its record ends where it should; `problem` then
    says why that record can't be used.
    """

    def __init__(self, stream: ByteStream, *, source: str) -> None:
        self.number = 0
        self.problem: str | None = None
        self._lines = (line for block in line_blocks(stream, source=source) for line in block)
        self._bytes = 0

    def begin_record(self) -> int:
        """Start a record; returns the number of the next line."""
        self.problem = None
        self._bytes = 0
        return self.number + 1

    def __next__(self) -> str:
        raw = next(self._lines)
        self.number += 1
        if raw is None:
            raise InvalidPassageError(TOO_LONG, field="text")
        self._bytes += len(raw) + 1
        if self._bytes > MAX_LINE_BYTES + 1:
            raise InvalidPassageError(
                f"the record is longer than {MAX_LINE_BYTES:,} bytes; is a quote left open?", field="text"
            )
        try:
            return raw.decode() + "\n"
        except UnicodeDecodeError:
            self.problem = undecodable(raw)
            return raw.decode(errors="replace") + "\n"


def _columns(
    header: list[str], fields: SourceFields, types: Mapping[str, IndexType], *, source: str, line: int
) -> _Columns:
    for number, name in enumerate(header, start=1):
        if not name:
            raise SourceError(
                f"column {number} of the header has no name; give it one (pandas: to_csv(index=False))",
                source=source,
                line=line,
            )
        if header.count(name) > 1:
            raise SourceError(
                f"the header has the column {name!r} more than once; give each its own name",
                source=source,
                line=line,
            )
    plan = plan_fields([dict.fromkeys(header)], fields, source=source)
    roles = [path[0] for path in (plan.id, plan.text, plan.title) if path is not None]
    convert = converters(types, [name for name in header if name not in roles], source=source)
    return _Columns(
        count=len(header),
        id=header.index(plan.id[0]),
        text=header.index(plan.text[0]),
        title=header.index(plan.title[0]) if plan.title and plan.title[0] in header else None,
        payload=tuple((name, at, convert.get(name)) for at, name in enumerate(header) if name not in roles),
    )


def _raise_field_limit() -> None:
    """Let csv read fields as long as a line may be. The limit is process-wide, so it is only ever raised."""
    if csv.field_size_limit() < MAX_LINE_BYTES:
        csv.field_size_limit(MAX_LINE_BYTES)


def _why(error: csv.Error | InvalidPassageError, start: int, end: int) -> str:
    reason = error.reason if isinstance(error, InvalidPassageError) else f"malformed: {error}"
    return reason if end <= start else f"{reason} (the record's lines are {start} to {end})"
