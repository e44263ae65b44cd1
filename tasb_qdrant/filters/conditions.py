"""The leaves of a filter: a field and a condition on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from datetime import datetime
from typing import Literal, TypeAlias

from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters.nodes import And, AnyElement, AtLeast, Filter, Ids, Not, Or
from tasb_qdrant.filters.values import (
    Scalar,
    check_list,
    check_number,
    check_ordered,
    check_part,
    check_point,
    check_ring,
    check_value,
    check_words,
    kind_of,
)
from tasb_qdrant.records.json_values import plain_scalar
from tasb_qdrant.records.path import canonical_path

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
    """None of them is one of none: `F.not_in` may be given an empty list, `F.in_` not."""

    _hash: int = dataclass_field(default=0, init=False, repr=False, compare=False)

    def _check(self) -> None:
        object.__setattr__(self, "values", check_list(self.values, self.field))


@dataclass(frozen=True, slots=True, eq=False)
class Compare(_Leaf):
    """The field, or an element of it, compares with the value in that order."""

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
    """The field has a value: it is present, and neither null nor an empty list."""


@dataclass(frozen=True, slots=True, eq=False)
class IsNull(_Leaf):
    """The field, or an element of it, is null. A missing field is not."""


@dataclass(frozen=True, slots=True, eq=False)
class IsEmpty(_Leaf):
    """The field is missing, null or an empty list: the opposite of Exists."""


@dataclass(frozen=True, slots=True, eq=False)
class Count(_Leaf):
    """The field has `low` to `high` values, both included; `high` None means no upper bound.

    A list has as many values as elements, null and a missing field have none, and anything else counts as one.
    """

    low: int
    high: int | None = None

    def _check(self) -> None:
        object.__setattr__(self, "low", plain_scalar(self.low))
        object.__setattr__(self, "high", plain_scalar(self.high))
        for bound in (self.low, self.high):
            if bound is not None and (type(bound) is not int or not 0 <= bound < 2**63):
                raise FilterError(f"{self.field}: a count is a whole number, 0 or more, got {bound!r}")
        if self.high is not None and self.low > self.high:
            raise FilterError(f"{self.field}: no count is between {self.low} and {self.high}")
        if self.low == 0 and self.high is None:
            raise FilterError(f"{self.field}: every count is 0 or more, so the condition is always true; leave it out")


@dataclass(frozen=True, slots=True, eq=False)
class _Words(_Leaf):
    text: str

    def _check(self) -> None:
        object.__setattr__(self, "text", check_words(self.text, self.field))


@dataclass(frozen=True, slots=True, eq=False)
class Contains(_Words):
    """The field's text has all the words, in any order and case. Needs a text index."""


@dataclass(frozen=True, slots=True, eq=False)
class ContainsAny(_Words):
    """The field's text has one of the words, in any case. Needs a text index."""


@dataclass(frozen=True, slots=True, eq=False)
class ContainsPhrase(_Words):
    """The field's text has the words one after another, in any case. Needs a text index."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part(_Leaf):
    text: str

    def _check(self) -> None:
        object.__setattr__(self, "text", check_part(self.text, self.field))


@dataclass(frozen=True, slots=True, eq=False)
class Prefix(_Part):
    """The field's text, or that of an element of it, begins with these characters."""


@dataclass(frozen=True, slots=True, eq=False)
class Substring(_Part):
    """The field's text, or that of an element of it, has these characters somewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Within(_Leaf):
    """The place is less than `metres` from (lat, lon), along a great circle."""

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
    """The place is inside the box, not on its edge. With left > right the box crosses longitude 180."""

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


@dataclass(frozen=True, slots=True, eq=False)
class InPolygon(_Leaf):
    """The place is inside the outer ring and outside the holes, and not on an edge.

    Rings are lists of (lat, lon), closed implicitly; their sides are straight lines in degrees.
    """

    ring: tuple[tuple[float, float], ...]
    holes: tuple[tuple[tuple[float, float], ...], ...] = ()

    def _check(self) -> None:
        object.__setattr__(self, "ring", check_ring(self.ring, self.field))
        object.__setattr__(self, "holes", tuple(check_ring(hole, self.field) for hole in self.holes))


Leaf: TypeAlias = (
    Equals
    | In
    | Compare
    | Between
    | Exists
    | IsNull
    | IsEmpty
    | Count
    | Contains
    | ContainsAny
    | ContainsPhrase
    | Prefix
    | Substring
    | Within
    | InBox
    | InPolygon
)


def leaves(where: Filter) -> Iterator[Leaf]:
    """The conditions on fields, in the order in which they are written.

    Those inside `any` get the full path: authors[].name.
    """
    match where:
        case And(operands) | Or(operands) | AtLeast(operands):
            for operand in operands:
                yield from leaves(operand)
        case Not(operand):
            yield from leaves(operand)
        case AnyElement(field, operand):
            for leaf in leaves(operand):
                yield replace(leaf, field=f"{field}[].{leaf.field}")
        case Ids():
            return
        case _ if isinstance(where, Leaf):
            yield where
        case _:
            raise FilterError(f"{type(where).__name__} is not a filter of this package")
