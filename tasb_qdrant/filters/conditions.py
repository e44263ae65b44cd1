"""The leaves of a filter: a field, and what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters.nodes import And, Filter, Not, Or
from tasb_qdrant.filters.path import canonical_path
from tasb_qdrant.filters.values import (
    Scalar,
    check_list,
    check_number,
    check_ordered,
    check_point,
    check_value,
    kind_of,
)

Order: TypeAlias = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True, eq=False)
class _Leaf(Filter):
    field: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", canonical_path(self.field))
        self._check()

    def _check(self) -> None:
        """Refuse or normalise the values."""


@dataclass(frozen=True, slots=True, eq=False)
class Equals(_Leaf):
    """The field, or an element of it, is the value."""

    value: Scalar

    def _check(self) -> None:
        object.__setattr__(self, "value", check_value(self.value, self.field))


@dataclass(frozen=True, slots=True, eq=False)
class In(_Leaf):
    """The field, or an element of it, is one of the values."""

    values: tuple[Scalar, ...]

    def _check(self) -> None:
        object.__setattr__(self, "values", check_list(self.values, self.field))


@dataclass(frozen=True, slots=True, eq=False)
class Compare(_Leaf):
    """The field, or an element of it, lies on that side of the value."""

    order: Order
    value: int | float | str | datetime

    def _check(self) -> None:
        if self.order not in ("<", "<=", ">", ">="):
            raise FilterError(f"{self.field}: an order is one of < <= > >=, got {self.order!r}")
        object.__setattr__(self, "value", check_ordered(self.value, self.field))


@dataclass(frozen=True, slots=True, eq=False)
class Between(_Leaf):
    """The field, or one element of it, lies from low to high, both included."""

    low: int | float | str | datetime
    high: int | float | str | datetime

    def _check(self) -> None:
        low, high = check_ordered(self.low, self.field), check_ordered(self.high, self.field)
        if kind_of(low) != kind_of(high):
            raise FilterError(f"{self.field}: between takes two numbers or two datetimes, got {low!r} and {high!r}")
        if low > high:  # type: ignore[operator]  # of one kind, as checked above
            raise FilterError(f"{self.field}: between {low!r} and {high!r} is empty; swap the two")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)


@dataclass(frozen=True, slots=True, eq=False)
class Exists(_Leaf):
    """The field has a value: it is there, and neither null nor an empty list."""


@dataclass(frozen=True, slots=True, eq=False)
class IsNull(_Leaf):
    """The field, or an element of it, is null. A missing field is not."""


@dataclass(frozen=True, slots=True, eq=False)
class IsEmpty(_Leaf):
    """The field is missing, null or an empty list: the opposite of Exists."""


@dataclass(frozen=True, slots=True, eq=False)
class Contains(_Leaf):
    """The field's text has all the words, in any order and case. Needs a text index."""

    text: str

    def _check(self) -> None:
        text = check_value(self.text, self.field)
        if not isinstance(text, str):
            raise FilterError(f"{self.field}: contains takes a string, got {text!r}")
        if not any(character.isalnum() for character in text):
            raise FilterError(f"{self.field}: contains needs a word to look for, got {text!r}")
        object.__setattr__(self, "text", text)


@dataclass(frozen=True, slots=True, eq=False)
class Within(_Leaf):
    """The place lies less than `metres` from (lat, lon), along a great circle."""

    lat: float
    lon: float
    metres: float

    def _check(self) -> None:
        lat, lon = check_point((self.lat, self.lon), self.field)
        metres = check_number(self.metres, self.field, "the distance")
        if metres <= 0:
            raise FilterError(f"{self.field}: the distance must be more than 0, got {metres}")
        object.__setattr__(self, "lat", lat)
        object.__setattr__(self, "lon", lon)
        object.__setattr__(self, "metres", metres)


@dataclass(frozen=True, slots=True, eq=False)
class InBox(_Leaf):
    """The place lies inside the box, not on its edge. With left > right it crosses longitude 180."""

    top: float
    left: float
    bottom: float
    right: float

    def _check(self) -> None:
        top, left = check_point((self.top, self.left), self.field)
        bottom, right = check_point((self.bottom, self.right), self.field)
        left, right = -180.0 if left == 180 else left, 180.0 if right == -180 else right
        if top <= bottom or left == right:
            raise FilterError(
                f"{self.field}: the box from {(top, left)} to {(bottom, right)} is empty; give its top left "
                "and bottom right corners as (lat, lon)"
            )
        for name, value in (("top", top), ("left", left), ("bottom", bottom), ("right", right)):
            object.__setattr__(self, name, value)


Leaf: TypeAlias = Equals | In | Compare | Between | Exists | IsNull | IsEmpty | Contains | Within | InBox


def leaves(where: Filter) -> Iterator[Leaf]:
    """The conditions of a filter, in the order in which they are written."""
    if isinstance(where, And | Or):
        for operand in where.operands:
            yield from leaves(operand)
    elif isinstance(where, Not):
        yield from leaves(where.operand)
    elif isinstance(where, Leaf):
        yield where
    else:
        raise FilterError(f"{type(where).__name__} is no filter of this package")
