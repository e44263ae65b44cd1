"""Arrow types as JSON: what a column is cast to, and how each value is then converted."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import orjson
import pyarrow as pa

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.records.json_values import decimal_value, json_value

Convert = Callable[[Any], Any]
"""Converts one value, not None, to JSON. Raises InvalidPassageError."""

_EPOCH: Final = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - only ever shifted, and shown as UTC
_UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_UUID_BYTES: Final = 16


class UnsupportedTypeError(Exception):
    """A type with no JSON equivalent: fixed-size bytes, intervals of months, unions."""


def json_type(kind: pa.DataType) -> tuple[pa.DataType, Convert | None]:
    """(the type to cast the column to, the converter for each value; None where not needed).

    Integers, floats, booleans and strings stay as they are; bytes must be UTF-8. Dictionaries become their values,
    decimals integers if their scale is 0 and floats otherwise, dates and timestamps RFC 3339 strings in UTC, times
    of day ISO 8601 strings, durations seconds, UUIDs strings, lists arrays, structs and maps with string or integer
    keys objects. Columns declared as JSON are parsed; other extension types are read as their storage type. A
    timestamp without a zone is taken to be in UTC, as Qdrant does.
    """
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _extension(kind)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return json_type(kind.value_type)
    if kind.num_fields and _holds_extension(kind):
        return kind, _of_python(kind)  # Arrow casts no extension type inside another type
    if types.is_float16(kind):
        return pa.float32(), None
    if types.is_decimal(kind):
        return kind, decimal_value
    if types.is_date(kind):
        return pa.int32(), _date
    if types.is_timestamp(kind):
        return pa.int64(), partial(_timestamp, per_second=_UNITS[kind.unit])
    if types.is_time(kind):
        bits = pa.int32() if types.is_time32(kind) else pa.int64()
        return bits, partial(_time_of_day, per_second=_UNITS[kind.unit])
    if types.is_duration(kind):
        return pa.int64(), partial(_seconds, per_second=_UNITS[kind.unit])
    if types.is_struct(kind):
        return _struct(kind)
    if types.is_map(kind):
        return _map(kind)
    if _is_list(kind):
        return _list(kind)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind):
        return kind, None
    if is_string(kind):
        return pa.large_string() if types.is_string_view(kind) else kind, None
    if is_bytes(kind):
        return pa.large_binary() if types.is_binary_view(kind) else kind, _utf8
    raise UnsupportedTypeError(str(kind))


def is_string(kind: pa.DataType) -> bool:
    """Whether it holds strings, in any layout, dictionary-encoded ones and extension types included."""
    kind = plain_type(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Bytes in any layout but that of a fixed number. Writers of old, and Impala and Hive, keep strings so."""
    kind = plain_type(kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def is_id(kind: pa.DataType) -> bool:
    """Whether a column of the type can hold ids: strings, integers, decimals without places, UUIDs; doubles, too, which
    is how DuckDB writes HUGEINT, and pandas integers with gaps: their values are looked at one by one."""
    plain = plain_type(kind)
    whole = pa.types.is_integer(plain) or pa.types.is_float64(plain)
    whole = whole or (pa.types.is_decimal(plain) and plain.scale <= 0)
    return whole or is_string(kind) or is_bytes(kind) or _is_uuid(kind)


def plain_type(kind: Any) -> pa.DataType:
    """The type of the values themselves, whatever they are wrapped in."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind  # type: ignore[no-any-return]  # Arrow's types don't say theirs


def uuid_value(value: Any) -> str:
    """A UUID, or its 16 bytes, as the string."""
    return str(value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value))


def parsed(value: str) -> Any:
    """The JSON that a string of such a column says. Raises InvalidPassageError."""
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidPassageError(f"declared as JSON, and isn't: {error}", field="payload") from None


def _is_uuid(kind: Any) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"


def _extension(kind: Any) -> tuple[pa.DataType, Convert | None]:
    if _is_uuid(kind):
        return pa.binary(_UUID_BYTES), uuid_value
    if kind.extension_name == "arrow.json":
        return kind.storage_type, parsed
    if kind.extension_name == "arrow.bool8":
        return pa.bool_(), None
    return json_type(kind.storage_type)


def _holds_extension(kind: Any) -> bool:
    inner = [kind.field(at).type for at in range(kind.num_fields)]
    return any(isinstance(one, pa.BaseExtensionType) or (one.num_fields and _holds_extension(one)) for one in inner)


def _of_python(kind: Any) -> Convert:
    """What makes JSON of Arrow's own Python values. Raises UnsupportedTypeError as json_type does."""
    if isinstance(kind, pa.BaseExtensionType):
        return parsed if kind.extension_name == "arrow.json" else json_value
    if pa.types.is_struct(kind):
        converts = {field.name: _of_python(field.type) for field in kind}
        return partial(_members, converts=converts)
    if pa.types.is_map(kind):
        return partial(_entries, convert=_of_python(kind.item_type))
    if _is_list(kind):
        return partial(_items, convert=_of_python(kind.value_type))
    json_type(kind)
    return _utf8 if is_bytes(kind) else json_value


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    of_any_length = types.is_list(kind) or types.is_large_list(kind)
    return of_any_length or types.is_fixed_size_list(kind) or types.is_list_view(kind) or types.is_large_list_view(kind)


def _list(kind: Any) -> tuple[pa.DataType, Convert | None]:
    inner, convert = json_type(kind.value_type)
    converts = convert and partial(_items, convert=convert)
    if pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind):
        return pa.large_list(inner), converts
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inner, kind.list_size), converts
    return pa.list_(inner), converts


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
    if not is_string(kind.key_type) and not pa.types.is_integer(kind.key_type):
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


def _entries(pairs: list[tuple[str | int, Any]], *, convert: Convert | None) -> dict[str, Any]:
    return {str(key): value if convert is None or value is None else convert(value) for key, value in pairs}


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidPassageError("bytes that are no UTF-8 text, which JSON can't say", field="payload") from None


def _seconds(ticks: int, *, per_second: int) -> float:
    return ticks / per_second


def _time_of_day(ticks: int, *, per_second: int) -> str:
    return _timestamp(ticks, per_second=per_second).removeprefix("1970-01-01T").removesuffix("Z")


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
