"""Sending a collection's reads to its server, waited for or awaited: retried, and ended by their deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from tasb_qdrant.collection.reads.errors import explained, gone
from tasb_qdrant.collection.reads.run import AsyncReads
from tasb_qdrant.collection.reads.wire import ServerRequest
from tasb_qdrant.collection.server.address import key_of
from tasb_qdrant.collection.server.connection import Connection, Patience
from tasb_qdrant.collection.server.failure import detail_of, named_error, sensible, timed_out
from tasb_qdrant.collection.server.retry import call, call_async
from tasb_qdrant.collection.server.transports import (
    AsyncGrpcTransport,
    AsyncRestTransport,
    AsyncTransport,
    GrpcTransport,
    RestTransport,
    SyncTransport,
)
from tasb_qdrant.collection.watch import SLOW_READ_SECONDS, Watch
from tasb_qdrant.errors import CollectionError, SearchTimeoutError
from tasb_qdrant.settings import StoreSettings
from tasb_qdrant.steps import Deadline

T = TypeVar("T")

IN_FLIGHT: Final = 4
"""Requests of one step that are under way at once."""


class ServerReading:
    """How the collection `name` is read: over the connection that there is, or over one for an event loop.

    A read without a deadline of its own waits so many seconds for each answer, retries included; None is as long as
    the settings' timeout and retries take. `sleep` waits between tries, and `watch` is told of them.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        settings: StoreSettings,
        *,
        wait: float | None,
        sleep: Callable[[float], None],
        watch: Watch | None,
    ) -> None:
        self._name = name
        self._connection = connection
        self._settings = settings
        self._location = settings.address
        self._wait = wait
        self._sleep = sleep
        self._watch = watch
        self._closed = False
        self._transport = _transport(connection, settings)

    def send(self, requests: Sequence[ServerRequest], deadline: Deadline) -> list[Any]:
        """Their answers, in order. Raises CollectionError. Several threads may send at once."""
        if len(requests) == 1:
            return [self._send(requests[0], deadline)]
        failed = threading.Event()

        def send(request: ServerRequest) -> Any:
            if failed.is_set():  # an earlier one says why: each of many would wait as long for nothing
                raise CollectionError(f"{self._location}, {request.doing}: not sent, as another request failed")
            try:
                return self._send(request, deadline)
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(min(IN_FLIGHT, len(requests))) as pool:
            return list(pool.map(send, requests))

    def async_reads(self) -> AsyncReads:
        """Reads for one event loop, which connect when they are used first."""
        over_grpc = self._connection.plain is not None
        transport = AsyncGrpcTransport(self._settings) if over_grpc else AsyncRestTransport(self._settings)

        async def send(requests: Sequence[ServerRequest], deadline: Deadline) -> list[Any]:
            if len(requests) == 1:
                return [await self._send_async(transport, requests[0], deadline)]
            return await _all(lambda request: self._send_async(transport, request, deadline), requests)

        return AsyncReads(send, transport.aclose)

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True

    def check_open(self) -> None:
        """Raises CollectionError when the collection or its connection is closed."""
        if self._closed:
            raise CollectionError(f"collection {self._name!r} is closed; open it again")
        self._connection.check_open()

    def _send(self, request: ServerRequest, deadline: Deadline) -> Any:
        self.check_open()
        deadline = self._limited(deadline)
        return call(
            lambda: self._transport.send(request, timeout=deadline.left(self._settings.timeout)),
            sleep=self._sleep,
            **self._retrying(request, deadline),
        )

    async def _send_async(self, transport: AsyncTransport, request: ServerRequest, deadline: Deadline) -> Any:
        self.check_open()
        deadline = self._limited(deadline)
        return await call_async(
            lambda: transport.send(request, timeout=deadline.left(self._settings.timeout)),
            sleep=asyncio.sleep,
            **self._retrying(request, deadline),
        )

    def _limited(self, deadline: Deadline) -> Deadline:
        """The deadline of one request, tries and all. It begins anew with each: a long batch may take long, as long as
        answers come."""
        return deadline if deadline.until is not None else Deadline.after(self._wait)

    def _retrying(self, request: ServerRequest, deadline: Deadline) -> dict[str, Any]:
        """How long failures are retried, and how they are named."""
        return {
            "location": self._location,
            "doing": request.doing,
            "retry_seconds": deadline.left(self._settings.retry_seconds),
            "watch": self._watch,
            "slow": SLOW_READ_SECONDS,
            "name": partial(read_error, timeout=deadline.allowed or self._settings.timeout),
        }


def ask(
    question: Callable[[], T],
    doing: str,
    patience: Patience,
    *,
    settings: StoreSettings,
    sleep: Callable[[float], None],
    watch: Watch | None,
) -> T:
    """The answer to a small question about a collection, asked through `Connection.asking`. Raises CollectionError."""
    return call(
        sensible(question),
        location=settings.address,
        doing=doing,
        retry_seconds=patience.retries,
        sleep=sleep,
        watch=watch,
        name=named_error if patience.loads else partial(read_error, timeout=settings.read_seconds),
    )


def _transport(connection: Connection, settings: StoreSettings) -> SyncTransport:
    if connection.plain is not None:
        return GrpcTransport(connection.plain, key_of(settings))
    if connection.http is not None:
        return RestTransport(connection.http)
    raise CollectionError(f"{settings.location}: the connection can't be read over; open the collection again")


async def _all(send: Callable[[ServerRequest], Awaitable[Any]], requests: Sequence[ServerRequest]) -> list[Any]:
    """Every answer, with IN_FLIGHT requests under way at once; the first failure ends the others."""
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one(request: ServerRequest) -> Any:
        async with places:
            return await send(request)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(request)) for request in requests]
    except* CollectionError as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def read_error(error: BaseException, *, location: str, doing: str, tried: str, timeout: float) -> CollectionError:
    """Our error for this one, of a read that had so many seconds in all."""
    place = f"{location}, {doing}"
    if timed_out(error):
        last = f"{tried}, the last: {detail_of(error)}" if tried else detail_of(error)
        return SearchTimeoutError(
            f"{place}: no answer within {timeout:g} s ({last}); look whether the server is well, or allow more with a "
            "larger timeout or read_timeout (--read-timeout, and --deadline of a search)",
            timeout=timeout,
        )
    detail = detail_of(error)
    known = gone(detail, location=location) or explained(detail, place=place)
    return known or named_error(error, location=location, doing=doing, tried=tried)
