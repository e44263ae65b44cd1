"""How a filtered search finds its points: by comparing with every match, or by the vector index; whichever was quickest
here, of those that find the same.

Which one that is depends on the machine, the filter's share of the points and the collection: on two cores comparing
with 70,000 matches takes as long as the index, on 16 cores three times as long. So after each of the first searches
with filters of one kind, answered in the usual way, the same is asked in all ways, and the quickest is kept. A way that
misses what the usual one finds isn't taken, however quick.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.cache import Cache
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import QueryOptions
from tasb_qdrant.errors import CollectionError
from tasb_qdrant.filters import Filter
from tasb_qdrant.printable import logger
from tasb_qdrant.steps import StoreSteps

log: Final = logger(__name__)

QUERIES: Final = 8
"""Different queries that every way is tried with. Each finds HITS points: two of 256 may be missed."""

OF_ONE_FILTER: Final = 2
"""The most of these queries that have one filter, where a way is chosen for others too."""

OF_ONE_CALL: Final = 2
"""The most of these queries that one call tries, however many it has."""

HITS: Final = 32
"""Also the most hits for which a way is taken that was tried with so many."""

RECALL: Final = 0.99

QUICKER: Final = 0.8
"""A way that may miss points is taken if it takes no more than this of the usual one's time: for less it isn't worth
it, and two processes would choose differently by chance."""

AT_ONCE: Final = 4_000_000
"""Numbers of vectors that are compared with in a millisecond: nothing is tried."""

LEAST_SHARE: Final = 0.1
"""Of all points. Of a filter that lets fewer through, the index without ACORN misses some: see FILTERED_HNSW_EF."""

EXTRA: Final = 2.0
"""Seconds that a call may take longer for it."""

SHARE_OF_REST: Final = 0.25
"""Of what is left of a call's timeout: the rest is for what was estimated wrongly."""

FAILURES: Final = 3
"""Errors of the store after which nothing more is tried."""

KINDS: Final = 100
"""Kinds of filters for which the way is remembered."""


@dataclass(frozen=True, slots=True)
class Way:
    """What is asked of the store: `exact` compares with every match, a `hnsw_ef` of one's own is the index without
    ACORN, and neither is the index with it, where the store applies it."""

    exact: bool = False
    hnsw_ef: int | None = None

    def applied(self, options: QueryOptions) -> QueryOptions:
        """The options of a search in this way."""
        return replace(options, exact=self.exact, hnsw_ef=self.hnsw_ef)

    def __str__(self) -> str:
        """For logs."""
        if self.exact:
            return "comparing with each match"
        return "the index with ACORN" if self.hnsw_ef is None else f"the index alone, hnsw_ef {self.hnsw_ef}"


COMPARE: Final = Way(exact=True)
THOROUGH: Final = Way()
QUICK: Final = (Way(hnsw_ef=256), Way(hnsw_ef=128))
"""64 is not among them: where it passed, filters like those that were tried lost most."""


@dataclass(frozen=True, slots=True)
class Matches:
    """About how many points a filter, on these `fields`, lets through, out of how many, of `dim` numbers each; `few`
    says that comparing with them is likely quickest."""

    where: Filter
    fields: frozenset[str]
    matching: int
    points: int
    dim: int
    few: bool

    @property
    def usual(self) -> Way:
        """What is done as long as nothing is known; it finds all, or nearly."""
        return COMPARE if self.few else THOROUGH

    @property
    def kind(self) -> tuple[int, int, bool, frozenset[str]]:
        """Filters of one kind are searched in one way."""
        return self.matching.bit_length(), self.points.bit_length(), self.few, self.fields

    @property
    def worth_trying(self) -> bool:
        """Whether there may be a quicker way."""
        return self.matching * self.dim > AT_ONCE and self.matching >= LEAST_SHARE * self.points


@dataclass(slots=True, eq=False)
class _Measured:
    """What queries took in each way, and the share of the usual way's hits that they found in it."""

    asked: set[Hashable] = field(default_factory=set)
    seconds: dict[Way, list[float]] = field(default_factory=dict)
    recalls: dict[Way, list[float]] = field(default_factory=dict)

    def add(self, query: Hashable, seconds: Mapping[Way, float], recalls: Mapping[Way, float]) -> None:
        for way in seconds:
            self.seconds.setdefault(way, []).append(seconds[way])
            self.recalls.setdefault(way, []).append(recalls[way])
        self.asked.add(query)

    def quickest(self, usual: Way) -> Way | None:
        """The way to take, once enough was measured: the usual one, unless another finds as much in less time."""
        if len(self.asked) < QUERIES:
            return None
        took = {way: median(seconds) for way, seconds in self.seconds.items()}
        good = [way for way in took if took[way] <= QUICKER * took[usual] and fmean(self.recalls[way]) >= RECALL]
        return min(good, key=lambda way: took[way], default=usual)

    def in_words(self) -> str:
        return ", ".join(f"{way} took {1e3 * median(seconds):.1f} ms" for way, seconds in self.seconds.items())


class Trial:
    """What was measured for filters of one kind: for each filter by itself, and for all of them together.

    One filter may be asked for again and again, and no other: its own queries choose its way alone. For all, each
    counts with a few, since what the index finds depends on where a filter's points lie."""

    def __init__(self, usual: Way, ways: Sequence[Way]) -> None:
        self.usual = usual
        self.ways = tuple(ways)
        self.busy = threading.Lock()
        """Held by the call that is trying: another would be in its way."""
        self._all = _Measured()
        self._own: dict[Filter, _Measured] = {}
        self._for_all: Way | None = None
        self._for_one: dict[Filter, Way] = {}
        self._measured = 0
        self._failures = 0

    def chosen(self, where: Filter) -> Way | None:
        """The way to take from now on with this filter; None as long as that isn't known."""
        found = self._for_one.get(where, self._for_all)
        if found is None and (len(self.ways) == 1 or self._failures >= FAILURES):
            return self.usual
        return found

    def untried(self, where: Filter, vectors: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Those of the queries that a call is to try now with this filter."""
        if self.chosen(where) is not None:
            return []
        before = self._own[where].asked if where in self._own else ()
        fresh = {key: vector for vector in vectors if (key := vector.tobytes()) not in before}
        return list(fresh.values())[:OF_ONE_CALL]

    def in_turn(self) -> list[Way]:
        """The ways, each as often the first as any other."""
        first = self._measured % len(self.ways)
        return [*self.ways[first:], *self.ways[:first]]

    def learn(
        self,
        where: Filter,
        vector: NDArray[np.float32],
        seconds: Mapping[Way, float],
        found: Mapping[Way, Sequence[PointId]],
    ) -> str:
        """What the query took and found in each way. Says so, in words, if a way is chosen by it."""
        truth = set(found[self.usual])
        recalls = {way: len(truth.intersection(ids)) / len(truth) if truth else 1.0 for way, ids in found.items()}
        query, own = vector.tobytes(), self._own.setdefault(where, _Measured())
        own.add(query, seconds, recalls)
        self._measured += 1
        if len(own.asked) <= OF_ONE_FILTER:
            self._all.add((where, query), seconds, recalls)
        if (way := self._all.quickest(self.usual)) is not None:
            self._for_all = way
            self._own.clear()
            return f"filters like this one are searched by {way} from now on: {self._all.in_words()}"
        if (way := own.quickest(self.usual)) is not None:
            self._for_one[where] = way
            return f"this filter is searched by {way} from now on: {own.in_words()}"
        return ""

    def failed(self) -> None:
        """The store answered with an error."""
        self._failures += 1


@dataclass(slots=True)
class Patience:
    """How much longer a call may take. `timeout` are its seconds, and `began` when, by perf_counter."""

    timeout: float | None
    began: float = field(default_factory=lambda: time.perf_counter())  # a test's clock, too
    each: float = math.inf
    """Seconds that one search takes."""

    def answered(self, queries: int) -> None:
        """So many were answered until now."""
        self.each = (time.perf_counter() - self.began) / queries

    def allows(self, searches: int) -> bool:
        """Whether there is time for so many more, with much to spare."""
        spent = time.perf_counter() - self.began
        spare = EXTRA if self.timeout is None else min(EXTRA, SHARE_OF_REST * (self.timeout - spent))
        return searches * self.each <= spare


Find: TypeAlias = Callable[[NDArray[np.float32], Way], StoreSteps[list[PointId]]]
"""Searches for a vector in a way."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A call that takes the way that its trial says, and searches on for the trial once it is answered."""

    trial: Trial
    where: Filter
    vectors: Sequence[NDArray[np.float32]]
    patience: Patience

    @property
    def way(self) -> Way:
        """The one to take."""
        return self.trial.chosen(self.where) or self.trial.usual

    def search_on(self, find: Find, *, place: str) -> StoreSteps[None]:
        """Search for some of the vectors in every way, and let the trial learn from it. The call has been answered:
        nothing is tried without time for it, and what the store fails at ends the trial alone."""
        trial = self.trial
        if trial.chosen(self.where) is not None or not trial.busy.acquire(blocking=False):
            return
        try:
            self.patience.answered(len(self.vectors))
            for vector in trial.untried(self.where, self.vectors):
                if trial.chosen(self.where) is not None or not self.patience.allows(len(trial.ways)):
                    return
                seconds: dict[Way, float] = {}
                found: dict[Way, list[PointId]] = {}
                for way in trial.in_turn():
                    began = time.perf_counter()
                    found[way] = yield from find(vector, way)
                    seconds[way] = time.perf_counter() - began
                if said := trial.learn(self.where, vector, seconds, found):
                    log.info("%s: %s", place, said)
        except CollectionError as error:
            trial.failed()
            log.info("%s: the quickest way to search with a filter wasn't found out (%s)", place, error)
        finally:
            trial.busy.release()


class Ways:
    """The trials of one collection, by the kind of filters: kept until `forget`."""

    def __init__(self) -> None:
        self._trials: Cache[Trial] = Cache(KINDS, ttl=float("inf"))

    def trial(self, matches: Matches, *, most_ef: int | None) -> Trial:
        """That of filters of this kind, begun if there is none. The server allows no `hnsw_ef` above `most_ef`."""
        key = matches.kind, most_ef
        found = self._trials.get(key)
        if found is None:
            quick = [way for way in QUICK if most_ef is None or (way.hnsw_ef or 0) <= most_ef]
            found = Trial(matches.usual, (matches.usual, *quick))
            self._trials.put(key, found)
        return found

    def forget(self) -> None:
        """Try anew: the collection has changed."""
        self._trials.clear()
