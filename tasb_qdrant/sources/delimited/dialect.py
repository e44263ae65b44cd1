"""What a CSV or TSV file's first lines tell of it: the delimiter, and the names of the columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.errors import MissingFieldError, SourceError
from tasb_qdrant.sources.input.lines import MAX_LINE_BYTES
from tasb_qdrant.sources.input.streams import Head
from tasb_qdrant.sources.options import TextOptions
from tasb_qdrant.sources.record.fields import SourceFields
from tasb_qdrant.sources.record.plan import Origin, plan_fields

_USUAL: Final = {"csv": ",", "tsv": "\t"}
_OTHERS: Final = (",", ";", "\t", "|")
_SEP_LINE: Final = re.compile(r'"?sep=(.)"?\r?', re.IGNORECASE)
"""What Excel writes, and reads, as the first line, so that a file says its delimiter."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the rows of one file are cut, and where they begin.

    `before` lines are no rows. `names` are the columns, without those at the end that have no name and hold nothing;
    None: of a stream that has not even a header.
    """

    delimiter: str
    escape: str | None
    before: int
    names: tuple[str, ...] | None

    @property
    def decimal_comma(self) -> bool:
        """Whether `1,5` can be a number: where commas don't end cells, tables come from Excel in Europe."""
        return self.delimiter != ","


def dialect_of(head: Head, options: TextOptions, fields: SourceFields, *, file_format: str, origin: Origin) -> Dialect:
    """The dialect. Raises MissingFieldError or SourceError for a header that can't be used."""
    lines = [line.decode(errors="replace") for line in head.data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    said = _SEP_LINE.fullmatch(lines[0])
    before = 1 if said else 0
    candidates = [options.delimiter or (said[1] if said else _USUAL[file_format])]
    if not options.delimiter and not said and file_format == "csv":
        candidates = [*_OTHERS]
    failure: SourceError | None = None
    for delimiter in candidates:
        try:
            return _dialect(lines, delimiter, before, options, fields, origin)
        except SourceError as error:
            failure = failure or error
    raise _hinted(failure, lines[before:], candidates, source=origin.name)


def _dialect(
    lines: Sequence[str], delimiter: str, before: int, options: TextOptions, fields: SourceFields, origin: Origin
) -> Dialect:
    numbered = _Numbered(lines[before:])
    try:
        row = next((row for row in rows_of(numbered, delimiter, options.escape) if row), None)
    except csv.Error as error:
        raise SourceError(f"the header can't be read: {error}", source=origin.name, line=before + 1) from None
    at = before + numbered.number
    if row is None:
        return Dialect(delimiter, options.escape, before, None)
    names = [*(options.columns or row)]
    if options.columns and (len(row) < len(names) or any(row[len(names) :])):
        raise SourceError(
            f"--columns names {len(names)} columns, and the first line has {len(row)}; name them all",
            source=origin.name,
            line=at,
        )
    while names and not names[-1]:
        names.pop()
    _check_names(names, source=origin.name, line=at)
    plan_fields([dict.fromkeys(names)], fields, origin=origin)
    return Dialect(delimiter, options.escape, at if options.header else before, tuple(names))


def rows_of(lines: Iterator[str], delimiter: str, escape: str | None) -> Iterator[list[str]]:
    """The rows, cut so. Raises csv.Error for one that isn't sound, and can go on after it."""
    _raise_field_limit()
    return csv.reader(lines, delimiter=delimiter, escapechar=escape, strict=True)


def _raise_field_limit() -> None:
    """Let csv read fields as long as a line may be. The limit is process-wide, so it is only ever raised."""
    if csv.field_size_limit() < MAX_LINE_BYTES:
        csv.field_size_limit(MAX_LINE_BYTES)


class _Numbered(Iterator[str]):
    def __init__(self, lines: Sequence[str]) -> None:
        self.number = 0
        self._lines = lines

    def __next__(self) -> str:
        if self.number == len(self._lines):
            raise StopIteration
        self.number += 1
        return self._lines[self.number - 1] + "\n"


def _check_names(names: Sequence[str], *, source: str, line: int) -> None:
    for number, name in enumerate(names, start=1):
        if not name:
            raise SourceError(
                f"column {number} of the header has no name; give it one (pandas: to_csv(index=False)), or name all "
                "with --columns",
                source=source,
                line=line,
            )
        if names.count(name) > 1:
            raise SourceError(
                f"the header has the column {name!r} more than once; give each its own name, or name all with "
                "--columns",
                source=source,
                line=line,
            )


def _hinted(failure: SourceError | None, lines: Sequence[str], tried: Sequence[str], *, source: str) -> Exception:
    """The failure by the usual delimiter, with the option that may help."""
    first = next((line for line in lines if line.strip()), "")
    alone = isinstance(failure, MissingFieldError) and len(failure.available) == 1
    if alone and any(mark in first for mark in (*_OTHERS, ":", "^", "~", "\x01") if mark not in tried[:1]):
        return SourceError(
            f"the header is one column, {first.strip()[:60]!r}, when cut at {tried[0]!r}; name the character that "
            "separates columns with --delimiter, and the columns with --id-field and --text-field",
            source=source,
            line=1,
        )
    return failure or SourceError("the header can't be read", source=source, line=1)
