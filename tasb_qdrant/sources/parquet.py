"""Parquet, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tasb_qdrant.errors import InvalidPassageError, SourceError
from tasb_qdrant.records import MAX_PAYLOAD_DEPTH, Passage
from tasb_qdrant.sources.arrow_values import Convert, UnsupportedTypeError, is_string, json_type
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.fields import FieldPath, FieldPlan, SourceFields, plan_fields

_BATCH_ROWS: Final = 1024

# Without a buffer, a row group's whole column chunks are read at once, and a row group may be the whole file.
_BUFFER_BYTES: Final = 1024 * 1024


class ParquetSource:
    """A Parquet file whose columns have been checked. Raises MissingFieldError, SourceError."""

    def __init__(self, path: Path, fields: SourceFields) -> None:
        self._path = path
        self._source = str(path)
        self._file: pq.ParquetFile | None = None
        self._size = path.stat().st_size
        self._rows_read = 0
        with self._open() as file:
            self._rows = file.metadata.num_rows
            schema = file.schema_arrow
        _check_depth(schema, source=self._source)
        self._plan = _plan(schema, fields, source=self._source)
        self._schema, self._converts = _json_schema(schema, source=self._source)

    @property
    def bytes_read(self) -> int:
        """The file's size times the share of its rows read so far."""
        return self._size * self._rows_read // self._rows if self._rows else self._size

    def passages(self, cursor: Cursor) -> Iterator[Passage]:
        """The passages in order; `cursor.line` is the row."""
        row = 0
        with self._open() as self._file:
            for batch in self._batches(self._file):
                for record in _records(batch, self._converts):
                    row += 1
                    try:
                        passage = self._plan.passage(_checked(record))
                    except InvalidPassageError as error:
                        cursor.reject(row, error.reason)
                        continue
                    cursor.line = row
                    yield passage
                self._rows_read = row

    def close(self) -> None:
        """Close the file if it is open."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._source, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def _batches(self, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        batches = file.iter_batches(batch_size=_BATCH_ROWS)
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                batch = batch.cast(self._schema)
            except (pa.ArrowException, OSError) as error:
                raise self._damaged(error) from None
            yield batch

    def _damaged(self, error: Exception) -> SourceError:
        detail = " ".join(str(error).split())
        line = self._rows_read + 1 if self._file is not None else None
        return SourceError(f"not a valid Parquet file ({detail}); fetch it again", source=self._source, line=line)


def _check_depth(schema: pa.Schema, *, source: str) -> None:
    """Refuse types nested too deep for a payload, before anything recurses into them."""
    kinds: list[tuple[str, Any, int]] = [(field.name, field.type, 0) for field in schema]
    while kinds:
        name, kind, depth = kinds.pop()
        if depth > MAX_PAYLOAD_DEPTH:
            raise SourceError(
                f"the column {name!r} is nested deeper than {MAX_PAYLOAD_DEPTH}, which a payload can't hold; drop it",
                source=source,
            )
        kinds.extend((name, kind.field(at).type, depth + 1) for at in range(kind.num_fields))


def _plan(schema: pa.Schema, fields: SourceFields, *, source: str) -> FieldPlan:
    plan = plan_fields([_tree(schema)], fields, source=source)
    _check_type(schema, plan.id, "id", source=source)
    _check_type(schema, plan.text, "text", source=source)
    if plan.title is not None and plan.title[0] in schema.names:
        _check_type(schema, plan.title, "title", source=source)
    return plan


def _tree(fields: Any) -> Mapping[str, Any]:
    """The names of the columns, with those of struct members nested below them, as in a record."""
    return {field.name: _tree(field.type) if pa.types.is_struct(field.type) else None for field in fields}


def _check_type(schema: pa.Schema, path: FieldPath, role: str, *, source: str) -> None:
    kind: Any = schema.field(path[0]).type
    for name in path[1:]:
        kind = kind.field(name).type
    if is_string(kind) or (role == "id" and pa.types.is_integer(kind)):
        return
    expected = "strings or integers" if role == "id" else "strings"
    raise SourceError(
        f"the column {'.'.join(path)!r} has the type {kind}, expected {expected} for the {role}; "
        f"choose another with --{role}-field",
        source=source,
    )


def _json_schema(schema: pa.Schema, *, source: str) -> tuple[pa.Schema, tuple[Convert | None, ...]]:
    fields: list[pa.Field[Any]] = []
    converts: list[Convert | None] = []
    for name, field in zip(schema.names, schema, strict=True):
        if not name or schema.names.count(name) > 1:
            raise SourceError(f"the column name {name!r} is empty or repeated; rename it", source=source)
        try:
            kind, convert = json_type(field.type)
        except UnsupportedTypeError as error:
            raise SourceError(
                f"the column {name!r} has the type {error}, which a payload can't hold; drop or convert it",
                source=source,
            ) from None
        fields.append(pa.field(name, kind))
        converts.append(convert)
    return pa.schema(fields), tuple(converts)


def _records(batch: pa.RecordBatch, converts: Sequence[Convert | None]) -> Iterator[dict[str, Any]]:
    columns = [_values(column, convert) for column, convert in zip(batch.columns, converts, strict=True)]
    for row in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def _values(column: Any, convert: Convert | None) -> list[Any]:
    """Plain Python values. A value that can't be converted is replaced by the error that says why."""
    try:
        values = column.to_pylist()
        if convert is None:
            return values  # type: ignore[no-any-return]  # the stubs leave it open
        return [None if value is None else convert(value) for value in values]
    except (InvalidPassageError, UnicodeDecodeError):
        return [_value(scalar, convert) for scalar in column]


def _value(scalar: Any, convert: Convert | None) -> Any:
    try:
        value = scalar.as_py()
        return value if value is None or convert is None else convert(value)
    except InvalidPassageError as error:
        return error
    except UnicodeDecodeError as error:
        return InvalidPassageError(f"invalid UTF-8 at byte offset {error.start} of a string", field="payload")


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    for name, value in record.items():
        if isinstance(value, InvalidPassageError):
            raise InvalidPassageError(f"column {name!r}: {value.reason}", field=value.field)
    return record
