"""What a read asks of a store, step by step, without asking itself: the same for every store and transport."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from tasb_qdrant.cache import Cache
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.fusion import compose
from tasb_qdrant.collection.reads.grouping import group_listed, group_more
from tasb_qdrant.collection.reads.known_indexes import MAX_AGE, KnownIndexes, fields_of
from tasb_qdrant.collection.reads.questions import (
    MAX_COUNT,
    Ask,
    Diverse,
    FindOptions,
    FoundGroup,
    FoundPoint,
    Fused,
    Lexical,
    OrderBy,
    ReadOptions,
    ScrollPage,
    Where,
)
from tasb_qdrant.collection.reads.wire import ACORN_SELECTIVITY, Effort, Find, Selection, Wire
from tasb_qdrant.filters import Filter, check_phrases
from tasb_qdrant.records import FacetCount
from tasb_qdrant.settings import IndexType, Quantization

if TYPE_CHECKING:
    from qdrant_client import models

R = TypeVar("R")
T = TypeVar("T")

Steps: TypeAlias = Generator[Sequence[R], list[Any], T]
"""Yields requests that may be under way at once, is sent their answers, and returns what was asked for."""

BATCH_QUERIES: Final = 50
BATCH_HITS: Final = 2_000
"""The most of one request: 150 kB of vectors, and an answer of a few MB at most."""

MOST_FILTERS: Final = 1_000
"""Filters of which is remembered whether they let few points through."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What of each point is wanted."""

    payload: Selection
    vectors: bool

    @property
    def nothing(self) -> bool:
        return self.payload is False and not self.vectors


class ReadSteps(Generic[R]):
    """The steps of each method of Reads. `most_ids`, `most_points` and `most_ef` are one request's.

    Where a filter lets `most_compared` points through or fewer, no more than ACORN_SELECTIVITY of all, and its fields
    have indexes, a search compares with each of those.
    """

    def __init__(
        self,
        wire: Wire[R],
        *,
        known: KnownIndexes,
        quantization: Quantization,
        most_ids: int | None = None,
        most_points: int | None = None,
        most_ef: int | None = None,
        most_compared: int = 0,
        batch_queries: int = BATCH_QUERIES,
    ) -> None:
        self._wire = wire
        self._known = known
        self._quantization = quantization
        self._most_ids = most_ids
        self._most_points = most_points
        self._most_ef = most_ef
        self._most_compared = most_compared
        self._few: Cache[bool] = Cache(MOST_FILTERS, ttl=MAX_AGE)
        self._every: Cache[int] = Cache(1, ttl=MAX_AGE)
        self._batch_queries = batch_queries

    def query(self, asks: Sequence[Ask], options: FindOptions) -> Steps[R, list[list[FoundPoint]]]:
        """For each ask its points."""
        where = yield from self._where(options.where)
        options = yield from self._thorough(asks, options, where)
        whole = [self._finds(ask, options, where) for ask in asks]
        lists = iter((yield from self._found([find for finds in whole for find in finds], options.read)))
        answers = [_page(ask, [next(lists) for _ in finds], options) for ask, finds in zip(asks, whole, strict=True)]
        if composed := [n for n, ask in enumerate(asks) if isinstance(ask, Fused | Diverse)]:
            shown = _Shown(options.payload, options.vectors)
            filled = yield from self._filled([answers[n] for n in composed], shown, options.read)
            for n, points in zip(composed, filled, strict=True):
                answers[n] = points
        return answers

    def query_groups(self, ask: Ask, options: FindOptions, *, by: str, size: int) -> Steps[R, list[FoundGroup]]:
        """Groups: of what was fused or made diverse among its candidates, else as `grouping` finds them."""
        wanted = options.offset + options.limit
        where = yield from self._where(options.where)
        options = yield from self._thorough([ask], options, where)
        if isinstance(ask, Fused | Diverse):
            candidates = replace(options, offset=0, limit=min(wanted * size, MAX_COUNT))
            finds = self._finds(ask, candidates, where)
            lists = yield from self._found(finds, options.read)
            (points,) = yield from self._filled([compose(ask, lists)], _Shown((by,), False), options.read)
            groups = group_listed(_above(points, ask, options), by=by, limit=wanted, size=size)
        else:
            bare = replace(options, offset=0, payload=(by,), vectors=False)
            (find,) = self._finds(ask, bare, where, grouped=True)
            groups = yield from group_more(
                find,
                by=by,
                limit=wanted,
                size=size,
                most=self._most_points or MAX_COUNT,
                query=lambda finds: self._wire.query(finds, options.read),
            )
        groups = groups[options.offset :]
        shown = _Shown(options.payload, options.vectors)
        filled = yield from self._filled([group.points for group in groups], shown, options.read)
        pairs = zip(groups, filled, strict=True)
        return [FoundGroup(group.value, points) for group, points in pairs if points]

    def facet(
        self, field: str, *, where: Where | None, limit: int, exact: bool, read: ReadOptions
    ) -> Steps[R, list[FacetCount]]:
        """The most frequent values."""
        condition = yield from self._where(where)
        (counts,) = yield [self._wire.facet(field, where=condition, limit=limit, exact=exact, read=read)]
        return sorted(counts, key=lambda counted: (-counted.count, isinstance(counted.value, str), counted.value))

    def scroll(
        self,
        *,
        where: Where | None,
        start: PointId | None,
        order: OrderBy | None,
        limit: int,
        payload: Selection,
        vectors: bool,
        read: ReadOptions,
    ) -> Steps[R, ScrollPage]:
        """A page of points."""
        condition = yield from self._where(where)
        (page,) = yield [
            self._wire.scroll(
                where=condition, start=start, order=order, limit=limit, payload=payload, vectors=vectors, read=read
            )
        ]
        return page  # type: ignore[no-any-return]  # answers have the types that the wire names

    def retrieve(
        self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, read: ReadOptions
    ) -> Steps[R, list[FoundPoint]]:
        """Points by their ids, in their order, each as often as it is named."""
        found: dict[PointId, FoundPoint] = {}
        unique = list(dict.fromkeys(ids))
        size = self._most_ids or BATCH_HITS
        parts = [unique[start : start + size] for start in range(0, len(unique), size)]
        if parts:
            answers = yield [self._wire.retrieve(part, payload=payload, vectors=vectors, read=read) for part in parts]
            found = {point.id: point for answer in answers for point in answer}
        return [found[each] for each in ids if each in found]

    def count(self, where: Where | None, *, exact: bool, read: ReadOptions) -> Steps[R, int]:
        """How many match."""
        condition = yield from self._where(where)
        (count,) = yield [self._wire.count(condition, exact=exact, read=read)]
        return int(count)

    def indexes(self, fields: frozenset[str]) -> Steps[R, Mapping[str, IndexType]]:
        """The payload indexes, remembered for a while."""
        if self._known.lacks(fields):
            (indexes,) = yield [self._wire.indexes()]
            self._known.learn(indexes, fields)
        return self._known.indexes.types

    def sample(self, limit: int) -> Steps[R, list[Mapping[str, Any]]]:
        """Payloads of some points."""
        page = yield from self.scroll(
            where=None,
            start=None,
            order=None,
            limit=min(limit, self._most_points or limit),
            payload=True,
            vectors=False,
            read=ReadOptions(),
        )
        return [point.payload or {} for point in page.points]

    def _where(self, where: Where | None) -> Steps[R, models.Filter | None]:
        if where is None:
            return None
        if not isinstance(where, Filter):
            return where
        # Imported here since it brings in qdrant-client, 0.6 s that a search without a filter needn't wait.
        from tasb_qdrant.collection.reads.filters import to_qdrant

        indexes = yield from self.indexes(frozenset(fields_of(where)))
        check_phrases(where, self._known.indexes.without_phrases)
        return to_qdrant(where, indexes=indexes)

    def _thorough(
        self, asks: Sequence[Ask], options: FindOptions, where: models.Filter | None
    ) -> Steps[R, FindOptions]:
        """The options; `exact` where the filter lets so few points through that each is looked at.

        Not where the caller has said how to search, nor for words alone, whose index is exact anyhow.
        """
        asked = options.where
        if not self._most_compared or options.exact or options.hnsw_ef is not None or not isinstance(asked, Filter):
            return options
        if all(isinstance(ask, Lexical) for ask in asks):
            return options
        key = hash(asked)  # two filters with one hash are at worst searched the other way
        if not (few := self._few.get(key)):
            few = ((yield from self._lets_few_through(asked, where, options.read)),)
            self._few.put(key, few[0])
        return replace(options, exact=True) if few[0] else options

    def _lets_few_through(self, asked: Filter, where: models.Filter | None, read: ReadOptions) -> Steps[R, bool]:
        """By the store's own estimate, which its payload indexes give it."""
        if not self._known.have_all(fields_of(asked)):
            return False  # the payload of each point would be read
        (matching,) = yield [self._wire.count(where, exact=False, read=read)]
        if matching > self._most_compared:
            return False
        if not (every := self._every.get(None)):
            every = tuple((yield [self._wire.count(None, exact=False, read=read)]))
            self._every.put(None, int(every[0]))
        return bool(matching <= ACORN_SELECTIVITY * every[0])

    def _finds(
        self, ask: Ask, options: FindOptions, where: models.Filter | None, *, grouped: bool = False
    ) -> list[Find]:
        """The plain questions that stand for one ask. Those for groups will have filters."""
        effort = Effort.of(options, self._quantization, most_ef=self._most_ef, filtered=grouped or where is not None)
        wanted = min(options.offset + options.limit, MAX_COUNT)
        if isinstance(ask, Fused):
            return [Find(part, max(ask.depth, wanted), where, effort) for part in ask.parts]
        least = options.score_threshold
        if isinstance(ask, Diverse):
            return [Find(ask.query, max(ask.candidates, wanted), where, effort, threshold=least, vectors=True)]
        return [Find(ask, options.limit, where, effort, options.offset, least, options.payload, options.vectors)]

    def _found(self, finds: Sequence[Find], read: ReadOptions) -> Steps[R, list[list[FoundPoint]]]:
        """The points of each question, in requests of a size that suits a server."""
        if not finds:
            return []
        deepest = max(find.limit for find in finds)
        size = max(1, min(self._batch_queries, BATCH_HITS // deepest))
        parts = [finds[start : start + size] for start in range(0, len(finds), size)]
        answers = yield [self._wire.query(part, read) for part in parts]
        return [points for answer in answers for points in answer]

    def _filled(
        self, lists: Sequence[Sequence[FoundPoint]], shown: _Shown, read: ReadOptions
    ) -> Steps[R, list[list[FoundPoint]]]:
        """The same points with what is wanted of them, but for those that were deleted in the meantime."""
        if shown.nothing:
            return [[FoundPoint(point.id, point.score) for point in points] for points in lists]
        ids = list(dict.fromkeys(point.id for points in lists for point in points))
        stored = yield from self.retrieve(ids, payload=shown.payload, vectors=shown.vectors, read=read)
        by_id = {point.id: point for point in stored}
        return [
            [replace(by_id[point.id], score=point.score) for point in points if point.id in by_id] for points in lists
        ]


def _page(ask: Ask, lists: Sequence[list[FoundPoint]], options: FindOptions) -> list[FoundPoint]:
    """The points of one ask, of the lists that were found for it."""
    if not isinstance(ask, Fused | Diverse):
        return lists[0]
    composed = _above(compose(ask, lists, most=options.offset + options.limit), ask, options)
    return composed[options.offset : options.offset + options.limit]


def _above(points: list[FoundPoint], ask: Ask, options: FindOptions) -> list[FoundPoint]:
    """Those that reach the threshold: only what was fused has new scores."""
    if options.score_threshold is None or not isinstance(ask, Fused):
        return points
    return [point for point in points if point.score >= options.score_threshold]
