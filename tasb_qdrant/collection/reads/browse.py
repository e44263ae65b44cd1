"""Reading a collection without a query, step by step: by pages, by ids, by counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.filtering import Filtering
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
from tasb_qdrant.collection.reads.wire import Indexes, Wire
from tasb_qdrant.records import FacetCount, IntegerIds
from tasb_qdrant.steps import Requests, StoreSteps

if TYPE_CHECKING:
    from qdrant_client import models

BATCH_POINTS: Final = 2_000
"""The most points of one request: an answer of a few MB at most."""

PAGE_IDS: Final = 10_000
"""Ids in an answer without payloads: 160 kB and more."""


class BrowseSteps:
    """The reads of one collection that need no query. `limits` are those of one request, and `has_sparse` says whether
    points have sparse vectors."""

    def __init__(
        self,
        wire: Wire[Any],
        *,
        limits: StoreLimits,
        has_sparse: bool,
        most_compared: int,
        integer_ids: IntegerIds,
    ) -> None:
        self._wire = wire
        self._limits = limits
        self._has_sparse = has_sparse
        self.filtering = Filtering(wire, most_compared=most_compared, integer_ids=integer_ids)

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

        Raises RequestRefusedError where the field has no index for them.
        """
        condition = None if where is None else (yield from self.filtering.translated(where))
        (counts,) = yield Requests([self._wire.facet(field, where=condition, limit=limit, exact=exact, read=read)])
        return sorted(counts, key=lambda counted: (-counted.count, isinstance(counted.value, str), counted.value))

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
        `order`. Raises RequestRefusedError where the field has no index for the order."""
        condition = None if where is None else (yield from self.filtering.translated(where))
        page: ScrollPage
        (page,) = yield Requests(
            [
                self._wire.scroll(
                    where=condition, start=start, order=order, limit=limit, payload=payload, vectors=vectors, read=read
                )
            ]
        )
        return page

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
        found: dict[PointId, ScoredPoint] = {}
        unique = list(dict.fromkeys(ids))
        size = self._limits.reads or BATCH_POINTS
        sparse = sparse and self._has_sparse  # a store refuses the name of a vector that it doesn't have
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

    def without_vectors(
        self, ids: Sequence[PointId], *, read: ReadOptions = DEFAULT_READ
    ) -> StoreSteps[frozenset[PointId]]:
        """Those of the points that are there and lack a vector: the dense one, or the sparse one of a collection that
        has them. Another program may have deleted it, or stored the payload alone."""
        size = min(self._limits.page or PAGE_IDS, self._limits.reads or PAGE_IDS)
        parts = [ids[start : start + size] for start in range(0, len(ids), size)]
        if not parts:
            return frozenset()
        pages = yield Requests(
            [
                self._wire.scroll(
                    where=_incomplete(part, sparse=self._has_sparse),
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

    def count(
        self, where: Where | None = None, *, exact: bool = True, read: ReadOptions = DEFAULT_READ
    ) -> StoreSteps[int]:
        """The number of points that match; an estimate unless `exact`."""
        if exact and not self._limits.exact:
            return (yield from self._counted_by_reading(where, read))
        condition = None if where is None else (yield from self.filtering.translated(where))
        (count,) = yield Requests([self._wire.count(condition, exact=exact, read=read)])
        return int(count)

    def indexes(self) -> StoreSteps[Indexes]:
        """The payload indexes, as they are now."""
        found: Indexes
        (found,) = yield Requests([self._wire.indexes()])
        return found

    def sample(self, limit: int, *, read: ReadOptions = DEFAULT_READ) -> StoreSteps[list[Mapping[str, Any]]]:
        """The whole payloads of up to `limit` points, no matter which."""
        page = yield from self.scroll(limit=min(limit, self._limits.page or limit), read=read)
        return [point.payload or {} for point in page.points]

    def _counted_by_reading(self, where: Where | None, read: ReadOptions) -> StoreSteps[int]:
        """The number of ids that come back, where strict mode refuses to count exactly (search_allow_exact)."""
        total, start, more = 0, None, True
        limit = min(PAGE_IDS, self._limits.page or PAGE_IDS, self._limits.reads or PAGE_IDS)
        while more:
            page = yield from self.scroll(where, start=start, limit=limit, payload=False, read=read)
            total += len(page.points)
            start, more = page.following, page.following is not None
        return total


def _incomplete(ids: Sequence[PointId], *, sparse: bool) -> models.Filter:
    # Imported here since it brings in qdrant-client, 0.6 s that a search without a filter shouldn't wait for.
    from qdrant_client import models

    names = ["", BM25] if sparse else [""]
    complete = models.Filter(must=[models.HasVectorCondition(has_vector=name) for name in names])
    return models.Filter(must=[models.HasIdCondition(has_id=list(ids))], must_not=[complete])
