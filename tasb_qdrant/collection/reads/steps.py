"""What a read asks of a store, step by step, without asking itself: the same for every store and transport."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.browse import BATCH_POINTS, BrowseSteps, as_it_is
from tasb_qdrant.collection.reads.fusion import Tiers
from tasb_qdrant.collection.reads.grouping import group_listed, group_more
from tasb_qdrant.collection.reads.questions import (
    Diverse,
    Fused,
    Lexical,
    Nearest,
    PointGroup,
    Query,
    QueryOptions,
    ReadOptions,
    Recommended,
    ScoredPoint,
    ScrollPage,
    Selection,
    Words,
)
from tasb_qdrant.collection.reads.ranked import Ranks
from tasb_qdrant.collection.reads.state import Others, State
from tasb_qdrant.collection.reads.ways import HITS, Matches, Patience, Tried, Way
from tasb_qdrant.collection.reads.wire import QueryRequest, SearchParams, Wire
from tasb_qdrant.errors import CollectionError, EncodingError, RequestRefusedError
from tasb_qdrant.printable import logger
from tasb_qdrant.records.path import qdrant_path
from tasb_qdrant.settings import checks
from tasb_qdrant.settings.checks import MAX_COUNT
from tasb_qdrant.steps import Requests, StoreSteps

if TYPE_CHECKING:
    from qdrant_client import models

log: Final = logger(__name__)

BATCH_QUERIES: Final = 50
"""The most of one request: 150 kB of vectors."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What of each point is returned."""

    payload: Selection
    vectors: bool

    @property
    def nothing(self) -> bool:
        return self.payload is False and not self.vectors

    def lacks(self, point: ScoredPoint) -> bool:
        """Whether it is still to be read. Stores give no payload, not an empty one, to points that they give none."""
        return (self.payload is not False and point.payload is None) or (self.vectors and point.vector is None)


class ReadSteps(BrowseSteps):
    """All the reads of one collection, one method each. `batch_queries` are the most of one request."""

    def __init__(
        self,
        wire: Wire[Any],
        state: State,
        *,
        name: str,
        location: str,
        others: Others = "none",
        batch_queries: int = BATCH_QUERIES,
    ) -> None:
        super().__init__(wire, state, name=name, location=location, others=others)
        self._name = name
        self._batch_queries = batch_queries

    @as_it_is
    def query(self, queries: Sequence[Query], options: QueryOptions) -> StoreSteps[list[list[ScoredPoint]]]:
        """For each query its points, best first, and in the order of ids where scores are equal."""
        self._check(queries)
        patience = Patience(options.read.timeout)
        options = self._checked(queries, options)
        options, where, matches = yield from self._filtered(queries, options)
        tried = self._tried(queries, options, matches, patience)
        if tried is not None:
            options = tried.way.applied(options)
        plain = [n for n, query in enumerate(queries) if not isinstance(query, Fused | Diverse)]
        tiers = {n: Tiers(query) for n, query in enumerate(queries) if isinstance(query, Fused | Diverse)}
        whole = [self._requests(queries[n], options, where) for n in plain]
        found = yield from self._ranked([request for part in whole for request in part], options.read)
        answers = dict(zip(plain, found, strict=True))
        yield from self._fill_tiers(list(tiers.values()), options, where)
        for n, made in tiers.items():
            answers[n] = made.points[options.offset : options.offset + options.limit]
        lists = [answers[n] for n in range(len(queries))]
        shown = yield from self._filled(lists, _Shown(options.payload, options.vectors), options.read)
        if tried is not None:
            yield from self._search_on(tried, where, options.read)
        return shown

    def shown(self, points: Sequence[ScoredPoint], options: QueryOptions) -> StoreSteps[list[ScoredPoint]]:
        """The same points with the payload and vectors that the options want, but for those that were deleted."""
        [filled] = yield from self._filled([points], _Shown(options.payload, options.vectors), options.read)
        return filled

    @property
    def compares_exactly(self) -> bool:
        """Whether the store may be asked to compare with every vector."""
        return self._limits.exact

    def _fill_tiers(
        self, tiers: Sequence[Tiers], options: QueryOptions, where: models.Filter | None
    ) -> StoreSteps[None]:
        """Go on with each of the lists until it has the part that is wanted."""
        wanted = options.offset + options.limit
        pending = list(tiers)
        while pending:
            whole = [self._requests(made.query, options, where) for made in pending]
            lists = iter((yield from self._ranked([one for part in whole for one in part], options.read)))
            for made, part in zip(pending, whole, strict=True):
                made.add([next(lists) for _ in part], least=options.score_threshold, most=wanted)
            pending = [made for made in pending if len(made.points) < wanted and not made.done]
            for made in pending:
                made.deepen()

    @as_it_is
    def query_groups(self, query: Query, options: QueryOptions, *, by: str, size: int) -> StoreSteps[list[PointGroup]]:
        """Up to `limit` groups of up to `size` points each, by the values of the payload field `by`, in the order of
        their best points: of what was fused or made diverse among its candidates, else as `grouping` finds them."""
        self._check([query])
        options, by = self._checked([query], options), qdrant_path(by)
        size = checks.whole("group_size", size, least=1)
        self._limits.check_page("group_size", size, place=self._place)
        limit = options.offset + options.limit
        options, where, _ = yield from self._filtered([query], options)
        if isinstance(query, Fused | Diverse):
            groups = yield from self._groups_of_list(query, options, where, by=by, limit=limit, size=size)
        else:
            grouped = replace(options, offset=0, payload=(by,), vectors=False)
            (request,) = self._requests(query, grouped, where, grouped=True)
            groups = yield from group_more(
                request,
                by=by,
                limit=limit,
                size=size,
                limits=self._limits,
                find=lambda requests: self._ranked(requests, options.read),
            )
        groups = groups[options.offset :]
        shown = _Shown(options.payload, options.vectors)
        bare = [[ScoredPoint(point.id, point.score) for point in group.points] for group in groups]
        filled = yield from self._filled(bare, shown, options.read)
        pairs = zip(groups, filled, strict=True)
        return [PointGroup(group.value, points) for group, points in pairs if points]

    def _groups_of_list(
        self,
        query: Fused | Diverse,
        options: QueryOptions,
        where: models.Filter | None,
        *,
        by: str,
        limit: int,
        size: int,
    ) -> StoreSteps[list[PointGroup]]:
        """The groups of a list that is made here, of more and more candidates until these are groups enough."""
        made = Tiers(query)
        payloads: dict[PointId, Mapping[str, Any] | None] = {}
        while True:
            requests = [replace(one, payload=(by,)) for one in self._requests(made.query, options, where)]
            lists = yield from self._ranked(requests, options.read)
            payloads |= {point.id: point.payload for points in lists for point in points}
            made.add(lists, least=options.score_threshold)
            listed = [replace(point, payload=payloads[point.id]) for point in made.points]
            groups = group_listed(listed, by=by, limit=limit, size=size)
            if made.done or len(groups) >= limit:
                return groups
            made.deepen()

    def check_page(self, option: str, asked: int | None) -> None:
        """Raises LimitExceededError where a person asks by this option for more points at once than a server's strict
        mode allows."""
        if asked is not None:
            self._limits.check_page(option, asked, place=self._place)

    def _checked(self, queries: Sequence[Query], options: QueryOptions) -> QueryOptions:
        """The options, of which the server is told no more than it takes. Raises LimitExceededError where more was
        asked for."""
        limits, place = self._limits, self._place
        if not options.in_parts:
            limits.check_page("limit", options.limit, place=place)
        if options.offset and any(isinstance(query, Fused | Diverse) for query in queries):
            limits.check_page("offset and limit together", options.offset + options.limit, place=place)
        limits.check_search(
            exact=options.exact, hnsw_ef=options.hnsw_ef, oversampling=options.oversampling, place=place
        )
        return replace(options, read=self._allowed(options.read))

    def _check(self, queries: Sequence[Query]) -> None:
        """Raises RequestRefusedError for vectors of another size, EncodingError for numbers that are not finite: the
        embedded engine finds nothing for NaN, and says nothing."""
        for query in queries:
            for vector in _vectors(query):
                if vector.shape != ((dim := self.state.now.schema.contract.dim),):
                    raise RequestRefusedError(
                        f"collection {self._name!r} holds vectors of {dim} numbers, got an array of shape "
                        f"{vector.shape}; use the model that the collection was made with"
                    )
                # The dot product takes 0.4 µs, isfinite 3; it may overflow where every number is finite.
                if not math.isfinite(vector @ vector) and not np.isfinite(vector).all():
                    raise EncodingError("a query's vector is not finite; try --precision fp32, or check the model")

    def _filtered(
        self, queries: Sequence[Query], options: QueryOptions
    ) -> StoreSteps[tuple[QueryOptions, models.Filter | None, Matches | None]]:
        """The filter as Qdrant has it, and the options, in the usual way of searching with it; with what it matches.

        Without that, and the options as they are, if the caller has said how to search, and for lexical queries alone,
        whose index is exact anyway.
        """
        if (asked := options.where) is None:
            return options, None, None
        where = yield from self.filtering.translated(asked)
        if options.exact or options.hnsw_ef is not None or all(isinstance(query, Lexical | Words) for query in queries):
            return options, where, None
        matches = yield from self.filtering.matches(asked, where, options.read)
        if matches is None:
            return options, where, None
        return matches.usual.applied(options), where, matches

    def _tried(
        self, queries: Sequence[Query], options: QueryOptions, matches: Matches | None, patience: Patience
    ) -> Tried | None:
        """The trial of filters like this one, where a way that was tried suits what is asked.

        Not for later parts of a list: they are as deep as all before them, and fit together in the usual way; nor for
        candidates, of which more is asked before the call is answered."""
        vectors = [query.vector for query in queries if isinstance(query, Nearest)]
        first = options.offset == 0 and options.limit <= HITS and not options.in_parts
        suits = first and len(vectors) == len(queries)
        limits = self._limits
        # Where reads are rationed, none is made that wasn't asked for.
        if matches is None or not suits or not matches.worth_trying or limits.reads is not None:
            return None
        trial = self.filtering.ways.trial(matches, most_ef=limits.hnsw_ef)
        return Tried(trial, matches.where, vectors, patience)

    def _search_on(self, tried: Tried, where: models.Filter | None, read: ReadOptions) -> StoreSteps[None]:
        """Find out the quickest way, by what was asked."""
        bare = QueryOptions(limit=self._limits.page_of(HITS), payload=False)

        def find(vector: NDArray[np.float32], way: Way) -> StoreSteps[list[PointId]]:
            (request,) = self._requests(Nearest(vector), way.applied(bare), where)
            ((points,),) = yield Requests([self._wire.query([request], read)])
            return [point.id for point in points]

        yield from tried.search_on(find, place=self._place)

    def _requests(
        self, query: Query, options: QueryOptions, where: models.Filter | None, *, grouped: bool = False
    ) -> list[QueryRequest]:
        """The plain queries that stand for one. Those for groups will have filters."""
        filtered = grouped or where is not None
        quantization = self.state.now.schema.quantization
        params = SearchParams.of(options, quantization, limits=self._limits, filtered=filtered)
        if isinstance(query, Fused):
            return [QueryRequest(part, query.depth, where, params) for part in query.prefetch]
        least = _below(options.score_threshold)
        if isinstance(query, Diverse):
            return [QueryRequest(query.query, query.candidates, where, params, threshold=least, vectors=True)]
        shown = options.payload, options.vectors
        return [QueryRequest(query, options.limit, where, params, options.offset, least, *shown)]

    def _ranked(self, requests: Sequence[QueryRequest], read: ReadOptions) -> StoreSteps[list[list[ScoredPoint]]]:
        """The points of each plain query, by score and then by id."""

        def page(where: models.Filter | None, start: PointId | None, limit: int) -> StoreSteps[ScrollPage]:
            return self.scroll(where, start=start, limit=limit, payload=False, read=read)

        limits = self._limits
        ranks = Ranks(lambda parts: self._found(parts, read), page, limits.page or MAX_COUNT, limits.condition_size)
        lists = yield from ranks.of(requests)
        wanted = [_Shown(request.payload, request.vectors) for request in requests]
        for shown in dict.fromkeys(wanted):
            among = [n for n, one in enumerate(wanted) if one == shown]
            filled = yield from self._filled([lists[n] for n in among], shown, read)
            for n, points in zip(among, filled, strict=True):
                lists[n] = points
        return lists

    def _found(self, requests: Sequence[QueryRequest], read: ReadOptions) -> StoreSteps[list[list[ScoredPoint]]]:
        """The points of each plain query, in requests of a size that suits a server."""
        if not requests:
            return []
        deepest = max(request.limit for request in requests)
        allowed = min(self._limits.searches or self._batch_queries, self._limits.reads or self._batch_queries)
        size = max(1, min(self._batch_queries, allowed, BATCH_POINTS // deepest))
        parts = [requests[start : start + size] for start in range(0, len(requests), size)]
        answers = yield Requests([self._wire.query(part, read) for part in parts])
        lists: list[list[ScoredPoint]] = [points for answer in answers for points in answer]
        for request, points in zip(requests, lists, strict=True):
            self._check_scores(points)
            if request.vectors:
                self._check_vectors(points)
        return lists

    def _check_scores(self, points: Sequence[ScoredPoint]) -> None:
        """Raises CollectionError for NaN, which has no place in an order."""
        if odd := next((point for point in points if math.isnan(point.score)), None):
            raise CollectionError(
                f"{self._place}: the score of the point {odd.id} is not a number, so that nothing can be ranked: its "
                "vector isn't finite; ingest its source again, which stores it anew, or delete the point"
            )

    def _filled(
        self, lists: Sequence[Sequence[ScoredPoint]], shown: _Shown, read: ReadOptions
    ) -> StoreSteps[list[list[ScoredPoint]]]:
        """The same points with payload and vectors, but for those that were deleted in the meantime."""
        if shown.nothing:
            return [list(points) for points in lists]
        lacking = dict.fromkeys(point.id for points in lists for point in points if shown.lacks(point))
        if not lacking:
            return [list(points) for points in lists]
        stored = yield from self.retrieve(list(lacking), payload=shown.payload, vectors=shown.vectors, read=read)
        by_id = {point.id: point for point in stored}
        return [
            [
                replace(by_id[point.id], score=point.score) if shown.lacks(point) else point
                for point in points
                if point.id in by_id or not shown.lacks(point)
            ]
            for points in lists
        ]


def _vectors(query: Query) -> Iterator[NDArray[np.float32]]:
    """The dense vectors in a query."""
    match query:
        case Nearest(vector):
            yield vector
        case Fused(prefetch):
            for part in prefetch:
                yield from _vectors(part)
        case Diverse(nearest):
            yield nearest.vector
        case Recommended(positive, negative):
            yield from (example for example in (*positive, *negative) if isinstance(example, np.ndarray))


def _below(threshold: float | None) -> float | None:
    """The float32 just below the threshold, as scores are float32, and stores leave out those that equal what they are
    given. None if every score is above."""
    if threshold is None:
        return None
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return float(below) if np.isfinite(below) else None
