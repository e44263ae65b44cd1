"""Any number of sources, one after another, as one iterator of passages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol, Self

from tasb_qdrant.errors import SourceError
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.delimited import DELIMITERS, check_delimited, read_delimited
from tasb_qdrant.sources.discover import discover
from tasb_qdrant.sources.fields import SourceFields
from tasb_qdrant.sources.formats import check_format, check_text, endings_of, format_of, is_parquet
from tasb_qdrant.sources.jsonl import plan_jsonl, read_jsonl
from tasb_qdrant.sources.msmarco_tsv import read_msmarco
from tasb_qdrant.sources.streams import ByteStream, Input

FIFO_WAIT_SECONDS: Final = 10.0
"""Seconds to wait for a named pipe to get a writer."""


class _Source(Protocol):
    """A source that has been checked and can be read."""

    @property
    def bytes_read(self) -> int: ...
    def passages(self, cursor: Cursor) -> Iterator[Passage]: ...
    def close(self) -> None: ...


class SourceReader(Iterator[Passage]):
    """The passages of all sources in order, read once. Like csv.reader, it knows where the last one came from.

    `source` names the current file ("<stdin>" for `-`), `line` is the 1-based line (CSV: where the record
    starts) or row (Parquet) of the last passage, `rejected` counts the rejects so far. `bytes_read` counts
    raw, possibly compressed bytes, out of `bytes_total`, which is None if one of the sources is a
    stream. `files` are the sources as they were found. After an error, reading can't continue: the same
    error is raised again, rather than an end that looks like success.
    """

    def __init__(self, inputs: Sequence[tuple[Input, _Source]], *, on_reject: Callable[[Reject], None] | None) -> None:
        self._inputs = tuple(inputs)
        self._cursor = Cursor(on_reject)
        self._current: _Source | None = None
        self._bytes_before = 0
        self._passages = self._read()
        self.files: tuple[Path | Literal["-"], ...] = tuple(
            "-" if one.path is None else one.path for one, _ in self._inputs
        )
        sizes = [one.size for one, _ in self._inputs]
        self.bytes_total: int | None = None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def source(self) -> str:
        """The current file's name."""
        return self._cursor.source

    @property
    def line(self) -> int:
        """The 1-based line or row of the last passage."""
        return self._cursor.line

    @property
    def rejected(self) -> int:
        """Rejects so far."""
        return self._cursor.rejected

    @property
    def bytes_read(self) -> int:
        """Raw bytes so far. A little ahead of the passages, because bytes are read in pieces."""
        return self._bytes_before + (self._current.bytes_read if self._current is not None else 0)

    def __next__(self) -> Passage:
        try:
            return next(self._passages)
        except StopIteration:
            raise
        except BaseException as error:
            self._passages = _again(error)
            raise

    def close(self) -> None:
        """Close whatever is open. A stream that was passed in stays open."""
        self._passages = _again(ValueError("the reader is closed"))
        for one, source in self._inputs:
            source.close()
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self) -> Iterator[Passage]:
        for one, source in self._inputs:
            self._cursor.source, self._cursor.line = one.name, 0
            self._current = source
            yield from source.passages(self._cursor)
            source.close()
            self._bytes_before += source.bytes_read
            self._current = None


def _again(error: BaseException) -> Iterator[Passage]:
    raise error
    yield


class _TextSource:
    """A text format and its bytes, which are opened when the first passage is asked for."""

    def __init__(self, source: Input, read: Callable[[ByteStream, Cursor], Iterator[Passage]]) -> None:
        self._input = source
        self._read = read
        self._stream: ByteStream | None = None

    @property
    def bytes_read(self) -> int:
        return 0 if self._stream is None else self._stream.bytes_read

    def passages(self, cursor: Cursor) -> Iterator[Passage]:
        self._stream = self._input.open()
        return self._read(self._stream, cursor)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def open_sources(
    sources: Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - the name of the option
    fields: SourceFields = SourceFields(),  # noqa: B008 - frozen
    on_reject: Callable[[Reject], None] | None = None,
    stdin: BinaryIO | None = None,
    column_types: Mapping[str, IndexType] | None = None,
    fifo_wait: float = FIFO_WAIT_SECONDS,
    excluded: Collection[Path] = (),
) -> SourceReader:
    """A reader over files, folders, globs and `-` (standard input), in the order given.

    `format` is one of FORMATS and applies to all sources; with None each name decides (`.tsv`, see
    formats.format_of; `.jsonl`, `.ndjson`, `.json`, `.csv`, `.parquet`; text formats may be compressed with gzip
    or Zstandard, whatever the file is called), and of streams only JSONL is recognised.
    `column_types` gives the cells of CSV and TSV the types that their columns are indexed as.
    `fifo_wait` is how many seconds to wait for a named pipe to get a writer. Files in `excluded` are left out
    of folders and globs (discover.discover says what else is skipped in a folder).

    An input that can't be stored goes to `on_reject`, and reading continues; without `on_reject` the first one
    raises RejectedError. Everything else that can be checked is checked here, before the first passage.
    Raises SettingsError, SourceError, MissingFieldError.
    """
    check_format(format)
    found = discover(sources, endings=endings_of(format), excluded=excluded)
    opened: list[tuple[Input, _Source]] = []
    try:
        for one in found:
            source = Input(one, stdin=stdin, fifo_wait=fifo_wait)
            try:
                opened.append((source, _prepare(source, format, fields, column_types or {})))
            except BaseException:
                source.close()
                raise
    except BaseException:
        for source, _ in opened:
            source.close()
        raise
    return SourceReader(opened, on_reject=on_reject)


def _prepare(source: Input, given: str | None, fields: SourceFields, types: Mapping[str, IndexType]) -> _Source:
    head = source.head()
    if is_parquet(source, given=given):
        return _parquet(source, fields)
    check_text(head, source=source.name)
    kind = format_of(source, head, given=given, fields=fields)
    if kind == "jsonl":
        plan = plan_jsonl(head, fields, source=source.name)
        return _TextSource(source, partial(read_jsonl, plan=plan, fields=fields))
    if kind == "msmarco":
        return _TextSource(source, read_msmarco)
    delimiter = DELIMITERS[kind]
    check_delimited(head, delimiter=delimiter, fields=fields, types=types, source=source.name)
    return _TextSource(source, partial(read_delimited, delimiter=delimiter, fields=fields, types=types))


def _parquet(source: Input, fields: SourceFields) -> _Source:
    if source.path is None or source.is_stream:
        raise SourceError(
            "Parquet is read from its end and can't come through a pipe; name the file", source=source.name
        )
    from tasb_qdrant.sources.parquet import ParquetSource  # pyarrow takes 0.1 s, and few need it

    return ParquetSource(source.path, fields)
