"""Our filters as Qdrant's, translated so that every store and index gives them the same meaning.

What makes that more than a renaming (each measured on Qdrant 1.16.3, 1.17.0 and the embedded 0.9):
a match on 1 finds 1.0 or not depending on index and version; an integer index on a server cuts the
fraction off a bound; `is_null` and `is_empty` come in two forms of which one each changes its answer
with an index; a geo index loses boxes that touch latitude 90 or longitude 180, or wrap round the globe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from qdrant_client import models

from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters import Filter
from tasb_qdrant.filters.conditions import (
    Between,
    Compare,
    Contains,
    Equals,
    Exists,
    In,
    InBox,
    IsEmpty,
    IsNull,
    Leaf,
    Order,
    Within,
)
from tasb_qdrant.filters.nodes import And, Not, Or
from tasb_qdrant.filters.path import canonical_path, qdrant_path
from tasb_qdrant.filters.values import EXACT, Scalar
from tasb_qdrant.settings import IndexType

_NEXT_TO_EDGE = 1e-9
"""Degrees, 0.1 mm: geohashes of latitude 90 and longitude 180 wrap round to -90 and -180."""

_SEAM = 179.0


def to_qdrant(where: Filter, *, indexes: Mapping[str, IndexType] | None = None) -> models.Filter:
    """The same filter for qdrant-client. Raises FilterError for an order of strings.

    `indexes` changes no meaning: knowing that a field is indexed as integer, long lists become one
    lookup instead of one range a value.
    """
    integers = frozenset(canonical_path(field) for field, kind in (indexes or {}).items() if kind == "integer")
    condition = _condition(where, integers)
    return condition if isinstance(condition, models.Filter) else models.Filter(must=[condition])


def _condition(where: Filter, integers: frozenset[str]) -> models.Condition:
    match where:
        case And(operands):
            return models.Filter(must=[_condition(each, integers) for each in operands])
        case Or(operands):
            return models.Filter(should=[_condition(each, integers) for each in operands])
        case Not(operand):
            return models.Filter(must_not=[_condition(operand, integers)])
    if isinstance(where, Leaf):
        return _leaf(where, qdrant_path(where.field), integers)
    raise FilterError(f"{type(where).__name__} is no filter of this package")


def _leaf(where: Leaf, key: str, integers: frozenset[str]) -> models.Condition:
    match where:
        case Equals(field, value):
            return _any([_equal(key, value, integer=field in integers)])
        case In(field, values):
            return _one_of(key, values, integer=field in integers)
        case Compare(_, order, value):
            return _ordered(key, order, value)
        case Between(_, low, high):
            return _between(key, low, high)
        case Exists():
            return models.Filter(must_not=[_empty(key)])
        case IsEmpty():
            return _empty(key)
        case IsNull():
            # IsNullCondition misses the null inside an array on servers, unless the field is indexed.
            return models.FieldCondition(key=key, is_null=True)
        case Contains(_, text):
            return models.FieldCondition(key=key, match=models.MatchText(text=text))
        case Within(_, lat, lon, metres):
            circle = models.GeoRadius(center=models.GeoPoint(lat=lat, lon=lon), radius=metres)
            return models.FieldCondition(key=key, geo_radius=circle)
        case InBox():
            return _box(key, where)


def _empty(key: str) -> models.Condition:
    # FieldCondition(is_empty=True) judges authors[].name by its first element, unless it is indexed.
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def _any(conditions: Sequence[models.Condition]) -> models.Condition:
    return conditions[0] if len(conditions) == 1 else models.Filter(should=list(conditions))


def _match(key: str, value: str | bool | int) -> models.Condition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _range(key: str, **bounds: float) -> models.Condition:
    return models.FieldCondition(key=key, range=models.Range(**bounds))


def _equal(key: str, value: Scalar, *, integer: bool) -> models.Condition:
    if isinstance(value, datetime):
        return models.FieldCondition(key=key, range=models.DatetimeRange(gte=value, lte=value))
    if isinstance(value, str | bool):
        return _match(key, value)
    if isinstance(value, int) and (integer or abs(value) > EXACT):
        return _match(key, value)
    # A range, since a match on 1 finds no 1.0, and a match can't have a fraction.
    return _between(key, value, value)


def _one_of(key: str, values: Sequence[Scalar], *, integer: bool) -> models.Condition:
    strings = [value for value in values if isinstance(value, str)]
    if strings:
        return models.FieldCondition(key=key, match=models.MatchAny(any=strings))
    exact = [v for v in values if isinstance(v, int) and not isinstance(v, bool) and (integer or abs(v) > EXACT)]
    others = [v for v in values if v not in exact or isinstance(v, bool)] if exact else list(values)
    conditions = [_equal(key, value, integer=integer) for value in others]
    if exact:
        conditions.insert(0, models.FieldCondition(key=key, match=models.MatchAny(any=exact)))
    return _any(conditions)


_BOUND: dict[Order, str] = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def _ordered(key: str, order: Order, value: int | float | str | datetime) -> models.Condition:
    """One side of a value, right on an integer index too, where servers cut 2020.5 to 2020.

    `>= 2020.5` adds `> 2020`, which cuts 2020 off again; `> -2020.5` adds `or >= -2020`, which brings
    -2020 back. Where fractions are kept, neither changes anything.
    """
    if isinstance(value, datetime):
        return models.FieldCondition(key=key, range=models.DatetimeRange(**{_BOUND[order]: value}))
    value = _number(key, value)
    condition = _range(key, **{_BOUND[order]: value})
    if not _has_fraction(value):
        return condition
    below, above = float(math.floor(value)), float(math.ceil(value))
    match order:
        case ">=":
            return models.Filter(must=[condition, _range(key, gt=below)])
        case "<=":
            return models.Filter(must=[condition, _range(key, lt=above)])
        case ">":
            return models.Filter(should=[condition, _range(key, gte=above)])
        case "<":
            return models.Filter(should=[condition, _range(key, lte=below)])


def _between(key: str, low: int | float | str | datetime, high: int | float | str | datetime) -> models.Condition:
    """Both sides for one element of an array; see `_ordered` for bounds with a fraction."""
    if isinstance(low, datetime) and isinstance(high, datetime):
        return models.FieldCondition(key=key, range=models.DatetimeRange(gte=low, lte=high))
    if isinstance(low, datetime) or isinstance(high, datetime):
        raise FilterError(f"{key}: between takes two numbers or two datetimes, got {low!r} and {high!r}")
    low, high = _number(key, low), _number(key, high)
    condition = _range(key, gte=low, lte=high)
    if not _has_fraction(low) and not _has_fraction(high):
        return condition
    whole: dict[str, float] = {"gt": float(math.floor(low))} if _has_fraction(low) else {"gte": low}
    whole |= {"lt": float(math.ceil(high))} if _has_fraction(high) else {"lte": high}
    return models.Filter(must=[condition, _range(key, **whole)])


def _has_fraction(value: float) -> bool:
    return not float(value).is_integer()


def _number(key: str, value: int | float | str) -> float:
    if isinstance(value, str):
        raise FilterError(
            f'{key}: strings have no order in Qdrant, got "{value}"; write numbers and dates without quotes'
        )
    return float(value)


def _box(key: str, box: InBox) -> models.Condition:
    """The box, its top and right edge moved in where the index loses them, and cut where it wraps."""
    top, east = min(box.top, 90 - _NEXT_TO_EDGE), 180 - _NEXT_TO_EDGE

    def part(left: float, right: float) -> models.Condition:
        corners = models.GeoBoundingBox(
            top_left=models.GeoPoint(lat=top, lon=left), bottom_right=models.GeoPoint(lat=box.bottom, lon=right)
        )
        return models.FieldCondition(key=key, geo_bounding_box=corners)

    if box.left < box.right:
        return part(box.left, min(box.right, east))
    # The third part has the points at longitude 180 itself, the edge of the other two.
    parts = [part(box.left, east)] if box.left < east else []
    parts += [part(-180.0, box.right), part(max(box.left, _SEAM), min(box.right, -_SEAM))]
    return models.Filter(should=parts)
