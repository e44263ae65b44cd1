"""A filter as a tree of frozen values. `F` and `parse_filter` build it; stores translate it.

    Filter
    ├── And, Or, Not            of filters
    ├── Equals, In              a value, one of several
    ├── Compare, Between        an order: numbers and datetimes
    ├── Exists, IsNull, IsEmpty
    ├── Contains                words of a text
    └── Within, InBox           places

Two filters are equal when they are written alike: 1, 1.0 and true are three different values here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from tasb_qdrant.errors import FilterError

MAX_DEPTH: Final = 24
"""Deeper filters are refused: a level is up to two protobuf messages, and protobuf reads 100 deep."""


class Filter:
    """Which passages to search. Combine filters with & | ~."""

    __slots__ = ()

    @property
    def depth(self) -> int:
        """How many `and`, `or` and `not` lie one in another."""
        return 0

    # A comparison of `fields(Model)` is a bool to type checkers, and a Filter at run time: no bool gets here.
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
        return hash(self._key())

    def _key(self) -> object:
        return _tagged(tuple(getattr(self, f.name) for f in fields(self) if f.compare))  # type: ignore[arg-type]  # every node is a dataclass


def _tagged(value: object) -> object:
    """With the types beside the values: Python's 1 == 1.0 == True would make different filters equal."""
    if isinstance(value, tuple):
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
            f"the filter is nested {depth} deep, and at most {MAX_DEPTH} can be sent; "
            "use `in` for lists of values, or join in one go with all_of and any_of"
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
