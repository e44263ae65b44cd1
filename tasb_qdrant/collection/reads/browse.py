"""Reading a collection without a query, step by step: by pages, by ids, by counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from tasb_qdrant.collection.exceeded import condition_sizes
from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.errors import no_facet_index
from tasb_qdrant.collection.reads.filtering import Filtering
from tasb_qdrant.collection.reads.fusion import id_order
from tasb_qdrant.collection.reads.grouping import scalars_at
from tasb_qdrant.collection.reads.ordered import Ordered, has_arrays, taken, within_tie
from tasb_qdrant.collection.reads.questions import (
    BM25,
    DEFAULT_READ,
    OrderBy,
    ReadOptions,
    ScoredPoint,
    ScrollPage,
    Selection,
    Where,
)
from tasb_qdrant.collection.reads.state import KnownState, Others, State
from tasb_qdrant.collection.reads.wire import Indexes, Wire
from tasb_qdrant.errors import CollectionError, RequestRefusedError
from tasb_qdrant.records import FacetCount
from tasb_qdrant.records.path import canonical_path, parse_path, qdrant_path
from tasb_qdrant.steps import Requests, StoreSteps

if TYPE_CHECKING:
    from qdrant_client import models

BATCH_POINTS: Final = 2_000
"""The most points of one request: an answer of a few MB at most."""

MOST_VALUES: Final = 100_000
"""The most values of a facet that are read to tell which of those with an equal count come first."""

_WIDER: Final = 16

PAGE_IDS: Final = 10_000
"""Ids in an answer without payloads: 160 kB and more."""


P = ParamSpec("P")
T = TypeVar("T")


def as_it_is(
    method: Callable[Concatenate[Any, P], StoreSteps[T]],
) -> Callable[Concatenate[Any, P], StoreSteps[T]]:
    """A decorator for a read: before it, the state of the collection is made sure to be recent. One that was refused
    for what the state has become since, a limit or a dropped index, is asked once more by what is known then."""

    @wraps(method)
    def asked(self: Any, /, *args: P.args, **options: P.kwargs) -> StoreSteps[T]:
        yield from self.state.refreshed()
        try:
            return (yield from method(self, *args, **options))
        except RequestRefusedError:
            if not (yield from self.state.has_changed()):
                raise
        return (yield from method(self, *args, **options))

    return asked


class BrowseSteps:
    """The reads of the collection `name` at `location` that need no query; `state` is what it was when it was opened,
    and `others` what becomes of another one that takes its name."""

    def __init__(self, wire: Wire[Any], state: State, *, name: str, location: str, others: Others) -> None:
        self._wire = wire
        self._place = f"{location}, collection {name!r}"
        self.state = KnownState(
            wire,
            state,
            name=name,
            location=location,
            others=others,
            on_read=lambda found, other: self.filtering.learn(found, other),
        )
        self.filtering = Filtering(wire, self.state, place=self._place)
        if others != "none":
            self.filtering.learn(state, False)

    @property
    def _limits(self) -> StoreLimits:
        return self.state.now.limits

    def _allowed(self, read: ReadOptions) -> ReadOptions:
        """The same, but that no longer timeout is named to the server than it allows: the caller's own deadline, in
        which there may be several tries, stays."""
        most = self._limits.seconds
        return read if most is None or read.timeout is None else replace(read, timeout=min(read.timeout, most))

    @as_it_is
    def facet(
        self,
        field: str,
        *,
        where: Where | None = None,
        limit: int = 10,
        exact: bool = True,
        read: ReadOptions = DEFAULT_READ,
    ) -> StoreSteps[list[FacetCount]]:
        """The most frequent values of the field, the most frequent first, then in the order of values.

        Raises RequestRefusedError where the field has no index for them. Where strict mode refuses to count exactly
        (search_allow_exact), the values themselves are read.
        """
        self._limits.check_page("limit", limit, place=self._place)
        if exact and not self._limits.exact:
            return (yield from self._values_by_reading(field, where, limit, read))
        read = self._allowed(read)
        condition = None if where is None else (yield from self.filtering.translated(where))
        # A store takes any of the values that share the last count: more are asked for, until none of them is cut off.
        most = max(limit, self._limits.page_of(MOST_VALUES))
        asked, path = min(limit + 1, most), qdrant_path(field)
        while True:
            (counts,) = yield Requests([self._wire.facet(path, where=condition, limit=asked, exact=exact, read=read)])
            ranked = _most_frequent(counts)
            cut = len(ranked) > limit and ranked[limit - 1].count == ranked[-1].count
            if not cut or len(ranked) < asked or asked == most:
                return ranked[:limit]
            asked = min(_WIDER * asked, most)

    @as_it_is
    def scroll(
        self,
        where: Where | None = None,
        *,
        start: PointId | None = None,
        order: OrderBy | None = None,
        limit: int = 1_000,
        payload: Selection = True,
        vectors: bool = False,
        read: ReadOptions = DEFAULT_READ,
    ) -> StoreSteps[ScrollPage]:
        """A page of the points that match, in the order of their ids (numbers first, then UUIDs) from `start` on, or in
        `order`. Raises RequestRefusedError where the field has no index for the order.

        A page has `limit` points, or as many as strict mode allows: `following` says whether there are more."""
        read, limit = self._allowed(read), self._limits.page_of(limit)
        condition = None if where is None else (yield from self.filtering.translated(where))
        page: ScrollPage
        (page,) = yield Requests(
            [
                self._wire.scroll(
                    where=condition, start=start, order=order, limit=limit, payload=payload, vectors=vectors, read=read
                )
            ]
        )
        self._check_page(page, start, vectors=vectors)
        return page

    @as_it_is
    def begin_order(self, order: OrderBy) -> StoreSteps[Ordered]:
        """Before the first page of a walk in that order."""
        field = canonical_path(order.field)
        indexes = yield from self.filtering.indexes(frozenset({field}))
        kinds = {canonical_path(name): kind for name, kind in indexes.items()}
        return Ordered(order, kinds.get(field, "integer"))

    @as_it_is
    def scroll_ordered(
        self,
        walk: Ordered,
        where: Where | None = None,
        *,
        limit: int,
        payload: Selection = True,
        vectors: bool = False,
        read: ReadOptions = DEFAULT_READ,
    ) -> StoreSteps[tuple[list[ScoredPoint], Ordered | None]]:
        """The next points of a walk, `limit` at most, perhaps none, and how far it is then: None at its end.

        Raises RequestRefusedError where the field has no index for the order."""
        read = self._allowed(read)
        condition = None if where is None else (yield from self.filtering.translated(where))
        # One more than wanted tells whether the last value is complete.
        most = limit if walk.tied is not None else limit + 1
        most = self._limits.page_of(most)
        (page,) = yield Requests(
            [
                self._wire.scroll(
                    where=walk.narrowed(condition),
                    start=walk.start,
                    order=None if walk.tied is not None else walk.start_from(),
                    limit=most,
                    payload=payload,
                    vectors=vectors,
                    read=read,
                )
            ]
        )
        self._check_page(page, walk.start, vectors=vectors)
        if walk.tied is not None:
            return list(page.points), within_tie(walk, page)
        return taken(walk, page, limit=most, whole=payload is True and not has_arrays(page, walk.order.field))

    @as_it_is
    def retrieve(
        self,
        ids: Sequence[PointId],
        *,
        payload: Selection = True,
        vectors: bool = False,
        sparse: bool = False,
        read: ReadOptions = DEFAULT_READ,
    ) -> StoreSteps[list[ScoredPoint]]:
        """Those of the points that are there, in the order of `ids`, an id given twice twice; their score is 0."""
        points = yield from self.retrieve_by_name(ids, payload=payload, vectors=vectors, sparse=sparse, read=read)
        if vectors:
            self._check_vectors(points)
        return points

    def retrieve_by_name(
        self,
        ids: Sequence[PointId],
        *,
        payload: Selection = True,
        vectors: bool = False,
        sparse: bool = False,
        read: ReadOptions = DEFAULT_READ,
    ) -> StoreSteps[list[ScoredPoint]]:
        """The same of whichever collection has the name by now, even another than the one that was opened."""
        found: dict[PointId, ScoredPoint] = {}
        unique = list(dict.fromkeys(ids))
        size = self._limits.reads or BATCH_POINTS
        read = self._allowed(read)
        sparse = (
            sparse and self.state.now.schema.bm25 is not None
        )  # a store refuses the name of a vector that it doesn't have
        parts = [unique[start : start + size] for start in range(0, len(unique), size)]
        if parts:
            answers = yield Requests(
                [
                    self._wire.retrieve(part, payload=payload, vectors=vectors, sparse=sparse, read=read)
                    for part in parts
                ]
            )
            found = {point.id: point for answer in answers for point in answer}
        return [found[each] for each in ids if each in found]

    @as_it_is
    def missing(self, ids: Sequence[PointId], *, read: ReadOptions = DEFAULT_READ) -> StoreSteps[list[PointId]]:
        """Those of these different ids under which nothing is stored, in their order. UUIDs may be without hyphens."""
        read = self._allowed(read)
        size = min(PAGE_IDS, self._limits.reads or PAGE_IDS)
        parts = [ids[start : start + size] for start in range(0, len(ids), size)]
        if self._limits == StoreLimits() and parts:  # strict mode may refuse to count, or so long a condition
            counts = yield Requests([self._wire.count_ids(part, read=read) for part in parts])
            parts = [part for part, count in zip(parts, counts, strict=True) if count != len(part)]
        missing: list[PointId] = []
        for part in parts:
            answer = yield Requests(
                [
                    self._wire.retrieve(
                        part[start : start + BATCH_POINTS], payload=False, vectors=False, sparse=False, read=read
                    )
                    for start in range(0, len(part), BATCH_POINTS)
                ]
            )
            there = {_short(point.id) for points in answer for point in points}
            missing += [each for each in part if _short(each) not in there]
        return missing

    @as_it_is
    def without_vectors(
        self, ids: Sequence[PointId], *, read: ReadOptions = DEFAULT_READ
    ) -> StoreSteps[frozenset[PointId]]:
        """Those of the points that are there and lack a vector: the dense one, or the sparse one of a collection that
        has them. Another program may have deleted it, or stored the payload alone."""
        limits, read = self._limits, self._allowed(read)
        sparse = self.state.now.schema.bm25 is not None
        if limits.conditions is not None and limits.conditions < len(condition_sizes(_incomplete((), sparse=sparse))):
            points = yield from self.retrieve(ids, payload=False, vectors=True, sparse=sparse, read=read)
            return frozenset(each.id for each in points if each.vector is None or (sparse and each.sparse is None))
        size = min(limits.page_of(PAGE_IDS), limits.reads or PAGE_IDS, limits.condition_size or PAGE_IDS)
        parts = [ids[start : start + size] for start in range(0, len(ids), size)]
        if not parts:
            return frozenset()
        pages = yield Requests(
            [
                self._wire.scroll(
                    where=_incomplete(part, sparse=sparse),
                    start=None,
                    order=None,
                    limit=len(part),
                    payload=False,
                    vectors=False,
                    read=read,
                )
                for part in parts
            ]
        )
        return frozenset(point.id for page in pages for point in page.points)

    @as_it_is
    def count(
        self, where: Where | None = None, *, exact: bool = True, read: ReadOptions = DEFAULT_READ
    ) -> StoreSteps[int]:
        """The number of points that match; an estimate unless `exact`."""
        if exact and not self._limits.exact:
            return (yield from self._counted_by_reading(where, read))
        read = self._allowed(read)
        condition = None if where is None else (yield from self.filtering.translated(where))
        (count,) = yield Requests([self._wire.count(condition, exact=exact, read=read)])
        return int(count)

    def indexes(self) -> StoreSteps[Indexes]:
        """The payload indexes, as they are now."""
        return (yield from self.state.read()).indexes

    def page_size(self, asked: int, *, usual: int) -> int:
        """Points of each page of a walk: as many as a person asked for, or the usual number as far as strict mode
        allows it. Raises LimitExceededError."""
        if asked == usual:
            return self._limits.page_of(usual)
        self._limits.check_page("page_size", asked, place=self._place)
        return asked

    def sample(self, limit: int, *, read: ReadOptions = DEFAULT_READ) -> StoreSteps[list[Mapping[str, Any]]]:
        """The whole payloads of up to `limit` points, no matter which."""
        page = yield from self.scroll(limit=limit, read=read)
        return [point.payload or {} for point in page.points]

    def _check_page(self, page: ScrollPage, start: PointId | None, *, vectors: bool) -> None:
        """Raises CollectionError for a page that no walk comes to an end with, and for vectors of another size."""
        if vectors:
            self._check_vectors(page.points)
        following = page.following
        if start is not None and following is not None and id_order(_short(following)) <= id_order(_short(start)):
            raise CollectionError(
                f"{self._place}: the page that begins with the id {start} is followed by one from {following} on, so "
                "that reading by pages would never end; look what answers there"
            )

    def _check_vectors(self, points: Iterable[ScoredPoint]) -> None:
        """Raises CollectionError for vectors of another size than the collection's."""
        dim = self.state.now.schema.contract.dim
        for point in points:
            if point.vector is not None and point.vector.shape != (dim,):
                raise CollectionError(
                    f"{self._place}: the vector of the point {point.id} has {point.vector.size} numbers, and those of "
                    f"the collection {dim}; open it again if it was made anew, or look what answers there"
                )

    def _counted_by_reading(self, where: Where | None, read: ReadOptions) -> StoreSteps[int]:
        """The number of ids that come back, where strict mode refuses to count exactly (search_allow_exact)."""
        total, start, more = 0, None, True
        limit = min(PAGE_IDS, self._limits.reads or PAGE_IDS)
        while more:
            page = yield from self.scroll(where, start=start, limit=limit, payload=False, read=read)
            total += len(page.points)
            start, more = page.following, page.following is not None
        return total

    def _values_by_reading(
        self, field: str, where: Where | None, limit: int, read: ReadOptions
    ) -> StoreSteps[list[FacetCount]]:
        """The same for the values of a field: those that its index holds, each once for a passage."""
        canonical = canonical_path(field)
        types = yield from self.filtering.indexes(frozenset({canonical}))
        kind = _FACETS.get(next((kind for name, kind in types.items() if canonical_path(name) == canonical), "text"))
        if kind is None:
            raise RequestRefusedError(no_facet_index(field, place=self._place))
        counts: Counter[str | int | bool] = Counter()
        path, stored, start, more = parse_path(field), (qdrant_path(field),), None, True
        while more:
            page = yield from self.scroll(where, start=start, limit=BATCH_POINTS, payload=stored, read=read)
            for point in page.points:
                found: set[Any] = {value for value in scalars_at(point.payload or {}, path) if type(value) is kind}
                counts.update(found)
            start, more = page.following, page.following is not None
        return _most_frequent([FacetCount(value, count) for value, count in counts.items()])[:limit]


_FACETS: Final[dict[str, type]] = {"keyword": str, "uuid": str, "integer": int, "bool": bool}
"""The kinds of indexes by which values can be counted, and the values that they hold."""


def _most_frequent(counts: Iterable[FacetCount]) -> list[FacetCount]:
    """The most frequent first, then in the order of values."""
    return sorted(counts, key=lambda counted: (-counted.count, isinstance(counted.value, str), counted.value))


def _short(point_id: PointId) -> PointId:
    """The id, a UUID without its hyphens."""
    return point_id if isinstance(point_id, int) else point_id.replace("-", "")


def _incomplete(ids: Sequence[PointId], *, sparse: bool) -> models.Filter:
    # Imported here since it brings in qdrant-client, 0.6 s that a search without a filter shouldn't wait for.
    from qdrant_client import models

    names = ["", BM25] if sparse else [""]
    complete = models.Filter(must=[models.HasVectorCondition(has_vector=name) for name in names])
    return models.Filter(must=[models.HasIdCondition(has_id=list(ids))], must_not=[complete])
