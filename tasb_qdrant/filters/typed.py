"""Filters on the fields of a payload model: `fields(Article).year >= 2020`.

    article = fields(Article)
    where = (article.year >= 2020) & field(article.tags).in_(["solar", "wind"])

To type checkers `fields(Article)` is an Article, so names and compared values are checked without a plugin and
without a second class that repeats the model's fields. A comparison is then a bool to them, which is why
`where=` accepts a bool as well. What a bool, int or str of the model can't express (`in_`, `contains`, comparing
something that may be None) goes through `field(...)`, whose filters are Filter to type checkers too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any, Generic, NoReturn, Protocol, TypeAlias, TypeVar, cast, overload

from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters.builder import CountOf, F, Point
from tasb_qdrant.filters.conditions import Order
from tasb_qdrant.filters.nodes import Filter
from tasb_qdrant.filters.term import Term, checked, ordered, term_of

__all__ = ["Field", "field", "fields"]

M = TypeVar("M")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
"""Covariant, so that a field of a Literal or a StrEnum is also one of str. As it is used in parameters too, this is
unsound if a Field[int] is passed on as a Field[object], which the check at run time catches."""


class Place(Protocol):
    """A model with a latitude and a longitude in degrees."""

    @property
    def lat(self) -> float: ...

    @property
    def lon(self) -> float: ...


Ordered: TypeAlias = int | float | date


class OtherType:
    """What type checkers see when a field is compared with a value of another type. At run time it raises."""


def fields(model: type[M]) -> M:
    """The fields of the model, to be compared: an instance of it to type checkers, filters at run time.

    Comparing with a value that the annotation rules out raises FilterTypeError; a name that the model lacks
    raises FilterError with the closest ones.
    """
    return cast("M", term_of(model))


@overload
def field(of: Sequence[T | None] | AbstractSet[T | None] | None) -> Field[T]: ...
@overload
def field(of: T | None) -> Field[T]: ...
def field(of: Any) -> Any:
    """A field of `fields(Model)` with every filter operator. A list stands for its elements.

    Raises FilterError for anything else.
    """
    if not isinstance(of, Term) or not of._path:
        raise FilterError(f"field takes a field of a model, as in field(fields(Article).year), got {of!r}")
    return Field(of)


class Field(Generic[T_co]):
    """A field of a payload model; the type parameter is what it, or each of its elements, holds."""

    __slots__ = ("_f", "_term")

    def __init__(self, term: Term) -> None:
        self._term = term
        self._f = F(term._path)

    def __repr__(self) -> str:
        return f"field({self._term!r})"

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} is neither true nor false; compare it, or write .exists()")

    __hash__ = None  # type: ignore[assignment]  # as in F: == makes a filter

    # The second overload is for type checkers, which would otherwise fall back on the value's own == and see a bool.
    @overload  # type: ignore[override]  # as in F
    def __eq__(self, value: T_co) -> Filter: ...  # type: ignore[misc]  # T_co says why
    @overload
    def __eq__(self, value: object) -> OtherType: ...
    def __eq__(self, value: Any) -> Any:
        return self._f == checked(self._term, value)

    @overload  # type: ignore[override]  # as in F
    def __ne__(self, value: T_co) -> Filter: ...  # type: ignore[misc]  # T_co says why
    @overload
    def __ne__(self, value: object) -> OtherType: ...
    def __ne__(self, value: Any) -> Any:
        return self._f != checked(self._term, value)

    def __lt__(self: Field[Ordered], value: T_co) -> Filter:  # type: ignore[misc]  # T_co says why
        return self._ordered("<", value)

    def __le__(self: Field[Ordered], value: T_co) -> Filter:  # type: ignore[misc]  # T_co says why
        return self._ordered("<=", value)

    def __gt__(self: Field[Ordered], value: T_co) -> Filter:  # type: ignore[misc]  # T_co says why
        return self._ordered(">", value)

    def __ge__(self: Field[Ordered], value: T_co) -> Filter:  # type: ignore[misc]  # T_co says why
        return self._ordered(">=", value)

    def between(self: Field[Ordered], low: T_co, high: T_co) -> Filter:  # type: ignore[misc]  # T_co says why
        """From low to high, both included."""
        return self._f.between(ordered(self._term, low), ordered(self._term, high))

    def in_(self, values: Iterable[T_co]) -> Filter:
        """One of the values."""
        return self._f.in_(self._each(values))

    def not_in(self, values: Iterable[T_co]) -> Filter:
        """None of the values; also matches if the field is missing."""
        return self._f.not_in(self._each(values))

    def exists(self) -> Filter:
        """Present, and neither null nor an empty list."""
        return self._f.exists()

    def is_null(self) -> Filter:
        """Null, or an array that contains null; a missing field doesn't match."""
        return self._f.is_null()

    def is_empty(self) -> Filter:
        """Missing, null or an empty list."""
        return self._f.is_empty()

    def contains(self: Field[str], text: str) -> Filter:
        """All the words, in any order and case. The field needs a text index."""
        return self._f.contains(self._text(text))

    def prefix(self: Field[str], text: str) -> Filter:
        """Text that begins with these characters, in this case."""
        return self._f.prefix(self._text(text))

    def substring(self: Field[str], text: str) -> Filter:
        """Text that has these characters somewhere, in this case."""
        return self._f.substring(self._text(text))

    def contains_any(self: Field[str], text: str) -> Filter:
        """At least one of the words, in any case. The field needs a text index."""
        return self._f.contains_any(self._text(text))

    def contains_phrase(self: Field[str], text: str) -> Filter:
        """The words one after another, in any case. The field needs a text index."""
        return self._f.contains_phrase(self._text(text))

    def count(self) -> CountOf:
        """The number of values, to be compared: `field(a.tags).count() >= 2`."""
        return self._f.count()

    def any(self, *conditions: Callable[[T_co], Filter | bool]) -> Filter:
        """One object of the list meets all: `field(a.authors).any(lambda author: author.name == "Ada")`."""
        element = self._term._any()
        return self._f.any(*(condition(cast("T_co", element)) for condition in conditions))

    def within(self: Field[Place], *, of: Point, km: float | None = None, m: float | None = None) -> Filter:
        """Less than `km` kilometres (or `m` metres) from the place `of`, (lat, lon)."""
        self._term._must_hold("place", of)
        return self._f.within(of=of, km=km, m=m)

    def in_box(self: Field[Place], *, top_left: Point, bottom_right: Point) -> Filter:
        """Inside the box between two corners, (lat, lon) each."""
        self._term._must_hold("place", top_left)
        return self._f.in_box(top_left=top_left, bottom_right=bottom_right)

    def in_polygon(self: Field[Place], ring: Sequence[Point], *, holes: Sequence[Sequence[Point]] = ()) -> Filter:
        """Inside the ring of corners, (lat, lon) each, and outside the holes."""
        self._term._must_hold("place", ring)
        return self._f.in_polygon(ring, holes=holes)

    @property
    def inside(self) -> T_co:
        """The fields of the object here, or of every object in the list: `field(a.authors).inside.name`."""
        return cast("T_co", self._term._inside())

    def _text(self, text: str) -> str:
        return str(checked(self._term, text, free=True))

    def _ordered(self, order: Order, value: object) -> Filter:
        return self._f._compare(order, ordered(self._term, value))

    def _each(self, values: Iterable[T_co]) -> Iterable[Any]:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            return values  # which F refuses, saying what to write
        return [checked(self._term, value) for value in values]
