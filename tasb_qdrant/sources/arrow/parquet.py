"""Parquet, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasb_qdrant.errors import SourceError
from tasb_qdrant.printable import named
from tasb_qdrant.records import Passage
from tasb_qdrant.sources.arrow.columns import DECLARED, Columns, plan_columns
from tasb_qdrant.sources.arrow.footer import Chunk, read_footer, row_groups
from tasb_qdrant.sources.blocks import InBlocks
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.record.choice import Choice
from tasb_qdrant.sources.record.fields import FieldsTaken, SourceFields
from tasb_qdrant.sources.record.plan import Origin
from tasb_qdrant.sources.record.typed import TypedFields
from tasb_qdrant.sources.remote.file import RemoteFile

_BATCH_ROWS: Final = 1024

_BATCH_BYTES: Final = 8 * 1024 * 1024
"""About what a batch takes as Arrow's; as Python's values it takes as much again, and more for short ones."""

_PROBE_ROWS: Final = 16

_MUCH_BYTES: Final = 256 * 1024 * 1024
_GROWTH: Final = 1000
"""Texts shrink to a third; what shrinks so much, and is so large, was made to."""

# Without a buffer, a row group's whole column chunks are read at once, and a row group may be the whole file.
_BUFFER_BYTES: Final = 1024 * 1024


class _RowGroup(NamedTuple):
    """So many rows, and the parts of the columns that are read, with their paths in the schema."""

    rows: int
    chunks: Sequence[tuple[str, Chunk]]


class _Known(NamedTuple):
    """The row groups by a footer, which is known by its digest: large ones take long to read."""

    footer: bytes
    groups: list[_RowGroup]


class ParquetSource:
    """A Parquet file, here or elsewhere, whose columns have been checked. Raises MissingFieldError, SourceError."""

    def __init__(
        self,
        found: Path | RemoteFile,
        fields: SourceFields,
        *,
        origin: Origin,
        choice: Choice | None,
        typed: TypedFields | None = None,
    ) -> None:
        self._found = found
        self._source = origin.name
        self._file: pq.ParquetFile | None = None
        self._size = found.size or 0 if isinstance(found, RemoteFile) else found.stat().st_size
        self._rows_read = 0
        self._known: _Known | None = None
        with self._opened() as (file, given), _named(self._source):
            self._rows = file.metadata.num_rows
            self._columns = plan_columns(_schema(file), fields, origin=origin, choice=choice, typed=typed)
            if self._columns.holds_bytes and file.num_row_groups:
                self._check_growth(self._row_groups(file, given)[0])
                for batch in self._rows_of(file, 0, _PROBE_ROWS):
                    self._columns.check_bytes(batch)
                    break

    @property
    def bytes_read(self) -> int:
        """The file's size times the share of its rows read so far."""
        return self._size * self._rows_read // self._rows if self._rows else self._size

    @property
    def taken(self) -> FieldsTaken:
        """Which columns were taken for what."""
        return self._columns.plan.taken("parquet")

    @property
    def in_blocks(self) -> InBlocks:
        """Batches of rows."""
        return InBlocks(self._rows_format, lambda: ((batch, batch.num_rows) for batch in self._batches()))

    def passages(self, cursor: Cursor) -> Iterator[Passage]:
        """The passages in order; `cursor.line` is the row."""
        for batch in self._batches():
            yield from self._rows_format.passages(batch, cursor, before=self._rows_read)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """All rows; those of a batch count as read when the next one is asked for."""
        with self._opened() as (self._file, given):
            for number, group in enumerate(self._row_groups(self._file, given)):
                for batch in self._rows_of(self._file, number, self._batch_rows(self._file, number, group)):
                    yield batch
                    self._rows_read += batch.num_rows

    def close(self) -> None:
        """Close the file if it is open."""
        if self._file is not None:
            self._file.close(force=True)

    @contextmanager
    def _opened(self) -> Iterator[tuple[pq.ParquetFile, Any]]:
        """The file, closed at the end, and what it reads from, which pyarrow leaves open. Raises SourceError."""
        try:
            given = self._found.open_seekable() if isinstance(self._found, RemoteFile) else self._found.open("rb")
        except OSError as error:
            raise self._unreadable(error) from None
        with closing(given):
            try:
                file = pq.ParquetFile(given, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise self._unreadable(error) from None
            try:
                yield file, given
            finally:
                file.close(force=True)

    def _rows_of(self, file: pq.ParquetFile, group: int, size: int) -> Iterator[pa.RecordBatch]:
        """The row group in batches of `size` rows, with the columns that are read."""
        if group >= file.num_row_groups:
            return
        names = [*self._columns.names]
        chosen = None if names == file.schema_arrow.names else names
        batches = file.iter_batches(batch_size=size, row_groups=[group], columns=chosen)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise self._unreadable(error) from None
            if batch is None:
                return
            # A column "x.y" is asked for by the same name as the member y of x, and both come.
            yield batch if chosen is None else batch.select(names)

    def _row_groups(self, file: pq.ParquetFile, given: Any) -> list[_RowGroup]:
        """What the file says of its row groups, of the columns that are read; kept as long as it says the same. Raises
        SourceError."""
        try:
            footer = read_footer(given)
            digest = blake2b(footer).digest()
            if self._known is None or self._known.footer != digest:
                self._known = _Known(digest, self._parsed(file, footer))
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from None
        return self._known.groups

    def _parsed(self, file: pq.ParquetFile, footer: bytes) -> list[_RowGroup]:
        paths = [file.schema.column(at).path for at in range(len(file.schema.names))]
        roots = {name.partition(".")[0] for name in self._columns.names}
        read = {at: path for at, path in enumerate(paths) if path.partition(".")[0] in roots}
        groups = row_groups(footer, read)
        if len(groups) != file.num_row_groups or any(len(group.chunks) != len(paths) for group in groups):
            raise ValueError("its row groups have other columns than its schema")
        return [_RowGroup(group.rows, [(path, group.chunks[at]) for at, path in read.items()]) for group in groups]

    def _check_growth(self, group: _RowGroup) -> None:
        """Raises SourceError for a column that takes far more memory than it has bytes, by what the file says of it: a
        page is undone whole, and may be all of the column."""
        for path, chunk in group.chunks:
            if chunk.unpacked > _MUCH_BYTES and chunk.unpacked > _GROWTH * chunk.packed:
                raise SourceError(
                    f"the column {named(path)} grows from {chunk.packed:,} bytes to {chunk.unpacked // 2**20:,} MiB; "
                    "leave it out with --drop NAME, or write the file with smaller row groups if that is sound",
                    source=self._source,
                )

    def _batch_rows(self, file: pq.ParquetFile, number: int, group: _RowGroup) -> int:
        """How many rows make a batch of about _BATCH_BYTES.

        The size that the file states is that of the encoded values. Where a dictionary holds one long text that a
        thousand rows share, it says nothing of what they take, so there the first rows are looked at.
        """
        if group.rows < 1:
            return _BATCH_ROWS
        self._check_growth(group)
        row_bytes = sum(chunk.unpacked for _, chunk in group.chunks) // group.rows
        # A page is undone whole, and one of long texts is large: it isn't read twice to learn what is known.
        told = row_bytes > _BATCH_BYTES // _BATCH_ROWS
        if not told and group.rows > _PROBE_ROWS and any(chunk.dictionary for _, chunk in group.chunks):
            for batch in self._rows_of(file, number, _PROBE_ROWS):
                row_bytes = max(row_bytes, batch.get_total_buffer_size() // batch.num_rows)
                break
        return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(row_bytes, 1)))

    @property
    def _rows_format(self) -> RowFormat:
        return RowFormat(self._columns, self._source)

    def _unreadable(self, error: Exception) -> SourceError:
        return _unreadable(error, self._source, self._rows_read + 1 if self._file is not None else None)


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How the rows of a Parquet file are read, a batch at a time."""

    columns: Columns
    source: str

    def passages(self, batch: pa.RecordBatch, cursor: Cursor, *, before: int) -> Iterator[Passage]:
        """The passages of the rows after the first `before`. Raises SourceError."""
        with _named(self.source, before + 1):
            yield from self.columns.passages(batch, cursor, before=before)


@contextmanager
def _named(source: str, line: int | None = None) -> Iterator[None]:
    """While the file's own words are read: the names of its columns may be no UTF-8."""
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _unreadable(error, source, line) from None


def _unreadable(error: Exception, source: str, line: int | None) -> SourceError:
    detail = " ".join(str(error).split())
    if isinstance(error, pa.ArrowNotImplementedError):
        return SourceError(
            f"a column has a type or an encoding that pyarrow {pa.__version__} doesn't read ({detail}); leave it "
            "out with --drop NAME, or write the file with another type",
            source=source,
            line=line,
        )
    return SourceError(f"not a valid Parquet file ({detail}); fetch it again", source=source, line=line)


def _schema(file: pq.ParquetFile) -> pa.Schema:
    """The file's schema as Arrow's; UUIDs and JSON are marked where this version of Arrow has no types for them."""
    schema = file.schema_arrow
    leaves = [file.schema.column(at) for at in range(len(file.schema.names))]
    declared = {leaf.path: leaf.logical_type.type for leaf in leaves if leaf.logical_type.type in ("UUID", "JSON")}
    for at, field in enumerate(schema):
        if field.name in declared and not isinstance(field.type, pa.BaseExtensionType):
            schema = schema.set(at, field.with_metadata({DECLARED: declared[field.name]}))
    return schema
