"""What each filter means, in plain Python: the oracle that every store is compared with.

Written without the package's own paths, kinds and translators, so that it can disagree with them.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from tasb_qdrant.filters import Filter
from tasb_qdrant.filters.conditions import (
    Between,
    Compare,
    Contains,
    ContainsAny,
    ContainsPhrase,
    Count,
    Equals,
    Exists,
    In,
    InBox,
    InPolygon,
    IsEmpty,
    IsNull,
    Prefix,
    Substring,
    Within,
)
from tasb_qdrant.filters.nodes import And, AnyElement, AtLeast, Ids, Not, Or

EARTH_METRES = 6_371_008.8

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_STORED_DATETIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d(:?\d\d)?)?)?")
_STEP = re.compile(r"`([^`]+)`|\[(\d*)\]|([^.\[\]`]+)")


def matches(where: Filter, payload: Mapping[str, Any], *, passage_id: str = "") -> bool:
    """Whether a passage with this payload and id is among those that the filter selects."""

    def met(one: Filter) -> bool:
        return matches(one, payload, passage_id=passage_id)

    match where:
        case And(operands):
            return all(map(met, operands))
        case Or(operands):
            return any(map(met, operands))
        case AtLeast(operands, count):
            return sum(map(met, operands)) >= count
        case Not(operand):
            return not met(operand)
        case Ids(ids):
            return passage_id in ids
        case AnyElement(field, operand):
            elements = _opened([value for value in _at(payload, field) if isinstance(value, list)])
            return any(matches(operand, each) for each in elements if isinstance(each, dict))
    return _field_matches(where, list(_at(payload, where.field)))  # type: ignore[attr-defined]  # all others have a field


def _field_matches(where: Filter, found: list[Any]) -> bool:
    match where:
        case Exists():
            return not all(value is None or value == [] for value in found)
        case IsEmpty():
            return all(value is None or value == [] for value in found)
        case IsNull():
            return None in found or any(isinstance(value, list) and None in value for value in found)
        case Count(_, low, high):
            return any(low <= count and (high is None or count <= high) for count in map(_count, found or [None]))
        case Contains(_, text):
            return set(_words(text)) <= {word for text in _texts(found) for word in _words(text)}
        case ContainsAny(_, text):
            return not set(_words(text)).isdisjoint(word for text in _texts(found) for word in _words(text))
        case ContainsPhrase(_, text):
            phrase = f" {' '.join(_words(text))} "
            return any(phrase in f" {' '.join(_words(text))} " for text in _texts(found))
    return any(_fits(where, value) for value in _opened(found))


def _count(value: Any) -> int:
    if isinstance(value, list):
        return len(value)
    return 0 if value is None else 1


def _texts(found: list[Any]) -> Iterator[str]:
    return (value for value in _opened(found) if isinstance(value, str))


def _fits(where: Filter, value: Any) -> bool:
    match where:
        case Equals(_, wanted):
            return _same(value, wanted)
        case In(_, several):
            return any(_same(value, wanted) for wanted in several)
        case Compare(_, order, bound):
            return _ordered(value, bound, _ORDERS[order])
        case Between(_, low, high):
            return _ordered(value, low, operator.ge) and _ordered(value, high, operator.le)
        case Prefix(_, text):
            return isinstance(value, str) and value[: len(text)] == text
        case Substring(_, text):
            return isinstance(value, str) and text in value
        case Within(_, lat, lon, metres):
            return _is_place(value) and _metres(lat, lon, value["lat"], value["lon"]) < metres
        case InBox(_, top, left, bottom, right):
            return _is_place(value) and bottom < value["lat"] < top and _between_meridians(value["lon"], left, right)
        case InPolygon(_, ring, holes):
            return _is_place(value) and _inside(value, ring) > 0 and all(_inside(value, hole) < 0 for hole in holes)
    raise AssertionError(where)


def _at(payload: Any, path: str) -> Iterator[Any]:
    found = [payload]
    for quoted, position, bare in _STEP.findall(path):
        if quoted or bare:
            found = [v[quoted or bare] for v in found if isinstance(v, dict) and (quoted or bare) in v]
        elif position:
            found = [v[int(position)] for v in found if isinstance(v, list) and int(position) < len(v)]
        else:
            found = [item for v in found if isinstance(v, list) for item in v]
    yield from found


def _opened(values: list[Any]) -> Iterator[Any]:
    for value in values:
        yield from value if isinstance(value, list) else [value]


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, datetime):
        return _moment(value) == wanted
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(wanted, str) or isinstance(value, str):
        return isinstance(wanted, str) and isinstance(value, str) and value == wanted
    if not isinstance(value, int | float):
        return False
    if isinstance(wanted, int) and abs(wanted) >= 2**53:
        return isinstance(value, int) and value == wanted
    return float(value) == float(wanted)


def _ordered(value: Any, bound: Any, order: Callable[[Any, Any], bool]) -> bool:
    if isinstance(bound, datetime):
        moment = _moment(value)
        return moment is not None and order(moment, bound)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return order(value, bound)  # Python compares integers and floats exactly


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or not _STORED_DATETIME.fullmatch(value):
        return None
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[^\W_]+", text)]


def _is_place(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(key), int | float) and not isinstance(value.get(key), bool) for key in ("lat", "lon")
    )


def _between_meridians(lon: float, left: float, right: float) -> bool:
    return left < lon < right if left < right else lon > left or lon < right


def _inside(place: Mapping[str, float], ring: tuple[tuple[float, float], ...]) -> int:
    """1 inside, 0 on a side, -1 outside: how often the ring winds round the place, in exact numbers."""
    corners = [(Fraction(lon) - Fraction(place["lon"]), Fraction(lat) - Fraction(place["lat"])) for lat, lon in ring]
    winds = 0
    for (x, y), (next_x, next_y) in zip(corners, corners[1:] + corners[:1], strict=True):
        turn = x * next_y - next_x * y
        if turn == 0 and min(x, next_x) <= 0 <= max(x, next_x) and min(y, next_y) <= 0 <= max(y, next_y):
            return 0
        if y <= 0 < next_y and turn > 0:
            winds += 1
        elif next_y <= 0 < y and turn < 0:
            winds -= 1
    return 1 if winds else -1


def _metres(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    phi, other_phi = math.radians(lat), math.radians(other_lat)
    half = (
        math.sin((other_phi - phi) / 2) ** 2
        + math.cos(phi) * math.cos(other_phi) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    )
    return 2 * EARTH_METRES * math.asin(min(1.0, math.sqrt(half)))
