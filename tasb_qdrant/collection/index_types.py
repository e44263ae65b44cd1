"""Payload values checked against the payload indexes: no filter would ever find a value of another type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from tasb_qdrant.errors import FilterError, InvalidPassageError
from tasb_qdrant.records.path import Segment, parse_path
from tasb_qdrant.settings import IndexType

_SHOWN_CHARS: Final = 80

# What the embedded engine and the servers from 1.16 all read. Their parsers accept more, and guess:
# "202-01-31" is the year 202 to it, and "2024-1-257:2:3" a quarter of a day.
_DATETIME: Final = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?: (\d{1,2}):(\d{1,2})"
    r"|[Tt ](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.\d+)?(?: ?(?:[Zz]|[Uu][Tt][Cc]|[+-](\d\d)(?::?(\d\d))?))?)?",
    re.ASCII,
)
_HEX: Final = "[0-9a-fA-F]"
_HYPHENATED: Final = rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_UUID: Final = re.compile(rf"{_HEX}{{32}}|(?:urn:uuid:)?{_HYPHENATED}|\{{{_HYPHENATED}\}}")


class _Field(NamedTuple):
    """An indexed field. `plain` is its name if the path has no more to it, `quick` a type that always fits."""

    name: str
    kind: IndexType
    path: tuple[Segment, ...]
    plain: str | None
    quick: type | None


class Misfit(NamedTuple):
    """A value that the index of its field doesn't hold."""

    field: str
    kind: IndexType
    value: Any

    @property
    def shown(self) -> str:
        """The value, for people."""
        text = f'"{self.value}"' if isinstance(self.value, str) else repr(self.value)
        return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


class TypeCheck:
    """Refuses payloads in which an indexed field has a value that its index doesn't hold."""

    def __init__(self, indexes: Mapping[str, IndexType]) -> None:
        self._fields: list[_Field] = []
        for name, kind in indexes.items():
            try:
                path = parse_path(name)
            except FilterError:  # another program's index, in a spelling that our filters don't have
                continue
            plain = path[0].name if len(path) == 1 and not path[0].elements else None
            self._fields.append(_Field(name, kind, path, plain, _QUICK.get(kind)))

    def __call__(self, payload: Mapping[str, Any]) -> None:
        """A missing field, null and an empty array are fine. Raises InvalidPassageError."""
        if (misfit := self.misfit(payload)) is not None:
            raise InvalidPassageError(
                f"field {misfit.field!r} is indexed as {misfit.kind}, got {misfit.shown}, which no filter on it would "
                f"find; {_ADVICE.get(misfit.kind, 'convert the value')}, or index the field as another type (an index "
                f"that is there already is dropped with: tasb-qdrant collection index drop {misfit.field})",
                field="payload",
            )

    def misfit(self, payload: Mapping[str, Any]) -> Misfit | None:
        """The first value that doesn't fit. Raises InvalidPassageError for an indexed path that misses its place."""
        for field, kind, path, plain, quick in self._fields:
            if plain is not None:
                there = payload.get(plain)
                if there is None or type(there) is quick:  # nearly all values are this plain
                    continue
            for value in values_at(payload, path, field=field):
                if not _fits(value, kind):
                    return Misfit(field, kind, value)
        return None


_QUICK: Final[Mapping[IndexType, type]] = {
    "keyword": str,
    "text": str,
    "integer": int,
    "float": float,
    "bool": bool,
}
"""Types by which a value fits without a further look."""

INDEX_OF: Final[Mapping[type, IndexType]] = {str: "keyword", int: "integer", float: "float", bool: "bool"}
"""The index that suits values of a type, as far as it can be said by that alone."""

_ADVICE: Final[Mapping[IndexType, str]] = {
    "datetime": "write it as 2024-01-31 or 2024-01-31T10:00:00Z",
    "geo": 'write it as {"lon": 13.4, "lat": 52.5}',
    "integer": "write it without quotes and fraction",
    "float": "write it without quotes",
    "bool": "write true or false",
}


def values_at(payload: Mapping[str, Any], path: Sequence[Segment], *, field: str) -> list[Any]:
    """What Qdrant indexes at the path: the values there, those of an array one by one, without nulls.

    Raises InvalidPassageError if the path says [] and there is no array, or the other way round.
    """
    found: list[Any] = [payload]
    for segment in path:
        reached: list[Any] = []
        for value in found:
            if isinstance(value, Mapping):
                if (item := value.get(segment.name)) is not None:
                    reached.append(item)
            elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
                raise _path_misses(field, f"there is an array before {segment.name!r}, which needs []")
        for element in segment.elements:
            reached = [item for value in reached for item in _elements(value, element, segment.name, field)]
        found = reached
    return [
        item for value in found for item in (value if isinstance(value, list | tuple) else (value,)) if item is not None
    ]


def _elements(value: Any, element: int | None, name: str, field: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise _path_misses(field, f"{name!r} is not an array, so it takes no []")
    chosen = value if element is None else value[element : element + 1]
    return [item for item in chosen if item is not None]


def _path_misses(field: str, why: str) -> InvalidPassageError:
    return InvalidPassageError(
        f"field {field!r} is indexed, and no filter on it would find this: {why}; correct the record, or the index",
        field="payload",
    )


def _fits(value: Any, kind: IndexType) -> bool:
    match kind:
        case "integer":  # but not 3.0: Qdrant 1.16 doesn't index it
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
    """Whether every store reads it as a point in time: a date, or one with a time and perhaps an offset.

    A time after a T has seconds, as RFC 3339 wants: servers don't read "2024-01-31T10:00".
    """
    match = _DATETIME.fullmatch(text)
    if match is None:
        return False
    year, month, day, *rest = (int(part or 0) for part in match.groups())
    hour, minute = max(rest[0], rest[2]), max(rest[1], rest[3])
    try:
        date(2000 + year % 400, month, day)  # the calendar repeats itself, and Python has no year 0
    except ValueError:
        return False
    return hour < 24 and minute < 60 and rest[4] <= 60 and rest[5] < 24 and rest[6] < 60


def is_uuid(text: str) -> bool:
    """Whether every store reads it as a UUID."""
    return _UUID.fullmatch(text) is not None


def is_geo(value: Mapping[str, Any]) -> bool:
    """Whether it is {"lon": …, "lat": …} in degrees; other fields don't matter."""
    return _within(value.get("lon"), 180) and _within(value.get("lat"), 90)


def _within(value: Any, limit: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -limit <= value <= limit
