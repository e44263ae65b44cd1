"""The points of plain queries in one order for every store: by score, and by id where scores are equal.

A store gives equal scores in any order, and where it cuts its list it takes any of them: two pages overlap, and two
stores, or one before and after it was optimized, find different passages. So one more point is read on each side of
what is wanted. It shows whether a cut goes through equal scores. Only then more is asked for:
1. The same part of the list, wider and wider, until it has all of the points with that score.
2. Where those are thousands, the points are gone through in the order of their ids, and scored page by page: the more
   there are, the sooner enough of them are found. Then no request has more than `_IDS` ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.fusion import by_score
from tasb_qdrant.collection.reads.questions import ScoredPoint, ScrollPage
from tasb_qdrant.collection.reads.wire import QueryRequest
from tasb_qdrant.settings.checks import MAX_COUNT
from tasb_qdrant.steps import StoreSteps

if TYPE_CHECKING:
    from qdrant_client import models

_WIDER: Final = (64, 1_024, 8_192)
"""How many more points are read on the side of a cut through equal scores, round by round."""

_IDS: Final = 2_000

Find: TypeAlias = Callable[[Sequence[QueryRequest]], StoreSteps[list[list[ScoredPoint]]]]
"""The answers of a store to plain queries."""

Page: TypeAlias = Callable[["models.Filter | None", PointId | None, int], StoreSteps[ScrollPage]]
"""So many points that match, from an id on, in the order of ids."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Finds the points of queries by `find`, `most` at most in one answer; `page` reads ids, of which a filter may name
    `named` (None: any number)."""

    find: Find
    page: Page
    most: int
    named: int | None = None

    def of(self, requests: Sequence[QueryRequest]) -> StoreSteps[list[list[ScoredPoint]]]:
        """For each request its points. Those that had to be looked for wider come without payload and vectors."""
        whole = [self._slices(request) for request in requests]
        found = iter((yield from self._parts([one for slices in whole for one in slices])))
        return [[point for _ in slices for point in next(found)] for slices in whole]

    def _slices(self, request: QueryRequest) -> list[QueryRequest]:
        """Parts of the list so short that one answer has them, and a point on each side."""
        size, stop = max(1, self.most - 2), request.offset + request.limit
        if request.limit <= size or self.most == MAX_COUNT:
            return [request]
        return [
            replace(request, offset=start, limit=min(size, stop - start)) for start in range(request.offset, stop, size)
        ]

    def _parts(self, requests: Sequence[QueryRequest]) -> StoreSteps[list[list[ScoredPoint]]]:
        windows = [_Window.around(request, most=self.most) for request in requests]
        answers = yield from self.find([window.request for window in windows])
        windows = [window.seen(points) for window, points in zip(windows, answers, strict=True)]
        for wider in _WIDER:
            cut = [n for n, window in enumerate(windows) if window.cuts]
            widened = {n: windows[n].widened(wider) for n in cut}
            widened = {n: window for n, window in widened.items() if window.request.limit <= self.most}
            if not widened:
                break
            answers = yield from self.find([window.request for window in widened.values()])
            for (n, window), points in zip(widened.items(), answers, strict=True):
                windows[n] = window.seen(points)
        parts = []
        for window in windows:
            parts.append((yield from self._through_ids(window)) if window.cuts else window.part())
        return parts

    def _through_ids(self, window: _Window) -> StoreSteps[list[ScoredPoint]]:
        """The part that is wanted, where a cut goes through more equal scores than were read."""
        wanted = window.wanted
        given = window.points[wanted.offset - window.start :][: wanted.limit]
        part: list[ScoredPoint] = []
        for score in dict.fromkeys(point.score for point in given):
            places = sum(point.score == score for point in given)
            if score not in window.cuts:
                part += sorted((point for point in given if point.score == score), key=by_score)
                continue
            skipped = 0
            if not part and wanted.offset:
                skipped = wanted.offset - (yield from self._first(window, score))
            tied = yield from self._tied(window.bare(), score, skipped + places)
            part += tied[skipped:]
        return part

    def _first(self, window: _Window, score: float) -> StoreSteps[int]:
        """The place of the first point with this score, which the point at the beginning of the part has."""
        low, high = 0, window.wanted.offset
        while low < high:
            middle = (low + high) // 2
            [points] = yield from self.find([replace(window.bare(), offset=middle, limit=1)])
            # None is there where some were deleted meanwhile: the list has become shorter.
            low, high = (low, middle) if not points or points[0].score <= score else (middle + 1, high)
        return low

    def _tied(self, request: QueryRequest, score: float, count: int) -> StoreSteps[list[ScoredPoint]]:
        """The first `count` points with this score, in the order of ids."""
        from qdrant_client import models

        tied: list[ScoredPoint] = []
        start: PointId | None = None
        size = min(_IDS, self.most, self.named or _IDS)
        while True:
            page = yield from self.page(request.where, start, size)
            among: Any = models.HasIdCondition(has_id=[point.id for point in page.points])
            where = models.Filter(must=[among] if request.where is None else [request.where, among])
            if page.points:
                [points] = yield from self.find([replace(request, where=where, offset=0, limit=len(page.points))])
                tied += sorted((point for point in points if point.score == score), key=by_score)
            if len(tied) >= count or page.following is None:
                return tied[:count]
            start = page.following


@dataclass(frozen=True, slots=True)
class _Window:
    """What is read of the list for the part that is wanted: from `start` on. `cuts` are the scores of points both in
    the part and beyond what was read."""

    wanted: QueryRequest
    request: QueryRequest
    points: Sequence[ScoredPoint] = ()
    cuts: frozenset[float] = frozenset()

    @classmethod
    def around(cls, wanted: QueryRequest, *, most: int) -> _Window:
        """One more on each side, if so many may be read."""
        start = max(0, wanted.offset - 1)
        count = wanted.offset + wanted.limit + 1 - start
        if count > most and most != MAX_COUNT:
            return cls(wanted, wanted)
        return cls(wanted, replace(wanted, offset=start, limit=min(count, most)))

    @property
    def start(self) -> int:
        """The place in the list of the first point that is read."""
        return self.request.offset

    def widened(self, more: int) -> _Window:
        """With so many more on each side where it cuts, and without payload."""
        wanted = self.wanted
        start = max(0, wanted.offset - 1 - more) if self._cuts_before() else self.start
        stop = self.start + self.request.limit + (more if self._cuts_after() else 0)
        return replace(self, request=replace(self.bare(), offset=start, limit=stop - start))

    def bare(self) -> QueryRequest:
        """The request without payload and vectors."""
        return replace(self.wanted, payload=False, vectors=False)

    def seen(self, points: Sequence[ScoredPoint]) -> _Window:
        """After the answer."""
        seen = _Window(self.wanted, self.request, sorted(points, key=by_score))
        cuts = [seen.points[0].score] if seen._cuts_before() else []
        cuts += [seen.points[-1].score] if seen._cuts_after() else []
        return replace(seen, cuts=frozenset(cuts)) if cuts else seen

    def part(self) -> list[ScoredPoint]:
        """Of the points that were read, what is wanted."""
        return list(self.points[self.wanted.offset - self.start :][: self.wanted.limit])

    def _cuts_before(self) -> bool:
        """Whether points before those read may have the same score as the first that is wanted. Where none was read
        before that one, they may."""
        place = self.wanted.offset - self.start
        return self.start > 0 and place < len(self.points) and self.points[0].score == self.points[place].score

    def _cuts_after(self) -> bool:
        """The same of points after those read, if there are any."""
        if len(self.points) < self.request.limit:
            return False
        place = self.wanted.offset - self.start + self.wanted.limit - 1
        return place < len(self.points) and self.points[-1].score == self.points[place].score
