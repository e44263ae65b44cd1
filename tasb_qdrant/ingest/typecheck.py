"""Payload values against the payload indexes: a value of another type would never be found by a filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.settings import IndexType


def check_types(payload: Mapping[str, Any], indexes: Mapping[str, IndexType]) -> None:
    """Refuse a payload in which an indexed field has a value that its index doesn't hold.

    A missing field and null are fine. Raises InvalidPassageError.
    """
    for field, kind in indexes.items():
        for value in values_at(payload, field):
            if not _fits(value, kind):
                shown = f'"{value}"' if isinstance(value, str) else repr(value)
                raise InvalidPassageError(
                    f"field {field!r} is indexed as {kind}, got {shown[:80]}, which no filter on it would find; "
                    f"convert the value, or index the field otherwise",
                    field="payload",
                )


def values_at(payload: Mapping[str, Any], path: str) -> Iterable[Any]:
    """The values at a path (`year`, `author.name`, `authors[].name`), arrays opened, nulls left out."""
    if path in payload:
        found: list[Any] = [payload[path]]
    else:
        found = [payload]
        for part in path.split("."):
            name = part.removesuffix("[]")
            found = [
                item[name] for value in found for item in _opened(value) if isinstance(item, Mapping) and name in item
            ]
    return [item for value in found for item in _opened(value) if item is not None]


def _opened(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _fits(value: Any, kind: IndexType) -> bool:
    match kind:
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "keyword" | "text":
            return isinstance(value, str)
        case "datetime":
            return isinstance(value, str) and is_datetime(value)
        case "uuid":
            return isinstance(value, str) and is_uuid(value)
        case "geo":
            return isinstance(value, Mapping) and is_geo(value)


def is_datetime(text: str) -> bool:
    """Whether Qdrant reads it as a point in time: RFC 3339, or a date with or without a time."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    # Python also reads "20240131" and ISO weeks, which Qdrant doesn't.
    return len(text) >= len("2024-01-31") and text[4] == "-" and text[5] != "W"


def is_uuid(text: str) -> bool:
    """Whether it is a UUID in a usual spelling."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def is_geo(value: Mapping[str, Any]) -> bool:
    """Whether it is {"lon": …, "lat": …} in degrees."""
    lon, lat = value.get("lon"), value.get("lat")
    numbers = isinstance(lon, int | float) and isinstance(lat, int | float)
    return numbers and -180 <= float(lon or 0) <= 180 and -90 <= float(lat or 0) <= 90
