"""Values of Python's and NumPy's own as the JSON that they stand for, in the forms that Parquet's take."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tasb_qdrant.errors import InvalidPassageError

_DEPTH: Final = 64
"""What lies deeper stays as it is: a payload so deep is refused, and Python's stack is finite."""


def is_deeper(values: Iterable[Any], most: int) -> bool:
    """Whether any of these values has more than so many lists and objects within each other. It never recurses."""
    nested = [value for value in values if type(value) in (dict, list)]
    for _ in range(most):
        if not nested:
            return False
        inner = [value.values() if type(value) is dict else value for value in nested]
        nested = [value for items in inner for value in items if type(value) in (dict, list)]
    return bool(nested)


def json_value(value: Any, depth: int = _DEPTH) -> Any:
    """The value in JSON's types; what is none of the known kinds comes back as it is.

    Moments become RFC 3339 in UTC (one without a zone is taken as UTC, as Qdrant does), dates and times of day
    ISO 8601, durations seconds, decimals integers where they have no places and floats elsewhere, UUIDs
    strings, NumPy's scalars and arrays Python's, and the NA and NaT of pandas null.
    """
    if value is None or depth == 0 or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {name: json_value(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, depth - 1) for item in value]
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return _moment(value)
    if isinstance(value, decimal.Decimal):
        return decimal_value(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    return _foreign(value)


def plain_scalar(value: Any) -> Any:
    """NumPy's scalar as Python's own; anything else as it is. NumPy isn't imported for it."""
    kind = type(value)
    if kind.__module__ != "numpy" or kind.__name__ == "ndarray" or not hasattr(value, "item"):
        return value
    return value.item()


def decimal_value(value: decimal.Decimal) -> int | float:
    """An integer where the decimal has no places, whatever its value: an integer too large for 64 bits is refused
    later, where a float would have made one number of several."""
    exponent = value.as_tuple().exponent
    return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)


def finite(value: Any, depth: int = _DEPTH) -> tuple[Any, int]:
    """The value with null in place of NaN and the infinities, which JSON can't say; how many there were."""
    if isinstance(value, float):
        return (value, 0) if math.isfinite(value) else (None, 1)
    if depth and isinstance(value, Mapping):
        members = {name: finite(item, depth - 1) for name, item in value.items()}
        return {name: item for name, (item, _) in members.items()}, sum(count for _, count in members.values())
    if depth and isinstance(value, list | tuple):
        items = [finite(item, depth - 1) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    return value, 0


def _moment(value: datetime.date | datetime.time | datetime.timedelta) -> str | float | None:
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if not isinstance(value, datetime.datetime):
        return value.isoformat()
    if value != value:  # NaT, which pandas derives from datetime
        return None
    try:
        return (value.astimezone(datetime.UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        raise InvalidPassageError("a date lies outside the years 1 to 9999", field="payload") from None


def _foreign(value: Any) -> Any:
    """NumPy's and pandas' values, told by their classes: neither package is imported for it."""
    name, package = type(value).__name__, type(value).__module__.partition(".")[0]
    if package == "pandas" and name in ("NAType", "NaTType"):
        return None
    if package != "numpy" or not hasattr(value, "tolist"):
        return value
    if name == "datetime64":
        written = str(value)
        return None if written == "NaT" else f"{written}Z" if "T" in written else written
    plain = value.astype("timedelta64[us]").tolist() if name == "timedelta64" else value.tolist()
    return value if type(plain) is type(value) else json_value(plain)
