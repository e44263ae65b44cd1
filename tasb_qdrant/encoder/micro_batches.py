"""Micro-batching: queries that arrive at the same time are encoded together.

A forward pass over many short queries takes little longer than over one. While a pass runs, arriving queries wait for
the next, so that batches grow with the load by themselves, and a lone query is encoded at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST: Final = 64
"""Maximum number of queries in a batch."""

MAX_WAIT: Final = 0.002
"""Seconds that a query waits for other searches that have started but not yet asked for a vector."""


class Expected:
    """A search under way, which asks for one query's vector, or for none."""

    def __init__(self, batcher: MicroBatcher) -> None:
        self._batcher = batcher
        self._settled = False

    async def encode(self, query: str) -> NDArray[np.float32]:
        """The query's vector, float32 (dim,)."""
        self.settle()
        return await self._batcher.encode(query)

    def settle(self) -> None:
        """Nobody has to wait for this search any longer."""
        if not self._settled:
            self._settled = True
            self._batcher.arrived()


class MicroBatcher:
    """Collects the queries of the tasks of one event loop. `encode` runs in a thread, one call at a time."""

    def __init__(
        self,
        encode: Callable[[list[str]], NDArray[np.float32]],
        *,
        run_in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = asyncio.to_thread,
        most: int = MOST,
        max_wait: float = MAX_WAIT,
    ) -> None:
        if most < 1 or not max_wait >= 0:
            raise SettingsError(f"a batch holds at least 1 query and waits 0 s or more, got {most} and {max_wait} s")
        self._encode, self._run, self._most, self._max_wait = encode, run_in_thread, most, max_wait
        self._waiting: deque[tuple[str, asyncio.Future[NDArray[np.float32]]]] = deque()
        self._expected = 0
        self._full = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._closed: Exception | None = None
        self.batches = 0
        self.queries = 0

    @contextmanager
    def expecting(self) -> Iterator[Expected]:
        """A context for a search that may ask for a query's vector: until it has, others may wait for it."""
        expected = Expected(self)
        self._expected += 1
        try:
            yield expected
        finally:
            expected.settle()

    async def encode(self, query: str) -> NDArray[np.float32]:
        """The query's vector, float32 (dim,). Raises what `encode` raises for this query."""
        if self._closed is not None:
            raise self._closed
        future: asyncio.Future[NDArray[np.float32]] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, future))
        self._look()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    def close(self, error: Exception) -> None:
        """Queries that still wait, and later ones, raise this error."""
        self._closed = error
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)

    def arrived(self) -> None:
        """An expected search has asked, or never will."""
        self._expected -= 1
        self._look()

    def _complete(self) -> bool:
        return self._expected == 0 or len(self._waiting) >= self._most

    def _look(self) -> None:
        if self._complete():
            self._full.set()

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._wait_for_others()
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                await self._answer([pair for pair in batch if not pair[1].cancelled()])
        finally:
            self._worker = None

    async def _wait_for_others(self) -> None:
        if self._complete():
            return
        self._full.clear()
        try:
            await asyncio.wait_for(self._full.wait(), self._max_wait)
        except TimeoutError:
            return

    async def _answer(self, batch: list[tuple[str, asyncio.Future[NDArray[np.float32]]]]) -> None:
        if not batch:
            return
        queries = [query for query, _ in batch]
        self.batches += 1
        self.queries += len(batch)
        try:
            vectors = await self._run(lambda: self._encode(queries))
        except Exception as error:
            await self._alone(batch, error)
            return
        for (_, future), vector in zip(batch, vectors, strict=True):
            if not future.done():
                future.set_result(vector)

    async def _alone(self, batch: list[tuple[str, asyncio.Future[NDArray[np.float32]]]], error: Exception) -> None:
        """One query may fail its whole batch: encode each alone, for its own vector or its own error."""
        for query, future in batch:
            if future.done():
                continue
            try:
                if len(batch) == 1:
                    raise error
                vectors = await self._run(lambda query=query: self._encode([query]))  # type: ignore[misc]
            except Exception as own:
                future.set_exception(own)
            else:
                future.set_result(vectors[0])
