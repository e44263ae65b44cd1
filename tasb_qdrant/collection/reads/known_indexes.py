"""The payload indexes of a server's collection, remembered: asking for them costs a search a second request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.filters import Filter
from tasb_qdrant.filters.conditions import leaves
from tasb_qdrant.records.path import canonical_path
from tasb_qdrant.settings import IndexType

MAX_AGE: Final = 60.0
"""Seconds. Other programs may make and drop indexes, too."""


@dataclass(frozen=True, slots=True)
class Indexes:
    """Payload fields and the types of their indexes. `without_phrases` are texts of which an index, made by another
    program, finds words and no phrases."""

    types: Mapping[str, IndexType]
    without_phrases: frozenset[str] = frozenset()


class KnownIndexes:
    """What was read last, if that is not too long ago. `clock` gives seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._indexes = Indexes({})
        self._answered: set[str] = set()
        self._until = float("-inf")

    @property
    def indexes(self) -> Indexes:
        """What was learnt last."""
        return self._indexes

    def lacks(self, fields: Iterable[str]) -> bool:
        """Whether to read them again: they are too old, or a field has no index and was never asked for."""
        return self._clock() >= self._until or not self._answered.issuperset(fields)

    def learn(self, indexes: Indexes, fields: Iterable[str]) -> None:
        """These were read a moment ago, for the sake of `fields`. Paths are canonical."""
        before = set() if self._clock() >= self._until else self._answered
        # A field without an index is looked for once, and not at each search.
        self._answered = before | set(fields) | {canonical_path(field) for field in indexes.types}
        self._indexes = indexes
        self._until = self._clock() + MAX_AGE

    def have_all(self, fields: Iterable[str]) -> bool:
        """Whether each of the fields, in its canonical spelling, had an index when they were learnt last."""
        return {canonical_path(field) for field in self._indexes.types}.issuperset(fields)

    def forget(self) -> None:
        """Read them again when they are needed next."""
        self._until = float("-inf")


def fields_of(where: Filter) -> set[str]:
    """The fields that a filter names, in their canonical spelling."""
    return {leaf.field for leaf in leaves(where)}
