"""Tables of Arrow, batch by batch, as the records that passages are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tasb_qdrant.errors import InvalidPassageError, SourceError
from tasb_qdrant.records import MAX_PAYLOAD_DEPTH, Passage
from tasb_qdrant.sources.arrow.values import (
    Convert,
    UnsupportedTypeError,
    is_bytes,
    is_id,
    is_string,
    json_type,
    parsed,
    uuid_value,
)
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.record.choice import Choice
from tasb_qdrant.sources.record.fields import FieldPath, SourceFields
from tasb_qdrant.sources.record.plan import FieldPlan, Origin, plan_fields
from tasb_qdrant.sources.record.typed import TypedFields

DECLARED: Final = "tasb_qdrant.declared"
"""The key of a field's metadata under which Parquet's own name of the type stands, where Arrow's lost it."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read, what each is cast to, and what becomes of its values."""

    plan: FieldPlan
    names: tuple[str, ...]
    _schema: pa.Schema
    _converts: tuple[Convert | None, ...]

    @property
    def holds_bytes(self) -> bool:
        """Whether there are columns whose bytes may turn out to be no text."""
        return any(_has_bytes(field.type) for field in self._schema)

    def check_bytes(self, batch: pa.RecordBatch) -> None:
        """Raises SourceError for a column of images or the like, seen by its first rows."""
        for name, column, convert in zip(self.names, batch.columns, self._converts, strict=True):
            if _has_bytes(column.type) and any(
                isinstance(value, InvalidPassageError) for value in _values(column, convert)
            ):
                raise SourceError(
                    f"the column {name!r} has the type {column.type} and holds bytes that are no UTF-8 text, which a "
                    f"payload can't hold; leave it out with --drop {name}",
                    source=self.plan.origin.name,
                )

    def passages(self, batch: pa.RecordBatch, cursor: Cursor, *, before: int) -> Iterator[Passage]:
        """The passages of the rows after the first `before`. `batch` has the columns `names`, in this order.

        Raises pyarrow's exceptions for a batch that can't be cast.
        """
        row = before
        for record in _records(_cast(batch, self._schema), self._converts):
            row += 1
            try:
                passage = self.plan.passage(_checked(record), cursor, row)
            except InvalidPassageError as error:
                cursor.reject(row, error.reason)
                continue
            cursor.line = row
            yield passage


def plan_columns(
    schema: pa.Schema,
    fields: SourceFields,
    *,
    origin: Origin,
    choice: Choice | None,
    typed: TypedFields | None = None,
) -> Columns:
    """How tables of the schema are read. Raises MissingFieldError, SourceError for columns that can't be."""
    for name in schema.names:
        if not name or schema.names.count(name) > 1:
            raise SourceError(f"the column name {name!r} is empty or repeated; rename it", source=origin.name)
    _check_depth(schema, source=origin.name)
    plan = _plan(schema, fields, origin=origin, choice=choice, typed=typed)
    roles = {path[0] for path in (plan.id, plan.text, plan.title) if path is not None}
    kept: list[pa.Field[Any]] = []
    converts: list[Convert | None] = []
    for field in schema:
        if field.name in roles or choice is None or choice.keeps(field.name):
            kind, convert = _json_type(field, source=origin.name)
            kept.append(pa.field(field.name, kind))
            converts.append(convert)
    if choice is not None:
        choice.see(field.name for field in kept)
    return Columns(plan, tuple(field.name for field in kept), pa.schema(kept), tuple(converts))


def _json_type(field: Any, *, source: str) -> tuple[pa.DataType, Convert | None]:
    declared = (field.metadata or {}).get(DECLARED.encode())
    if declared == b"UUID":
        return field.type, uuid_value
    if declared == b"JSON":
        return field.type, parsed
    try:
        return json_type(field.type)
    except UnsupportedTypeError as error:
        raise SourceError(
            f"the column {field.name!r} has the type {error}, which a payload can't hold; leave it out with "
            f"--drop {field.name}, or store it as another type",
            source=source,
        ) from None


def _check_depth(schema: pa.Schema, *, source: str) -> None:
    """Refuse types nested too deep for a payload, before anything recurses into them."""
    kinds: list[tuple[str, Any, int]] = [(field.name, field.type, 0) for field in schema]
    while kinds:
        name, kind, depth = kinds.pop()
        if depth > MAX_PAYLOAD_DEPTH:
            raise SourceError(
                f"the column {name!r} is nested deeper than {MAX_PAYLOAD_DEPTH}, which a payload can't hold; leave it "
                f"out with --drop {name}",
                source=source,
            )
        kinds.extend((name, kind.field(at).type, depth + 1) for at in range(kind.num_fields))


def _plan(
    schema: pa.Schema, fields: SourceFields, *, origin: Origin, choice: Choice | None, typed: TypedFields | None
) -> FieldPlan:
    plan = plan_fields([_tree(schema)], fields, origin=origin, choice=choice, typed=typed)
    if plan.id is not None:
        _check_type(schema, plan.id, "id", source=origin.name)
    _check_type(schema, plan.text, "text", source=origin.name)
    if plan.title is not None and plan.title[0] in schema.names:
        _check_type(schema, plan.title, "title", source=origin.name)
    return plan


def _tree(fields: Any) -> Mapping[str, Any]:
    """The names of the columns, with those of struct members nested below them, as in a record."""
    return {field.name: _tree(field.type) if pa.types.is_struct(field.type) else None for field in fields}


def _has_bytes(kind: Any) -> bool:
    return is_bytes(kind) or any(_has_bytes(kind.field(at).type) for at in range(kind.num_fields))


def _check_type(schema: pa.Schema, path: FieldPath, role: str, *, source: str) -> None:
    if path[0] not in schema.names:
        return  # the name of a folder gives it
    field = schema.field(path[0])
    kind: Any = field.type
    for name in path[1:]:
        kind = kind.field(name).type
    if is_id(kind) if role == "id" else is_string(kind) or is_bytes(kind):
        return
    if role == "id" and (field.metadata or {}).get(DECLARED.encode()) == b"UUID":
        return
    expected = "strings, whole numbers or UUIDs" if role == "id" else "strings"
    raise SourceError(
        f"the column {'.'.join(path)!r} has the type {kind}, expected {expected} for the {role}; "
        f"choose another with --{role}-field, or store it as one of these",
        source=source,
    )


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [_plain(column).cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(column: Any) -> Any:
    """The values out of wrappings that Arrow can't cast."""
    while True:
        if pa.types.is_run_end_encoded(column.type):
            column = pc.call_function("run_end_decode", [column])
        elif isinstance(column.type, pa.BaseExtensionType) and column.type.extension_name != "arrow.bool8":
            column = column.storage
        elif pa.types.is_dictionary(column.type) and not pa.types.is_string(column.type.value_type):
            # Arrow takes no values out of a dictionary of views, which Polars' categories are.
            values = column.dictionary.cast(json_type(column.type.value_type)[0])
            column = pa.DictionaryArray.from_arrays(column.indices, values).dictionary_decode()
        else:
            return column


def _records(batch: pa.RecordBatch, converts: Sequence[Convert | None]) -> Iterator[dict[str, Any]]:
    columns = [_values(column, convert) for column, convert in zip(batch.columns, converts, strict=True)]
    names = batch.schema.names
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _values(column: Any, convert: Convert | None) -> list[Any]:
    """Plain Python values. A value that can't be converted is replaced by the error that says why."""
    try:
        values = column.to_pylist()
        if convert is None:
            return values  # type: ignore[no-any-return]  # the stubs leave it open
        return [None if value is None else convert(value) for value in values]
    except (InvalidPassageError, ValueError, OverflowError):
        return [_value(scalar, convert) for scalar in column]


def _value(scalar: Any, convert: Convert | None) -> Any:
    try:
        value = scalar.as_py()
        return value if value is None or convert is None else convert(value)
    except InvalidPassageError as error:
        return error
    except UnicodeDecodeError as error:
        return InvalidPassageError(f"invalid UTF-8 at byte offset {error.start} of a string", field="payload")
    except (ValueError, OverflowError) as error:  # a moment that Python's datetime can't hold
        return InvalidPassageError(f"a value that can't be read ({error})", field="payload")


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    for name, value in record.items():
        if isinstance(value, InvalidPassageError):
            raise InvalidPassageError(f"column {name!r}: {value.reason}", field=value.field)
    return record
