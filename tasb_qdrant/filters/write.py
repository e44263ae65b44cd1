"""Filters written as text, which `parse_filter` reads back as the same filter."""

from __future__ import annotations

from tasb_qdrant.errors import FilterError
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
    Within,
)
from tasb_qdrant.filters.literals import write_literal
from tasb_qdrant.filters.nodes import And, Filter, Not, Or
from tasb_qdrant.filters.values import EXACT


def format_filter(where: Filter) -> str:
    """The text form, on one line, with as few parentheses as its meaning needs."""
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
        case Not(operand):
            return f"not {_inside(operand, Or, And)}"
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
        case Contains(field, text):
            return f"{field} contains {write_literal(text)}"
        case Within(field, lat, lon, metres):
            return f"{field} within {_distance(metres)} of {_point(lat, lon)}"
        case InBox(field, top, left, bottom, right):
            return f"{field} in box {_point(top, left)} to {_point(bottom, right)}"
    raise FilterError(f"{type(where).__name__} is no filter of this package")


def _inside(where: Filter, *weaker: type[Filter]) -> str:
    text = format_filter(where)
    return f"({text})" if isinstance(where, weaker) else text


def _list(values: tuple[object, ...]) -> str:
    return "[" + ", ".join(write_literal(value) for value in values) + "]"  # type: ignore[arg-type]  # checked when built


def _point(lat: float, lon: float) -> str:
    return f"({_number(lat)}, {_number(lon)})"


def _distance(metres: float) -> str:
    kilometres = metres / 1000
    if kilometres >= 1 and kilometres * 1000 == metres:
        return f"{_number(kilometres)} km"
    return f"{_number(metres)} m"


def _number(value: float) -> str:
    return repr(int(value)) if value.is_integer() and abs(value) <= EXACT else repr(value)
