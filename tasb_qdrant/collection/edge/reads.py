"""Reads of an embedded collection.

The engine may be asked by several threads at once, but holds the interpreter's lock while it answers, so that
they take turns anyhow (measured on 0.9: a batch of 300 exact queries stopped every other thread for 436 ms).
Queries go one by one for that reason: between two of them others get their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import qdrant_edge as edge

from tasb_qdrant.collection.edge.wire import EdgeRequest
from tasb_qdrant.collection.reads.questions import ReadOptions
from tasb_qdrant.collection.reads.run import AsyncSteppedReads, Deadline, SteppedReads, drive
from tasb_qdrant.collection.reads.steps import ReadSteps, Steps
from tasb_qdrant.errors import SearchTimeoutError

T = TypeVar("T")


class EdgeReads(SteppedReads[EdgeRequest]):
    """Waited for. `engine` gives the shard to one caller at a time, and names errors after what it is told."""

    def __init__(
        self, steps: ReadSteps[EdgeRequest], engine: Callable[[str], AbstractContextManager[edge.EdgeShard]]
    ) -> None:
        super().__init__(steps)
        self._engine = engine

    def run(self, steps: Steps[EdgeRequest, T], read: ReadOptions) -> T:
        """Raises CollectionError. A request that is under way can't be ended: time is looked at between them."""
        deadline = Deadline.of(read)

        def answer(requests: Sequence[EdgeRequest]) -> list[Any]:
            answers = []
            for request in requests:
                if deadline.passed:
                    raise SearchTimeoutError(
                        f"{request.doing}: not done within {deadline.allowed:g} s; allow more with a larger timeout",
                        timeout=deadline.allowed or 0.0,
                    )
                with self._engine(request.doing) as shard:
                    answers.append(request.run(shard))
            return answers

        return drive(steps, answer)


class EdgeAsyncReads(AsyncSteppedReads[EdgeRequest]):
    """Awaited: another thread waits. The event loop stands still while the engine answers a request."""

    def __init__(self, steps: ReadSteps[EdgeRequest], reads: EdgeReads) -> None:
        super().__init__(steps)
        self._reads = reads

    async def run(self, steps: Steps[EdgeRequest, T], read: ReadOptions) -> T:
        """Raises CollectionError."""
        return await asyncio.to_thread(self._reads.run, steps, read)

    async def aclose(self) -> None:
        """Nothing is held open."""
