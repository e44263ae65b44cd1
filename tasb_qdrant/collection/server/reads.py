"""Reads of a collection on a server, waited for or awaited. What is asked is in `collection.reads.steps`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from tasb_qdrant.collection.reads.errors import explained, gone
from tasb_qdrant.collection.reads.questions import ReadOptions
from tasb_qdrant.collection.reads.run import AsyncSteppedReads, Deadline, SteppedReads, drive
from tasb_qdrant.collection.reads.steps import ReadSteps, Steps
from tasb_qdrant.collection.reads.wire import ServerRequest
from tasb_qdrant.collection.server.address import key_of
from tasb_qdrant.collection.server.connection import Connection
from tasb_qdrant.collection.server.failure import detail_of, named_error, timed_out
from tasb_qdrant.collection.server.retry import call, call_async
from tasb_qdrant.collection.server.transports import AsyncGrpcLink, AsyncLink, AsyncRestLink, GrpcLink, Link, RestLink
from tasb_qdrant.collection.watch import Watch
from tasb_qdrant.errors import CollectionError, SearchTimeoutError
from tasb_qdrant.settings import StoreSettings

T = TypeVar("T")

IN_FLIGHT: Final = 4
"""Requests of one call that are under way at once."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for, and how its failures are named."""

    settings: StoreSettings
    check_open: Callable[[], None]
    watch: Watch | None = None

    def options(self, request: ServerRequest, deadline: Deadline) -> dict[str, Any]:
        """Those of `call` and `call_async`, but for `sleep`."""
        return {
            "location": self.settings.location,
            "doing": request.doing,
            "retry_seconds": deadline.left(self.settings.retry_seconds),
            "watch": self.watch,
            "name": partial(_read_error, timeout=deadline.allowed or self.settings.timeout),
        }


class ServerReads(SteppedReads[ServerRequest]):
    """Waited for. Several threads may ask at once."""

    def __init__(
        self, steps: ReadSteps[ServerRequest], link: Link, patience: Patience, *, sleep: Callable[[float], None]
    ) -> None:
        super().__init__(steps)
        self._link = link
        self._patience = patience
        self._sleep = sleep

    def run(self, steps: Steps[ServerRequest, T], read: ReadOptions) -> T:
        """Raises CollectionError."""
        deadline = Deadline.of(read)

        def answer(requests: Sequence[ServerRequest]) -> list[Any]:
            if len(requests) == 1:
                return [self._ask(requests[0], deadline)]
            with ThreadPoolExecutor(min(IN_FLIGHT, len(requests))) as pool:
                return list(pool.map(lambda request: self._ask(request, deadline), requests))

        return drive(steps, answer)

    def _ask(self, request: ServerRequest, deadline: Deadline) -> Any:
        self._patience.check_open()
        most = self._patience.settings.timeout
        return call(
            lambda: self._link.send(request, timeout=deadline.left(most)),
            sleep=self._sleep,
            **self._patience.options(request, deadline),
        )


class ServerAsyncReads(AsyncSteppedReads[ServerRequest]):
    """Awaited, in one event loop."""

    def __init__(
        self,
        steps: ReadSteps[ServerRequest],
        link: AsyncLink,
        patience: Patience,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(steps)
        self._link = link
        self._patience = patience
        self._sleep = sleep

    async def run(self, steps: Steps[ServerRequest, T], read: ReadOptions) -> T:
        """Raises CollectionError."""
        deadline = Deadline.of(read)
        places = asyncio.Semaphore(IN_FLIGHT)

        async def ask(request: ServerRequest) -> Any:
            async with places:
                return await self._ask(request, deadline)

        try:
            requests = next(steps)
            while True:
                answers = [await ask(requests[0])] if len(requests) == 1 else await _all(ask, requests)
                requests = steps.send(answers)
        except StopIteration as done:
            result: T = done.value
            return result

    async def aclose(self) -> None:
        """Close the connection of these reads."""
        await self._link.aclose()

    async def _ask(self, request: ServerRequest, deadline: Deadline) -> Any:
        self._patience.check_open()
        most = self._patience.settings.timeout
        return await call_async(
            lambda: self._link.send(request, timeout=deadline.left(most)),
            sleep=self._sleep,
            **self._patience.options(request, deadline),
        )


class Reading:
    """How one collection is read: the same steps, over the connection that there is, or over one for an event loop."""

    def __init__(
        self,
        steps: ReadSteps[ServerRequest],
        connection: Connection,
        settings: StoreSettings,
        *,
        check_open: Callable[[], None],
        sleep: Callable[[float], None],
        watch: Watch | None,
    ) -> None:
        self._steps = steps
        self._over_grpc = connection.plain is not None
        self._patience = Patience(settings, check_open, watch)
        link: Link | None = None
        if connection.plain is not None:
            link = GrpcLink(connection.plain, key_of(settings))
        elif connection.http is not None:
            link = RestLink(connection.http)
        if link is None:
            raise CollectionError(f"{settings.location}: the connection can't be read over; open the collection again")
        self.reads = ServerReads(steps, link, self._patience, sleep=sleep)

    def async_reads(self) -> ServerAsyncReads:
        """Reads for one event loop, which connect when they are used first."""
        settings = self._patience.settings
        link = AsyncGrpcLink(settings) if self._over_grpc else AsyncRestLink(settings)
        return ServerAsyncReads(self._steps, link, self._patience)


async def _all(ask: Callable[[ServerRequest], Awaitable[Any]], requests: Sequence[ServerRequest]) -> list[Any]:
    """Every answer; the first failure ends the other requests."""

    async def one(request: ServerRequest) -> Any:
        return await ask(request)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(request)) for request in requests]
    except* CollectionError as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _read_error(error: BaseException, *, location: str, doing: str, tried: str, timeout: float) -> CollectionError:
    place = f"{location}, {doing}"
    if timed_out(error):
        return SearchTimeoutError(
            f"{place}: no answer within {timeout:g} s ({detail_of(error)}); allow more with a larger timeout, or look "
            "whether the server is well",
            timeout=timeout,
        )
    detail = detail_of(error)
    known = gone(detail, location=location) or explained(detail, place=place)
    return known or named_error(error, location=location, doing=doing, tried=tried)
