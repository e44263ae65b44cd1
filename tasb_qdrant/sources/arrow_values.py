"""Arrow types as JSON: what a column is cast to, and how each value is then converted."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import pyarrow as pa

from tasb_qdrant.errors import InvalidPassageError

Convert = Callable[[Any], Any]
"""Converts one value, not None, to JSON. Raises InvalidPassageError."""

_EPOCH: Final = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - only ever shifted, and shown as UTC
_UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class UnsupportedTypeError(Exception):
    """A type with no JSON equivalent: bytes, durations, unions."""


def json_type(kind: pa.DataType) -> tuple[pa.DataType, Convert | None]:
    """(the type to cast the column to, the converter for each value; None where not needed).

    Integers, floats, booleans and strings stay as they are. Dictionaries become their values, decimals floats,
    dates and timestamps RFC 3339 strings in UTC, lists arrays, structs and maps with string keys objects.
    A timestamp without a zone is taken to be in UTC, as Qdrant does. Raises UnsupportedTypeError.
    """
    types = pa.types
    if types.is_dictionary(kind):
        return json_type(kind.value_type)
    if types.is_float16(kind):
        return pa.float32(), None
    if types.is_decimal(kind):
        return kind, float
    if types.is_date(kind):
        return pa.int32(), _date
    if types.is_timestamp(kind):
        return pa.int64(), partial(_timestamp, per_second=_UNITS[kind.unit])
    if types.is_struct(kind):
        return _struct(kind)
    if types.is_map(kind):
        return _map(kind)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _list(kind)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind):
        return kind, None
    if is_string(kind):
        return kind, None
    raise UnsupportedTypeError(str(kind))


def is_string(kind: pa.DataType) -> bool:
    """Whether it holds strings, in any layout, dictionary-encoded ones included."""
    if pa.types.is_dictionary(kind):
        return is_string(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _list(kind: Any) -> tuple[pa.DataType, Convert | None]:
    inner, convert = json_type(kind.value_type)
    if pa.types.is_large_list(kind):
        return pa.large_list(inner), convert and partial(_items, convert=convert)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inner, kind.list_size), convert and partial(_items, convert=convert)
    return pa.list_(inner), convert and partial(_items, convert=convert)


def _struct(kind: Any) -> tuple[pa.DataType, Convert | None]:
    fields: list[pa.Field[Any]] = []
    converts: dict[str, Convert] = {}
    for field in kind:
        inner, convert = json_type(field.type)
        fields.append(pa.field(field.name, inner))
        if convert is not None:
            converts[field.name] = convert
    return pa.struct(fields), partial(_members, converts=converts) if converts else None


def _map(kind: Any) -> tuple[pa.DataType, Convert]:
    if not is_string(kind.key_type):
        raise UnsupportedTypeError(str(kind))
    inner, convert = json_type(kind.item_type)
    return pa.map_(kind.key_type, inner), partial(_entries, convert=convert)


def _items(values: list[Any], *, convert: Convert) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _members(values: dict[str, Any], *, converts: Mapping[str, Convert]) -> dict[str, Any]:
    return {
        name: converts[name](value) if name in converts and value is not None else value
        for name, value in values.items()
    }


def _entries(pairs: list[tuple[str, Any]], *, convert: Convert | None) -> dict[str, Any]:
    return {key: value if convert is None or value is None else convert(value) for key, value in pairs}


def _date(days: int) -> str:
    try:
        return (_EPOCH + datetime.timedelta(days=days)).date().isoformat()
    except OverflowError:
        raise _out_of_range() from None


def _timestamp(ticks: int, *, per_second: int) -> str:
    seconds, rest = divmod(ticks, per_second)
    try:
        moment = _EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:
        raise _out_of_range() from None
    digits = len(str(per_second)) - 1
    return f"{moment.isoformat()}.{rest:0{digits}d}Z" if rest else f"{moment.isoformat()}Z"


def _out_of_range() -> InvalidPassageError:
    return InvalidPassageError("a date is outside the years 1 to 9999", field="payload")
