"""What a filter needs before a query can be sent with it: its fields' indexes, Qdrant's form of it, and about how many
points it lets through.

All of it is remembered for a while: asking again would cost each search a second request, or a third.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.cache import Cache
from tasb_qdrant.collection.reads.grouping import values_at
from tasb_qdrant.collection.reads.questions import DEFAULT_READ, ReadOptions, Where
from tasb_qdrant.collection.reads.state import KnownState, State
from tasb_qdrant.collection.reads.ways import Matches, Ways
from tasb_qdrant.collection.reads.wire import ACORN_SELECTIVITY, Indexes, Wire
from tasb_qdrant.filters import Filter, check_phrases
from tasb_qdrant.filters.conditions import In, leaves
from tasb_qdrant.records.path import Segment, canonical_path, parse_path, qdrant_path
from tasb_qdrant.settings import IndexType
from tasb_qdrant.steps import Requests, StoreSteps

if TYPE_CHECKING:
    from qdrant_client import models

MAX_AGE: Final = 60.0
"""Seconds. Other programs may make and drop indexes, too."""

PROBED: Final = 1_000
"""Passages in which floats are looked for before a long list is looked up: see `Filtering._floats`."""

MOST_FILTERS: Final = 1_000
"""Filters of which it is remembered about how many points they match."""


class KnownIndexes:
    """What was last read, unless that is too long ago. `clock` gives seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._indexes = Indexes({})
        self._answered: set[str] = set()
        self._until = float("-inf")

    @property
    def indexes(self) -> Indexes:
        """What was last read."""
        return self._indexes

    def lacks(self, fields: Iterable[str]) -> bool:
        """Whether to read them again: they are too old, or a field has no index and was never looked for."""
        return self._clock() >= self._until or not self._answered.issuperset(fields)

    def learn(self, indexes: Indexes, fields: Iterable[str]) -> None:
        """These were just read, because of `fields`. Paths are canonical."""
        before = set() if self._clock() >= self._until else self._answered
        # A field without an index is looked for once, and not at each search.
        self._answered = before | set(fields) | {canonical_path(field) for field in indexes.types}
        if not indexes.find_as(self._indexes):  # else what was made with them stays good
            self._indexes = indexes
        self._until = self._clock() + MAX_AGE

    def have_all(self, fields: Iterable[str]) -> bool:
        """Whether each field, in its canonical spelling, had an index when they were last read."""
        return {canonical_path(field) for field in self._indexes.types}.issuperset(fields)

    def forget(self) -> None:
        """Read them again when they are needed next."""
        self._until = float("-inf")


def fields_of(where: Filter) -> set[str]:
    """The fields that a filter names, in their canonical spelling."""
    return {leaf.field for leaf in leaves(where)}


def _floats_of(payload: Mapping[str, Any], path: Sequence[Segment]) -> Iterator[float]:
    for value in values_at(payload, path):
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, float))


@dataclass(frozen=True, slots=True)
class _Translated:
    """A filter as Qdrant has it, and what that was made of."""

    where: models.Filter
    fields: frozenset[str]
    indexes: Indexes


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found of a filter, also where that is nothing."""

    matches: Matches | None


class Filtering:
    """Filters over one collection. A search compares with every match if they are the state's `most_compared` or fewer,
    no more than ACORN_SELECTIVITY of all points, and the filter's fields have indexes; if `most_compared` is 0, never.
    That is until `ways` know by trial what is quickest.

    `place` says in errors which collection it is."""

    def __init__(self, wire: Wire[Any], state: KnownState, *, place: str) -> None:
        self.known = KnownIndexes()
        self.check: Callable[[Filter], None] = lambda _: None
        """Raises CollectionError for a filter that the store can't answer."""
        self._wire = wire
        self._state = state
        self._place = place
        self._translated: Cache[_Translated] = Cache(MOST_FILTERS, ttl=MAX_AGE)
        self._matches: Cache[_Known] = Cache(MOST_FILTERS, ttl=MAX_AGE)
        self._points: Cache[int] = Cache(1, ttl=MAX_AGE)
        self._built = state.now.built
        self.ways = Ways()

    def indexes(self, fields: frozenset[str]) -> StoreSteps[Mapping[str, IndexType]]:
        """The payload indexes as far as filters on these fields need them: up to MAX_AGE old."""
        if self.known.lacks(fields):
            state = yield from self._state.read()
            self.known.learn(state.indexes, fields)
        return self.known.indexes.types

    def learn(self, state: State, other: bool) -> None:
        """This state was just read; nothing that was remembered holds for one of another collection."""
        if other:
            self.known.forget()
            for cache in (self._translated, self._matches, self._points):
                cache.clear()
        if other or state.built != self._built or not state.indexes.find_as(self.known.indexes):
            self._built = state.built
            self.ways.forget()
        self.known.learn(state.indexes, ())

    def translated(self, where: Where) -> StoreSteps[models.Filter]:
        """As Qdrant has it. Raises FilterTypeError for phrases that an index can't find, LimitExceededError for more
        than the server's strict mode allows."""
        if not isinstance(where, Filter):
            self._state.now.limits.check_filter(where, place=self._place)
            return where.model_copy()  # its owner may change it, and the stores remember what they made of one
        found = self._translated.get(where)
        if found is None or found.indexes is not self.known.indexes or self.known.lacks(found.fields):
            found = yield from self._translate(where)
            self._translated.put(where, found)
        self._state.now.limits.check_filter(found.where, place=self._place)
        return found.where

    def _translate(self, where: Filter) -> StoreSteps[_Translated]:
        # Imported here since it brings in qdrant-client, 0.6 s that a search without a filter shouldn't wait for.
        from tasb_qdrant.collection.reads.filters import to_qdrant

        self.check(where)
        fields = frozenset(fields_of(where))
        indexes = yield from self.indexes(fields)
        check_phrases(where, self.known.indexes.without_phrases)
        floats = yield from self._floats(where, indexes)
        integer_ids = self._state.now.schema.integer_ids
        translated = to_qdrant(where, indexes=indexes, integer_ids=integer_ids, floats=floats)
        return _Translated(translated, fields, self.known.indexes)

    def _floats(self, where: Filter, indexes: Mapping[str, IndexType]) -> StoreSteps[dict[str, frozenset[float]]]:
        """Fields that long lists of whole numbers are looked up in, each with the floats there that such a lookup would
        miss: 1.0 is found as 1 by a range alone, and of 100,000 ranges a store makes 2 s of work.

        They are looked for where they would matter, in up to PROBED passages. A field with many isn't in the answer.
        """
        from tasb_qdrant.collection.reads.filters import long_numbers, misses

        types = {canonical_path(field): kind for field, kind in indexes.items()}
        found: dict[str, frozenset[float]] = {}
        most = self._state.now.limits.page_of(PROBED)
        for leaf in leaves(where):
            if not isinstance(leaf, In) or types.get(leaf.field) in ("integer", "float"):
                continue
            if not long_numbers(leaf.values):
                continue
            path, probe = parse_path(leaf.field), misses(leaf)
            (page,) = yield Requests(
                [
                    self._wire.scroll(
                        where=probe,
                        start=None,
                        order=None,
                        limit=most,
                        payload=(qdrant_path(leaf.field),),
                        vectors=False,
                        read=DEFAULT_READ,
                    )
                ]
            )
            floats = frozenset(each for point in page.points for each in _floats_of(point.payload or {}, path))
            if len(page.points) < most or not floats:
                found[leaf.field] = found.get(leaf.field, frozenset()) | floats
        return found

    def matches(self, where: Where, translated: models.Filter, read: ReadOptions) -> StoreSteps[Matches | None]:
        """About how many points match; None where it doesn't matter, or nothing tells."""
        if not self._state.now.most_compared or not isinstance(where, Filter):
            return None
        found = self._matches.get(where)
        if found is None:
            found = _Known((yield from self._estimate(where, translated, read)))
            self._matches.put(where, found)
        return found.matches

    def _estimate(self, where: Filter, translated: models.Filter, read: ReadOptions) -> StoreSteps[Matches | None]:
        """By the store's own estimate, which its payload indexes give it."""
        if not self.known.have_all(fields := fields_of(where)):
            return None  # the payload of each point would be read
        (matching,) = yield Requests([self._wire.count(translated, exact=False, read=read)])
        state = self._state.now
        points = self._points.get(None)
        if points is None:
            (points,) = yield Requests([self._wire.count(None, exact=False, read=read)])
            self._points.put(None, points)
        few = matching <= min(state.most_compared, ACORN_SELECTIVITY * points)
        return Matches(where, frozenset(fields), matching, points, state.schema.contract.dim, few)
