"""How a filtered search finds its points: by comparing with every match, or by the vector index; whichever was quickest
here, of those that find the same.

Which one that is depends on the machine, the filter's share of the points and the collection: on two cores comparing
with 70,000 matches takes as long as the index, on 16 cores three times as long. So the first searches of each size of
filter try all of them, and the quickest is kept. A way that misses what another finds isn't taken, however quick.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.cache import Cache
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import QueryOptions

QUERIES: Final = 8
"""Different queries that every way is tried with. Each finds HITS points: two of 256 may be missed."""

HITS: Final = 32
RECALL: Final = 0.99

QUICKER: Final = 0.8
"""A way that may miss points is taken if it takes no more than this of the time of comparing, which misses none: for
less it isn't worth it, and two processes would choose differently by chance."""

AT_ONCE: Final = 4_000_000
"""Numbers of vectors that are compared with in a millisecond: nothing is tried."""

LEAST_SHARE: Final = 0.1
"""Of all points. Of a filter that lets fewer through, the index without ACORN misses some: see FILTERED_HNSW_EF."""

DEEPEST: Final = HITS
"""Hits, with those before them, for which a way is taken that was tried with so many."""

PATIENT: Final = 1.0
"""Seconds that a search may take at least for anything to be tried in it."""

SIZES: Final = 100
"""Sizes of filters, in powers of two of matches and of points, for which the way is remembered."""


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
QUICK: Final = (Way(hnsw_ef=256), Way(hnsw_ef=128), Way(hnsw_ef=64))


@dataclass(frozen=True, slots=True)
class Matches:
    """About how many points a filter lets through, out of how many, of `dim` numbers each; `few` says that comparing
    with them is likely quickest."""

    matching: int
    points: int
    dim: int
    few: bool

    @property
    def usual(self) -> Way:
        """What is done as long as nothing is known; it finds all, or nearly."""
        return COMPARE if self.few else THOROUGH

    @property
    def size(self) -> tuple[int, int]:
        """Filters of one size are searched in one way."""
        return self.matching.bit_length(), self.points.bit_length()

    @property
    def worth_trying(self) -> bool:
        """Whether there may be a quicker way."""
        return self.matching * self.dim > AT_ONCE and self.matching >= LEAST_SHARE * self.points


@dataclass(slots=True, eq=False)
class Trial:
    """What was measured for filters of one size. `chosen` is the way to take from now on, None as long as that isn't
    known."""

    usual: Way
    ways: tuple[Way, ...]
    chosen: Way | None = None
    _asked: set[bytes] = field(default_factory=set)
    _seconds: dict[Way, list[float]] = field(default_factory=dict)
    _recalls: dict[Way, list[float]] = field(default_factory=dict)
    _busy: bool = False

    def untried(self, vectors: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Those of the queries that are to be tried now: different ones, as many as are lacking. None while another
        call is at it."""
        if self._busy or self.chosen is not None:
            return []
        fresh = {key: vector for vector in vectors if (key := vector.tobytes()) not in self._asked}
        return list(fresh.values())[: QUERIES - len(self._asked)]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """No other call tries meanwhile: each would be in the other's way."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def in_turn(self) -> list[Way]:
        """The ways, each as often the first as any other."""
        first = len(self._asked) % len(self.ways)
        return [*self.ways[first:], *self.ways[:first]]

    def learn(
        self, vector: NDArray[np.float32], seconds: Mapping[Way, float], found: Mapping[Way, Sequence[PointId]]
    ) -> None:
        """What the query took and found in each way; after the last one a way is chosen."""
        truth = set(found[self.usual])
        for way in self.ways:
            self._seconds.setdefault(way, []).append(seconds[way])
            self._recalls.setdefault(way, []).append(len(truth.intersection(found[way])) / len(truth) if truth else 1.0)
        self._asked.add(vector.tobytes())
        if len(self._asked) >= QUERIES:
            self.chosen = self._choice()

    def in_words(self) -> str:
        """What was chosen, and what each way took."""
        took = (f"{way} took {1e3 * median(seconds):.1f} ms" for way, seconds in self._seconds.items())
        return f"{self.chosen} from now on: {', '.join(took)}"

    def _choice(self) -> Way:
        took = {way: median(seconds) for way, seconds in self._seconds.items()}
        most = took[self.usual] * (QUICKER if self.usual.exact else 1.0)
        good = [way for way in self.ways if fmean(self._recalls[way]) >= RECALL and took[way] <= most]
        return min(good, key=lambda way: took[way], default=self.usual)


class Ways:
    """The trials of one collection, by the size of filters: kept until `forget`."""

    def __init__(self) -> None:
        self._trials: Cache[Trial] = Cache(SIZES, ttl=float("inf"))

    def trial(self, matches: Matches, *, most_ef: int | None) -> Trial:
        """That of filters of this size, begun if there is none. The server allows no `hnsw_ef` above `most_ef`."""
        found = self._trials.get(matches.size)
        if found is None or found.usual != matches.usual:
            quick = [way for way in QUICK if most_ef is None or (way.hnsw_ef or 0) <= most_ef]
            found = Trial(matches.usual, (matches.usual, *quick))
            self._trials.put(matches.size, found)
        return found

    def forget(self) -> None:
        """Try anew: the collection has changed."""
        self._trials.clear()
