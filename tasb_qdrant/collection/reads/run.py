"""The reads of an open collection: those of `ReadSteps`, waited for or awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import (
    DEFAULT_READ,
    OrderBy,
    PointGroup,
    Query,
    QueryOptions,
    ReadOptions,
    ScoredPoint,
    ScrollPage,
    Selection,
    Where,
)
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.collection.reads.wire import Indexes
from tasb_qdrant.records import FacetCount
from tasb_qdrant.steps import Deadline, Requests, StoreSteps, carry_out, carry_out_async

T = TypeVar("T")

Send: TypeAlias = Callable[[Sequence[Any], Deadline], list[Any]]
"""Sends a store's requests, and returns their answers in order. Raises CollectionError."""

AsyncSend: TypeAlias = Callable[[Sequence[Any], Deadline], Awaitable[list[Any]]]


class Reads:
    """The one way to read a collection. Several threads may read at once.

    Every method raises CollectionError or one of its kinds; the `timeout` of a read is for all of it, retries included.
    """

    def __init__(self, steps: ReadSteps, send: Send) -> None:
        self.steps = steps
        self.send = send

    def run(self, steps: StoreSteps[T], read: ReadOptions = DEFAULT_READ) -> T:
        """What these steps return."""
        return self.run_until(steps, Deadline.after(read.timeout))

    def run_until(self, steps: StoreSteps[T], deadline: Deadline) -> T:
        """The same, for what began earlier."""
        return carry_out(steps, self._carry, deadline)

    def _carry(self, step: Requests, deadline: Deadline) -> list[Any]:
        return self.send(step.requests, deadline)

    def query(self, queries: Sequence[Query], options: QueryOptions) -> list[list[ScoredPoint]]:
        """For each query its points, best first."""
        return self.run(self.steps.query(queries, options), options.read)

    def query_groups(self, query: Query, options: QueryOptions, *, by: str, size: int) -> list[PointGroup]:
        """Groups of points by the values of a payload field, in the order of their best points."""
        return self.run(self.steps.query_groups(query, options, by=by, size=size), options.read)

    def facet(
        self,
        field: str,
        *,
        where: Where | None = None,
        limit: int = 10,
        exact: bool = True,
        read: ReadOptions = DEFAULT_READ,
    ) -> list[FacetCount]:
        """The most frequent values of a payload field."""
        return self.run(self.steps.facet(field, where=where, limit=limit, exact=exact, read=read), read)

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
    ) -> ScrollPage:
        """A page of the points that match, in the order of their ids from `start` on, or in `order`."""
        steps = self.steps.scroll(
            where, start=start, order=order, limit=limit, payload=payload, vectors=vectors, read=read
        )
        return self.run(steps, read)

    def retrieve(
        self,
        ids: Sequence[PointId],
        *,
        payload: Selection = True,
        vectors: bool = False,
        sparse: bool = False,
        read: ReadOptions = DEFAULT_READ,
    ) -> list[ScoredPoint]:
        """Those of the points that are there, in the order of `ids`."""
        return self.run(self.steps.retrieve(ids, payload=payload, vectors=vectors, sparse=sparse, read=read), read)

    def missing(self, ids: Sequence[PointId], *, read: ReadOptions = DEFAULT_READ) -> list[PointId]:
        """Those of these different ids under which nothing is stored, in their order. UUIDs may be without hyphens."""
        return self.run(self.steps.missing(ids, read=read), read)

    def without_vectors(self, ids: Sequence[PointId], *, read: ReadOptions = DEFAULT_READ) -> frozenset[PointId]:
        """Those of the points that are there and lack a vector that each point of the collection has."""
        return self.run(self.steps.without_vectors(ids, read=read), read)

    def count(self, where: Where | None = None, *, exact: bool = True, read: ReadOptions = DEFAULT_READ) -> int:
        """The number of points that match; an estimate unless `exact`."""
        return self.run(self.steps.count(where, exact=exact, read=read), read)

    def indexes(self) -> Indexes:
        """The payload indexes, as they are now."""
        return self.run(self.steps.indexes())

    def sample(self, limit: int) -> list[Mapping[str, Any]]:
        """The whole payloads of up to `limit` points, no matter which."""
        return self.run(self.steps.sample(limit))


class AsyncReads:
    """The same steps, awaited in one event loop: `await reads.run(collection.reads.steps.count())`."""

    def __init__(self, send: AsyncSend, close: Callable[[], Awaitable[None]]) -> None:
        self.send = send
        self._close = close

    async def run(self, steps: StoreSteps[T], read: ReadOptions = DEFAULT_READ) -> T:
        """What these steps return."""
        return await carry_out_async(steps, self._carry, Deadline.after(read.timeout))

    async def _carry(self, step: Requests, deadline: Deadline) -> list[Any]:
        return await self.send(step.requests, deadline)

    async def aclose(self) -> None:
        """Close what only these reads use; in the event loop that used it."""
        await self._close()
