"""Conditions that stand for many: a long list of numbers or moments, as a tree of ranges.

Only a range finds 1.0 where 1 is asked for, whatever index there is, so that a list of numbers is a range for each. As
one flat list, each passage would be compared with every one of them; of a tree it takes a few hundred. Each store makes
the tree in its own way, because qdrant-client's models take 13 µs for each value, and a list may have 100,000.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

from qdrant_client import models

T = TypeVar("T")

Bound: TypeAlias = float | datetime

LONG: Final = 64
"""Longer lists become trees."""

_BRANCHES: Final = 256


class OneOf(models.FieldCondition):
    """The field, or an element of it, is one of these numbers, or one of these moments, in ascending order.

    A store that doesn't know it sees a condition on the field without any, and refuses that.
    """

    values: tuple[Any, ...] = ()

    @classmethod
    def of(cls, key: str, values: Sequence[float] | Sequence[datetime]) -> OneOf:
        """Of these values, in any order."""
        distinct = {value if isinstance(value, datetime) else float(value) for value in values}
        return cls.model_construct(key=key, values=tuple(sorted(distinct)))

    def tree(self, make: Callable[[Span], T], join: Callable[[Span, list[T]], T]) -> T:
        """The whole condition, of what `make` gives for each value and `join` for several beside each other: whatever
        lies in the span and meets one of them."""
        level = [self._leaf(value, make, join) for value in self.values]
        while len(level) > 1:
            parts = [level[start : start + _BRANCHES] for start in range(0, len(level), _BRANCHES)]
            level = [(span := _over(part), join(span, [made for _, made in part])) for part in parts]
        return level[0][1]

    @staticmethod
    def _leaf(value: Bound, make: Callable[[Span], T], join: Callable[[Span, list[T]], T]) -> tuple[Span, T]:
        """A single value. An integer index on a server cuts the fraction off a bound, so that 2.5 would find 2: it is
        also to lie between 2 and 3."""
        span = Span(value, value)
        if isinstance(value, datetime) or value.is_integer():
            return span, make(span)
        return span, join(span, [make(Span(float(math.floor(value)), float(math.ceil(value)), open=True))])


@dataclass(frozen=True, slots=True)
class Span:
    """From `low` to `high`, both included unless the span is `open`."""

    low: Bound
    high: Bound
    open: bool = False


def _over(part: Sequence[tuple[Span, object]]) -> Span:
    return Span(part[0][0].low, part[-1][0].high)
