"""The rows of CSV and TSV, as Python's csv module reads them: quoted fields may contain line breaks."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain, islice

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.sources.delimited.dialect import Dialect, rows_of
from tasb_qdrant.sources.input.lines import MAX_LINE_BYTES, TOO_LONG, line_blocks, undecodable


def csv_rows(stream: Iterator[bytes], dialect: Dialect, *, source: str) -> Iterator[tuple[int, list[str] | str]]:
    """(the number of its first line, the row, or why it can't be read), in order, without the header.

    Blank lines are skipped.
    """
    lines = _RecordLines(stream, dialect, source=source)
    rows = rows_of(lines, dialect.delimiter, dialect.escape)
    while True:
        start = lines.begin_record()
        try:
            row = next(rows, None)
        except (csv.Error, InvalidPassageError) as error:
            reason = error.reason if isinstance(error, InvalidPassageError) else f"malformed: {error}{lines.hint}"
            yield start, _with_lines(reason, start, lines.number)
            continue
        if row is None:
            return
        if lines.problem is not None:
            yield start, _with_lines(lines.problem, start, lines.number)
        elif row:
            yield start, row


def sound_rows(stream: Iterator[bytes], dialect: Dialect, *, source: str) -> Iterator[list[str]]:
    """The rows that csv_rows gives, without their places and what is wrong with others: faster, to look at them all."""
    if dialect.escape is not None:
        yield from (row for _, row in csv_rows(stream, dialect, source=source) if not isinstance(row, str))
        return
    # A block at once: decoding line by line takes as long as finding the rows.
    blocks = (
        io.StringIO(b"\n".join(raw or b"" for raw in block).decode(errors="replace") + "\n", newline="\n")
        for block in line_blocks(stream, source=source)
    )
    rows = rows_of(islice(chain.from_iterable(blocks), dialect.before, None), dialect.delimiter, None)
    while True:
        try:
            yield from rows
        except csv.Error:
            continue
        return


class _RecordLines(Iterator[str]):
    """Lines for csv.reader, numbered, with a limit on the size of one record.

    A line that isn't UTF-8 is passed on all the same, so that its record ends where it should; `problem` then
    says why that record can't be used.
    """

    def __init__(self, stream: Iterator[bytes], dialect: Dialect, *, source: str) -> None:
        self.number = dialect.before
        self.problem: str | None = None
        lines = (line for block in line_blocks(stream, source=source) for line in block)
        self._lines = islice(lines, dialect.before, None) if dialect.before else lines
        self._bytes = 0
        self._last = b""
        self._escape = _literal_escapes(dialect)

    @property
    def hint(self) -> str:
        """What may be wrong with a record that isn't sound, by its last line."""
        if self._escape is None and b'\\"' in self._last:
            return "; if the backslash before the quote makes it a part of the text, say --escape '\\'"
        return ""

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
        self._last = raw
        self._bytes += len(raw) + 1
        if self._bytes > MAX_LINE_BYTES + 1:
            raise InvalidPassageError(
                f"the record is longer than {MAX_LINE_BYTES:,} bytes; is a quote left open?", field="text"
            )
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            self.problem = undecodable(raw)
            line = raw.decode(errors="replace")
        if self._escape is not None:
            pattern, escape = self._escape
            line = pattern.sub(lambda found: found[1] or escape * 2, line)
        return line + "\n"


def _literal_escapes(dialect: Dialect) -> tuple[re.Pattern[str], str] | None:
    r"""What finds escape characters, and tells those that stand for themselves, such as in `C:\new`.

    csv would leave them out; Spark writes them so, and escapes no more than it must.
    """
    escape = dialect.escape
    if escape is None:
        return None
    pair = f'{re.escape(escape)}[{re.escape(escape)}"{re.escape(dialect.delimiter)}]'
    return re.compile(f"({pair})|{re.escape(escape)}"), escape


def _with_lines(reason: str, start: int, end: int) -> str:
    return reason if end <= start else f"{reason} (the record's lines are {start} to {end})"
