"""Filters as text, which `parse_filter` reads back as the same filter."""

from __future__ import annotations

from tasb_qdrant.errors import FilterError
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
from tasb_qdrant.filters.literals import write_literal
from tasb_qdrant.filters.nodes import And, AnyElement, AtLeast, Filter, Ids, Not, Or
from tasb_qdrant.filters.values import EXACT


def format_filter(where: Filter) -> str:
    """The text form, on one line, with no more parentheses than needed."""
    match where:
        case Or(operands):
            return " or ".join(_inside(each, Or) for each in operands)
        case And(operands):
            return " and ".join(_inside(each, Or, And) for each in operands)
        case Not(Equals(field, value)):
            return f"{field} != {write_literal(value)}"
        case Not(In(field, values)):
            return f"{field} not in {_list(values)}"
        case Not(IsNull(field)):
            return f"{field} is not null"
        case Not(IsEmpty(field)):
            return f"{field} is not empty"
        case Not(Count(field, low, high)) if low == high:
            return f"count({field}) != {low}"
        case Not(operand):
            return f"not {_inside(operand, Or, And)}"
        case AtLeast(operands, count):
            return f"at least {count} of ({', '.join(map(format_filter, operands))})"
        case AnyElement(field, operand):
            return f"{field} any ({format_filter(operand)})"
        case Ids(ids):
            return f"ids({', '.join(map(write_literal, ids))})"
    return _leaf(where)


def _leaf(where: Filter) -> str:
    match where:
        case Equals(field, value):
            return f"{field} = {write_literal(value)}"
        case In(field, values):
            return f"{field} in {_list(values)}"
        case Compare(field, order, value):
            return f"{field} {order} {write_literal(value)}"
        case Between(field, low, high):
            return f"{field} between {write_literal(low)} and {write_literal(high)}"
        case Exists(field):
            return f"{field} exists"
        case IsNull(field):
            return f"{field} is null"
        case IsEmpty(field):
            return f"{field} is empty"
        case Count(field, low, high):
            return _count(f"count({field})", low, high)
        case Contains(field, text):
            return f"{field} contains {write_literal(text)}"
        case ContainsAny(field, text):
            return f"{field} contains any {write_literal(text)}"
        case ContainsPhrase(field, text):
            return f"{field} contains phrase {write_literal(text)}"
        case Prefix(field, text):
            return f"{field} prefix {write_literal(text)}"
        case Substring(field, text):
            return f"{field} substring {write_literal(text)}"
        case Within(field, lat, lon, metres):
            return f"{field} within {_distance(metres)} of {_point(lat, lon)}"
        case InBox(field, top, left, bottom, right):
            return f"{field} in box {_point(top, left)} to {_point(bottom, right)}"
        case InPolygon(field, ring, holes):
            return f"{field} in polygon {' without '.join(map(_ring, (ring, *holes)))}"
    raise FilterError(f"{type(where).__name__} is not a filter of this package")


def _inside(where: Filter, *weaker: type[Filter]) -> str:
    text = format_filter(where)
    return f"({text})" if isinstance(where, weaker) else text


def _list(values: tuple[object, ...]) -> str:
    return "[" + ", ".join(write_literal(value) for value in values) + "]"  # type: ignore[arg-type]  # checked when built


def _ring(corners: tuple[tuple[float, float], ...]) -> str:
    return "[" + ", ".join(_point(lat, lon) for lat, lon in corners) + "]"


def _count(counted: str, low: int, high: int | None) -> str:
    if high is None:
        return f"{counted} >= {low}"
    if low == high:
        return f"{counted} = {low}"
    return f"{counted} <= {high}" if low == 0 else f"{counted} between {low} and {high}"


def _point(lat: float, lon: float) -> str:
    return f"({_number(lat)}, {_number(lon)})"


def _distance(metres: float) -> str:
    kilometres = metres / 1000
    if kilometres >= 1 and kilometres * 1000 == metres:
        return f"{_number(kilometres)} km"
    return f"{_number(metres)} m"


def _number(value: float) -> str:
    return repr(int(value)) if value.is_integer() and abs(value) <= EXACT else repr(value)
