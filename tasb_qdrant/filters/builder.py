"""`F("year") >= 2020`: filters written in Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import NoReturn, TypeAlias
from uuid import UUID

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
    Order,
    Prefix,
    Substring,
    Within,
)
from tasb_qdrant.filters.nodes import And, AnyElement, AtLeast, Filter, Ids, Not, Or, as_filter
from tasb_qdrant.filters.values import check_number, check_point
from tasb_qdrant.records.json_values import plain_scalar
from tasb_qdrant.records.path import canonical_path

Value: TypeAlias = str | bool | int | float | date | UUID | Decimal | Enum
"""What a field can be compared with; a naive datetime is in UTC, and a date is its midnight in UTC. NumPy's and pandas'
scalars count as Python's, members of an Enum as their values."""

Ordered: TypeAlias = int | float | date | str | Decimal
Point: TypeAlias = tuple[float, float]
"""(latitude, longitude) in degrees."""


class F:
    """A payload field to filter by: `F("year")`, `F("author.name")`, `F("authors[].name")`.

    Comparisons make filters: `(F("year") >= 2020) & ~(F("lang") == "en")`. A field that is an array
    matches if any element does. Values are checked at once: FilterError says what to write instead.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = canonical_path(name)

    @property
    def name(self) -> str:
        """The path, in its canonical spelling."""
        return self._name

    def __repr__(self) -> str:
        return f"F({self._name!r})"

    def __bool__(self) -> bool:
        raise TypeError(f'F("{self._name}") is neither true nor false; write F("{self._name}").exists()')

    # == makes a filter, as in every query builder, so object's signature doesn't fit, and a field isn't hashable.
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, value: Value) -> Equals:  # type: ignore[override]
        return Equals(self._name, self._plain(value))  # type: ignore[arg-type]  # dates become datetimes inside

    def __ne__(self, value: Value) -> Not:  # type: ignore[override]
        return Not(self == value)

    def __lt__(self, value: Ordered) -> Compare:
        return self._compare("<", value)

    def __le__(self, value: Ordered) -> Compare:
        return self._compare("<=", value)

    def __gt__(self, value: Ordered) -> Compare:
        return self._compare(">", value)

    def __ge__(self, value: Ordered) -> Compare:
        return self._compare(">=", value)

    def between(self, low: Ordered, high: Ordered) -> Between:
        """From low to high, both included."""
        return Between(self._name, self._plain(low), self._plain(high))  # type: ignore[arg-type]  # dates become datetimes inside

    def in_(self, values: Iterable[Value]) -> In:
        """One of the values, all of one kind: strings, numbers, booleans or datetimes."""
        found = In(self._name, values)  # type: ignore[arg-type]  # becomes a tuple inside
        if not found.values:
            raise FilterError(f"{self._name}: `in` takes at least one value, got an empty list; no passage could match")
        return found

    def not_in(self, values: Iterable[Value]) -> Not:
        """None of the values; also matches if the field is missing, and every passage if there are no values."""
        return Not(In(self._name, values))  # type: ignore[arg-type]  # as above

    def exists(self) -> Exists:
        """Present, and neither null nor an empty list."""
        return Exists(self._name)

    def is_null(self) -> IsNull:
        """Null, or an array that contains null; a missing field doesn't match."""
        return IsNull(self._name)

    def is_empty(self) -> IsEmpty:
        """Missing, null or an empty list."""
        return IsEmpty(self._name)

    def contains(self, text: str) -> Contains:
        """All the words, in any order and case. The field needs a text index."""
        return Contains(self._name, text)

    def contains_any(self, text: str) -> ContainsAny:
        """At least one of the words, in any case. The field needs a text index."""
        return ContainsAny(self._name, text)

    def contains_phrase(self, text: str) -> ContainsPhrase:
        """The words one after another, in any case. The field needs a text index."""
        return ContainsPhrase(self._name, text)

    def prefix(self, text: str) -> Prefix:
        """Text that begins with these characters, in this case. Needs the embedded store, or Qdrant 1.19."""
        return Prefix(self._name, text)

    def substring(self, text: str) -> Substring:
        """Text that has these characters somewhere, in this case. Needs the embedded store, or Qdrant 1.20."""
        return Substring(self._name, text)

    def count(self) -> CountOf:
        """The number of values, to be compared: `F("tags").count() >= 2`."""
        return CountOf(self._name)

    def any(self, *conditions: Filter | bool) -> AnyElement:
        """One object of the list meets all the conditions: `F("authors").any(F("name") == "Ada", F("age") > 30)`.

        The fields in the conditions are those of the object.
        """
        return AnyElement(self._name, all_of(conditions))

    def within(self, *, of: Point, km: float | None = None, m: float | None = None) -> Within:
        """Less than `km` kilometres (or `m` metres) from the place `of`, (lat, lon)."""
        if (km is None) == (m is None):
            raise FilterError(f"{self._name}: within takes one distance, in km or in m: within(km=5, of=(52.5, 13.4))")
        metres = m if km is None else check_number(km, self._name, "the distance") * 1000
        return Within(self._name, *check_point(of, self._name), metres)  # type: ignore[arg-type]  # one of the two is a number

    def in_box(self, *, top_left: Point, bottom_right: Point) -> InBox:
        """Inside the box between two corners, `top_left` and `bottom_right`, (lat, lon) each."""
        return InBox(self._name, *check_point(top_left, self._name), *check_point(bottom_right, self._name))

    def in_polygon(self, ring: Sequence[Point], *, holes: Sequence[Sequence[Point]] = ()) -> InPolygon:
        """Inside the ring of corners, (lat, lon) each, and outside the holes. Rings close by themselves."""
        return InPolygon(self._name, ring, holes)  # type: ignore[arg-type]  # become tuples inside

    @staticmethod
    def ids(passage_ids: Iterable[str]) -> Ids:
        """The passages with these ids: `F.ids(["a", "b"])`, whatever payload field holds the id."""
        return Ids(passage_ids)  # type: ignore[arg-type]  # becomes a tuple inside

    def __and__(self, other: object) -> NoReturn:
        raise TypeError(
            f"{self!r} alone is not a filter, and & and | bind tighter than comparisons; put each comparison in "
            'parentheses: (F("year") >= 2020) & (F("lang") == "en")'
        )

    __rand__ = __or__ = __ror__ = __and__

    def _compare(self, order: Order, value: Ordered) -> Compare:
        return Compare(self._name, order, self._plain(value))  # type: ignore[arg-type]  # dates become datetimes inside

    def _plain(self, value: Value) -> Value:
        if isinstance(value, F):
            raise FilterError(f"{self._name}: Qdrant can't compare two fields; compare with a value")
        return value


class CountOf:
    """The number of values of a field. Comparing it with a whole number makes a filter."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"F({self._name!r}).count()"

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} is neither true nor false; compare it with a number")

    __hash__ = None  # type: ignore[assignment]  # as in F

    def __eq__(self, number: int) -> Count:  # type: ignore[override]  # as in F
        return Count(self._name, number, number)

    def __ne__(self, number: int) -> Not:  # type: ignore[override]  # as in F
        return Not(self == number)

    def __lt__(self, number: int) -> Count:
        return Count(self._name, 0, self._whole(number) - 1)

    def __le__(self, number: int) -> Count:
        return Count(self._name, 0, number)

    def __gt__(self, number: int) -> Count:
        return Count(self._name, self._whole(number) + 1)

    def __ge__(self, number: int) -> Count:
        return Count(self._name, number)

    def between(self, low: int, high: int) -> Count:
        """From low to high, both included."""
        return Count(self._name, low, high)

    def _whole(self, number: int) -> int:
        number = plain_scalar(number)
        if type(number) is not int:
            raise FilterError(f"{self._name}: a count is a whole number, 0 or more, got {number!r}")
        return number


def at_least(count: int, *conditions: Filter | bool) -> AtLeast:
    """At least that many of the conditions match: `at_least(2, F("a") == 1, F("b") == 2, F("c") == 3)`.

    Raises FilterError for a count below 1 or above the number of conditions.
    """
    return AtLeast(tuple(map(as_filter, conditions)), count)


def all_of(filters: Iterable[Filter | bool]) -> Filter:
    """All of them match; a single filter is returned as is. Raises FilterError for none."""
    return _join(And, list(filters))


def any_of(filters: Iterable[Filter | bool]) -> Filter:
    """At least one matches; a single filter is returned as is. Raises FilterError for none."""
    return _join(Or, list(filters))


def _join(kind: type[And] | type[Or], filters: list[Filter | bool]) -> Filter:
    flat: list[Filter] = []
    for each in map(as_filter, filters):
        flat.extend(each.operands if isinstance(each, kind) else (each,))
    if not flat:
        raise FilterError("no filters to join; pass at least one")
    return flat[0] if len(flat) == 1 else kind(tuple(flat))
