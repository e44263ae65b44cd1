"""A filter as a tree of frozen values. `F` and `parse_filter` build it; stores translate it.

    Filter
    ├── And, Or, Not, AtLeast   of filters
    ├── AnyElement              a filter on each object of a list
    ├── Ids                     of passages
    ├── Equals, In              a value, one of several
    ├── Compare, Between        an order: numbers and datetimes
    ├── Exists, IsNull, IsEmpty, Count
    ├── Contains, ContainsAny, ContainsPhrase    words of a text
    └── Within, InBox, InPolygon                 places

Two filters are equal if they are written the same way: 1, 1.0 and true are three different values here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Final

from tasb_qdrant.errors import FilterError
from tasb_qdrant.records.json_values import plain_scalar
from tasb_qdrant.records.path import canonical_path

MAX_DEPTH: Final = 24
"""Deeper filters are refused: a level takes up to three nested protobuf messages, and protobuf allows 100."""


class Filter:
    """Which passages to search. Combine filters with & | ~."""

    __slots__ = ()

    @property
    def depth(self) -> int:
        """How deep `and`, `or`, `not`, `at least` and `any` are nested."""
        return 0

    @property
    def size(self) -> int:
        """About how many values it compares with."""
        size = 0
        for held in (getattr(self, each.name) for each in fields(self) if each.init):  # type: ignore[arg-type]  # every node is a dataclass
            if isinstance(held, Filter):
                size += held.size
            elif isinstance(held, tuple):
                size += sum(each.size for each in held if isinstance(each, Filter)) or len(held)
            else:
                size += 1
        return size

    # A comparison of `fields(Model)` is a bool to type checkers but a Filter at run time: no bool gets here.
    def __and__(self, other: Filter | bool) -> And:
        return And(_flat(And, self, other)) if isinstance(other, Filter) else NotImplemented

    def __or__(self, other: Filter | bool) -> Or:
        return Or(_flat(Or, self, other)) if isinstance(other, Filter) else NotImplemented

    def __rand__(self, other: bool) -> And:
        return NotImplemented

    def __ror__(self, other: bool) -> Or:
        return NotImplemented

    def __invert__(self) -> Filter:
        return self.operand if isinstance(self, Not) else Not(self)

    def __bool__(self) -> bool:
        raise TypeError(
            "a filter is neither true nor false; combine filters with & | ~ instead of and, or, not "
            '(each comparison in parentheses), and write 2000 <= F("year") <= 2010 as '
            'F("year").between(2000, 2010)'
        )

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Filter) else NotImplemented

    def __hash__(self) -> int:
        # Several caches ask for it at each search: what may hold a long list has a place to keep it.
        kept: int | None = getattr(self, "_hash", None)
        if not kept:
            made = hash(self._key())
            if kept is not None:
                object.__setattr__(self, "_hash", made)
            return made
        return kept

    def _key(self) -> object:
        # With the kind of node: `a exists` and `a is null` have the same parts, and caches go by this.
        return type(self), _tagged(tuple(getattr(self, f.name) for f in fields(self) if f.compare))  # type: ignore[arg-type]  # every node is a dataclass


def as_filter(where: Filter | bool) -> Filter:
    """The filter, which type checkers may take for a bool (see typed.py). Raises FilterError for anything else."""
    if isinstance(where, Filter):
        return where
    raise FilterError(f"{where!r} is not a filter; compare a field with a value, or write .exists()")


_PLAIN: Final = frozenset({str, bool, int, float, datetime})


def _tagged(value: object) -> object:
    """The values tagged with their types: Python's 1 == 1.0 == True would make different filters equal."""
    if isinstance(value, tuple):
        kinds = set(map(type, value))
        if len(kinds) == 1 and kinds <= _PLAIN:  # as most lists are, of which some are long
            return (kinds.pop(), value)
        return tuple(_tagged(item) for item in value)
    return (type(value), value)


def _flat(kind: type[And] | type[Or], *operands: Filter) -> tuple[Filter, ...]:
    flat: list[Filter] = []
    for operand in operands:
        flat.extend(operand.operands if isinstance(operand, kind) else (operand,))
    return tuple(flat)


def _deeper(*operands: Filter) -> int:
    depth = 1 + max(operand.depth for operand in operands)
    if depth > MAX_DEPTH:
        raise FilterError(
            f"the filter is nested {depth} deep, but at most {MAX_DEPTH} levels can be sent; "
            "use `in` for lists of values, or join them in one call of all_of or any_of"
        )
    return depth


@dataclass(frozen=True, slots=True, eq=False)
class _Junction(Filter):
    operands: tuple[Filter, ...]
    _depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        operands = tuple(self.operands)
        if len(operands) < 2 or not all(isinstance(operand, Filter) for operand in operands):
            raise FilterError(f"{type(self).__name__} takes two or more filters, got {operands!r}")
        object.__setattr__(self, "operands", operands)
        object.__setattr__(self, "_depth", _deeper(*operands))

    @property
    def depth(self) -> int:
        return self._depth


@dataclass(frozen=True, slots=True, eq=False)
class And(_Junction):
    """All of them match."""


@dataclass(frozen=True, slots=True, eq=False)
class Or(_Junction):
    """At least one of them matches."""


@dataclass(frozen=True, slots=True, eq=False)
class Not(Filter):
    """It doesn't match. A passage without the field isn't equal to anything, so `not` finds it."""

    operand: Filter
    _depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.operand, Filter):
            raise FilterError(f"Not takes a filter, got {self.operand!r}")
        object.__setattr__(self, "_depth", _deeper(self.operand))

    @property
    def depth(self) -> int:
        return self._depth


@dataclass(frozen=True, slots=True, eq=False)
class AtLeast(_Junction):
    """At least that many of them match. One that is written twice counts twice."""

    count: int = 1

    def __post_init__(self) -> None:
        _Junction.__post_init__(self)  # super() would refer to the class before it got its slots
        object.__setattr__(self, "count", plain_scalar(self.count))
        if type(self.count) is not int or not 1 <= self.count <= len(self.operands):
            raise FilterError(
                f"at least {self.count!r} of {len(self.operands)} conditions is impossible; give a whole number "
                f"from 1 to {len(self.operands)}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class AnyElement(Filter):
    """One object of the list matches the whole filter, whose fields are the object's."""

    _depth: int = field(init=False, repr=False, compare=False)
    field: str
    operand: Filter

    def __post_init__(self) -> None:
        if not isinstance(self.operand, Filter):
            raise FilterError(f"{self.field}: any takes filters on the fields of an element, got {self.operand!r}")
        if _asks_for_ids(self.operand):
            raise FilterError(f"{self.field}: an element of a list has no passage id; ask for ids outside of any")
        # Qdrant enters the list by itself: authors[] means the same to it.
        object.__setattr__(self, "field", canonical_path(self.field).removesuffix("[]"))
        object.__setattr__(self, "_depth", _deeper(self.operand))

    @property
    def depth(self) -> int:
        return self._depth


@dataclass(frozen=True, slots=True, eq=False)
class Ids(Filter):
    """The passage is one of these."""

    ids: tuple[str, ...]
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given: object = self.ids
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise FilterError(f"ids takes a list of passage ids, got {given!r}")
        ids = list(given)
        if not ids:
            raise FilterError("ids takes at least one passage id, got none; no passage could match")
        for each in () if set(map(type, ids)) == {str} and all(ids) else ids:
            if not isinstance(each, str) or not each:
                raise FilterError(f"a passage id is a non-empty string, got {each!r}; write it in quotes")
        object.__setattr__(self, "ids", tuple(dict.fromkeys(map(str.__str__, ids))))


def _asks_for_ids(where: Filter) -> bool:
    match where:
        case Ids():
            return True
        case And(operands) | Or(operands) | AtLeast(operands):
            return any(map(_asks_for_ids, operands))
        case Not(operand) | AnyElement(_, operand):
            return _asks_for_ids(operand)
    return False
