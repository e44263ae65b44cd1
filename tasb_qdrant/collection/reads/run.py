"""The read path as stores offer it: the steps of each method, carried out by whoever knows the store."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import (
    Ask,
    FindOptions,
    FoundGroup,
    FoundPoint,
    OrderBy,
    ReadOptions,
    ScrollPage,
    Where,
)
from tasb_qdrant.collection.reads.steps import ReadSteps, Steps
from tasb_qdrant.collection.reads.wire import Selection
from tasb_qdrant.records import FacetCount
from tasb_qdrant.settings import IndexType

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a call, with all of its tries, is to end; `until` by time.monotonic, None is never."""

    allowed: float | None
    until: float | None

    @classmethod
    def of(cls, read: ReadOptions) -> Self:
        """It runs from now on."""
        return cls(read.timeout, None if read.timeout is None else time.monotonic() + read.timeout)

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.until is not None and time.monotonic() >= self.until

    def left(self, most: float) -> float:
        """Seconds, `most` at most. Not 0, which some take for no limit at all."""
        return most if self.until is None else min(most, max(self.until - time.monotonic(), 0.001))


def drive(steps: Steps[R, T], answer: Callable[[Sequence[R]], list[Any]]) -> T:
    """What the steps return, given the answers."""
    try:
        requests = next(steps)
        while True:
            requests = steps.send(answer(requests))
    except StopIteration as done:
        result: T = done.value
        return result


class SteppedReads(ABC, Generic[R]):
    """`Reads`, of steps."""

    def __init__(self, steps: ReadSteps[R]) -> None:
        self._steps = steps

    @abstractmethod
    def run(self, steps: Steps[R, T], read: ReadOptions) -> T:
        """Ask the store, and return what the steps do."""

    def query(self, asks: Sequence[Ask], options: FindOptions) -> list[list[FoundPoint]]:
        """For each ask its points, best first."""
        return self.run(self._steps.query(asks, options), options.read)

    def query_groups(self, ask: Ask, options: FindOptions, *, by: str, size: int) -> list[FoundGroup]:
        """Groups, in the order of their best points."""
        return self.run(self._steps.query_groups(ask, options, by=by, size=size), options.read)

    def facet(self, field: str, *, where: Where | None, limit: int, exact: bool, read: ReadOptions) -> list[FacetCount]:
        """The most frequent values. RequestRefusedError where the field has no index for them."""
        return self.run(self._steps.facet(field, where=where, limit=limit, exact=exact, read=read), read)

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
    ) -> ScrollPage:
        """A page of points. RequestRefusedError where there is no index for the order."""
        steps = self._steps.scroll(
            where=where, start=start, order=order, limit=limit, payload=payload, vectors=vectors, read=read
        )
        return self.run(steps, read)

    def retrieve(
        self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, read: ReadOptions
    ) -> list[FoundPoint]:
        """Those that are there, in the order of `ids`."""
        return self.run(self._steps.retrieve(ids, payload=payload, vectors=vectors, read=read), read)

    def count_matching(self, where: Where | None, *, exact: bool, read: ReadOptions) -> int:
        """How many match."""
        return self.run(self._steps.count(where, exact=exact, read=read), read)

    def field_indexes(self, fields: frozenset[str]) -> Mapping[str, IndexType]:
        """The payload indexes, up to a minute old."""
        return self.run(self._steps.indexes(fields), ReadOptions())

    def sample_payloads(self, limit: int) -> list[Mapping[str, Any]]:
        """The payloads of the first points in the order of ids."""
        return self.run(self._steps.sample(limit), ReadOptions())


class AsyncSteppedReads(ABC, Generic[R]):
    """`AsyncReads`, of the same steps."""

    def __init__(self, steps: ReadSteps[R]) -> None:
        self._steps = steps

    @abstractmethod
    async def run(self, steps: Steps[R, T], read: ReadOptions) -> T:
        """Ask the store, and return what the steps do."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what only these reads use."""

    async def query(self, asks: Sequence[Ask], options: FindOptions) -> list[list[FoundPoint]]:
        """For each ask its points, best first."""
        return await self.run(self._steps.query(asks, options), options.read)

    async def query_groups(self, ask: Ask, options: FindOptions, *, by: str, size: int) -> list[FoundGroup]:
        """Groups, in the order of their best points."""
        return await self.run(self._steps.query_groups(ask, options, by=by, size=size), options.read)

    async def facet(
        self, field: str, *, where: Where | None, limit: int, exact: bool, read: ReadOptions
    ) -> list[FacetCount]:
        """The most frequent values."""
        return await self.run(self._steps.facet(field, where=where, limit=limit, exact=exact, read=read), read)

    async def scroll(
        self,
        *,
        where: Where | None,
        start: PointId | None,
        order: OrderBy | None,
        limit: int,
        payload: Selection,
        vectors: bool,
        read: ReadOptions,
    ) -> ScrollPage:
        """A page of points."""
        steps = self._steps.scroll(
            where=where, start=start, order=order, limit=limit, payload=payload, vectors=vectors, read=read
        )
        return await self.run(steps, read)

    async def retrieve(
        self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, read: ReadOptions
    ) -> list[FoundPoint]:
        """Those that are there, in the order of `ids`."""
        return await self.run(self._steps.retrieve(ids, payload=payload, vectors=vectors, read=read), read)

    async def count_matching(self, where: Where | None, *, exact: bool, read: ReadOptions) -> int:
        """How many match."""
        return await self.run(self._steps.count(where, exact=exact, read=read), read)

    async def field_indexes(self, fields: frozenset[str]) -> Mapping[str, IndexType]:
        """The payload indexes, up to a minute old."""
        return await self.run(self._steps.indexes(fields), ReadOptions())

    async def sample_payloads(self, limit: int) -> list[Mapping[str, Any]]:
        """The payloads of the first points in the order of ids."""
        return await self.run(self._steps.sample(limit), ReadOptions())
