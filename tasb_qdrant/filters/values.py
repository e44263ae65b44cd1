"""The values that a filter may compare with, checked when the filter is built."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeGuard
from uuid import UUID

from tasb_qdrant.errors import FilterError
from tasb_qdrant.records.json_values import decimal_value, plain_scalar

Scalar: TypeAlias = str | bool | int | float | datetime

EXACT: Final = 2**53 - 1
"""Qdrant's ranges are 64-bit floats: up to here they represent every whole number, beyond it not."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
DATETIME: Final = (
    r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?: ?(?:[Zz]|[Uu][Tt][Cc]|[+-]\d\d(?::?\d\d)?))?)?"
)
"""A date, or one with a time and perhaps an offset, in the spellings of ISO 8601, RFC 3339 and databases, as a regular
expression: 2024-02-03, 2024-02-03T12:45:46Z, 2024-02-03 12:45:46.5+00."""

_DATETIME = re.compile(DATETIME, re.ASCII)
_FRACTION = re.compile(r"\.(\d+)")


def kind_of(value: Scalar) -> str:
    """string, boolean, number or datetime: values of different kinds are never equal."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    return "datetime" if isinstance(value, datetime) else "number"


def check_value(value: object, field: str) -> Scalar:
    """The value as filters store it: datetimes in UTC, subclasses of str, int and float as plain ones.

    A naive datetime is in UTC, a date is its midnight in UTC. Raises FilterError.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return check_value(value.value, field)
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise FilterError(f"{field}: {value!r} has a NUL or half of a surrogate pair, which no stored text has")
        return str.__str__(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise FilterError(f"{field}: {value} doesn't fit a 64-bit integer, so no stored number equals it")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise FilterError(f"{field}: {value} is not a finite number, which JSON can't represent; leave it out")
        return float(value) + 0.0  # so that -0.0 and 0.0, which are equal, are one value
    if isinstance(value, date):
        if value != value:  # pandas derives NaT from datetime
            raise _no_value(field)
        return _utc(value, field)
    if value is None:
        raise _no_value(field)
    if (plain := plain_value(value)) is not value:
        return check_value(plain, field)
    raise FilterError(
        f"{field}: a filter compares with str, bool, int, float, datetime or date, got {type(value).__name__}"
    )


def plain_value(value: object) -> object:
    """A UUID, a decimal or a value of NumPy's as what it becomes in a payload; anything else as it is."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return decimal_value(value) if value.is_finite() else float(value)
    name, package = type(value).__name__, type(value).__module__.partition(".")[0]
    if package == "numpy" and name == "datetime64":
        written = str(value)
        return None if written == "NaT" else parse_datetime(written) or value
    if package == "pandas" and name == "NAType":
        return None
    return plain_scalar(value)


def _no_value(field: str) -> FilterError:
    return FilterError(f'{field}: nothing equals null; write F("{field}").is_null(), or "{field} is null"')


def check_ordered(value: object, field: str) -> int | float | str | datetime:
    """A value that has an order: a number or a datetime. A string that is an ISO datetime becomes one.

    Other strings are kept, so that the schema check can say which index is missing; they can't be translated.
    Raises FilterError.
    """
    checked = check_value(value, field)
    if isinstance(checked, bool):
        raise FilterError(
            f"{field}: {str(checked).lower()} has no order; compare booleans with = and !=, or use a number"
        )
    if isinstance(checked, str):
        return parse_datetime(checked) or checked
    return checked


def check_list(values: object, field: str) -> tuple[Scalar, ...]:
    """The values of an `in`, all of one kind, in the order given. Raises FilterError."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise FilterError(f"{field}: `in` takes a list, got {type(values).__name__}; write [{values!r}]")
    listed: Any = values
    given = tuple(listed.tolist() if _is_plain_array(listed) else listed)
    if _are_plain(given):
        return given
    checked = tuple(check_value(value, field) for value in given)
    kinds = {kind_of(value) for value in checked}
    if len(kinds) > 1:
        raise FilterError(
            f"{field}: the values of a list must all be of one kind, got {' and '.join(sorted(kinds))}s; "
            "join two lists with `or`"
        )
    return checked


def _is_plain_array(values: Any) -> bool:
    """Whether it is an array of NumPy's whose numbers or strings `tolist` gives as Python's."""
    kind: type = type(values)
    if (kind.__module__, kind.__name__) != ("numpy", "ndarray"):
        return False
    return str(values.dtype.kind) in "biufU"


def _are_plain(values: tuple[Any, ...]) -> TypeGuard[tuple[Scalar, ...]]:
    """Whether all of them are whole numbers that fit, or strings that can be stored: lists of 100,000 are common, and
    looking at each value by itself takes 40 times as long."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return bool(min(values) >= -(2**63) and max(values) < 2**63)
    return kinds == {str} and not _UNSTORABLE.search("".join(values))


def check_number(value: object, name: str, what: str) -> float:
    """The finite float; raises FilterError."""
    value = plain_value(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FilterError(f"{name}: {what} must be a finite number, got {value!r}")
    return float(value) + 0.0


def check_point(point: object, name: str) -> tuple[float, float]:
    """(lat, lon) in degrees; raises FilterError."""
    if not isinstance(point, tuple | list) or len(point) != 2:
        raise FilterError(f"{name}: a place is (lat, lon) in degrees, got {point!r}")
    lat = check_number(point[0], name, "the latitude")
    lon = check_number(point[1], name, "the longitude")
    if not -90 <= lat <= 90 or not -180 <= lon <= 180:
        raise FilterError(
            f"{name}: latitude is from -90 to 90 and longitude from -180 to 180, got ({lat}, {lon}); "
            "latitude comes first"
        )
    return lat, lon


def check_ring(ring: object, name: str) -> tuple[tuple[float, float], ...]:
    """The corners of a polygon, (lat, lon) each, without repeating the first at the end; raises FilterError."""
    if not isinstance(ring, tuple | list):
        raise FilterError(f"{name}: a polygon is a list of (lat, lon) corners, got {ring!r}")
    corners = [check_point(corner, name) for corner in ring]
    if len(corners) > 1 and corners[0] == corners[-1]:
        del corners[-1]
    if len(set(corners)) < 3:
        raise FilterError(f"{name}: a polygon has at least three corners, got {len(set(corners))}")
    return tuple(corners)


def check_words(text: object, name: str) -> str:
    """The text, which must contain a word; raises FilterError."""
    checked = check_value(text, name)
    if not isinstance(checked, str):
        raise FilterError(f"{name}: contains takes a string, got {text!r}")
    if not any(character.isalnum() for character in checked):
        raise FilterError(f"{name}: contains needs a word to look for, got {text!r}")
    return checked


def check_part(text: object, name: str) -> str:
    """The text, which must not be empty; raises FilterError."""
    checked = check_value(text, name)
    if not isinstance(checked, str):
        raise FilterError(f"{name}: prefix and substring take a string, got {text!r}")
    if not checked:
        raise FilterError(f'{name}: every text has "" in it; write {name} exists, or the characters to look for')
    return checked


def parse_datetime(text: str) -> datetime | None:
    """The datetime, in UTC, of an ISO 8601 text, or None if it isn't one."""
    if not _DATETIME.fullmatch(text):
        return None
    written = text.upper().replace("UTC", "Z")
    # Python's parser of 3.11 takes no space before an offset; moments are kept to the microsecond.
    written = written[:11] + _FRACTION.sub(lambda digits: f".{digits[1][:6]:0<6}", written[11:].replace(" ", ""))
    try:
        return _utc(datetime.fromisoformat(written), text)
    except ValueError:
        return None


def _utc(value: date, field: str) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    # A datetime of its own: pandas' Timestamp would stay one in arithmetic.
    day, time = (value.year, value.month, value.day), (value.hour, value.minute, value.second, value.microsecond)
    plain = datetime(*day, *time, tzinfo=value.tzinfo, fold=value.fold)
    if plain.tzinfo is None:
        return plain.replace(tzinfo=UTC, fold=0)
    try:
        return plain.astimezone(UTC)
    except OverflowError:
        raise FilterError(f"{field}: {value.isoformat()} is outside the years 1 to 9999 in UTC") from None
