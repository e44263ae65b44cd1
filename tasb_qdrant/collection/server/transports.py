"""Sending a server a request that is bytes: over gRPC or REST, waiting or awaiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

import grpc
import httpx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tasb_qdrant.collection.reads.wire import ServerRequest, WrongAnswerError
from tasb_qdrant.collection.server.address import async_http_client, key_of, plain_async_channel
from tasb_qdrant.collection.server.failure import JunkAnswerError, raised_by_the_client
from tasb_qdrant.collection.server.whole import within
from tasb_qdrant.errors import TasbQdrantError, UnreadableAnswerError
from tasb_qdrant.forks import Started
from tasb_qdrant.settings import StoreSettings

POLLING: Final = Started()
"""gRPC's thread that wakes event loops: there is one, and a forked process, which hasn't got it, awaits for ever."""

_GRACE: Final = 1.0
"""Seconds after gRPC's own limit. Only where another program's gRPC was awaited before a fork does it not end by that.
"""

_DIGITS: Final = 9
"""Of the seconds that a server wants to be left alone: more are as good as for ever."""


class SyncTransport(Protocol):
    """A way to a server. Raises what `failure.CLIENT_ERRORS` lists."""

    def send(self, request: ServerRequest, *, timeout: float) -> Any:
        """The answer, read."""
        ...


class AsyncTransport(Protocol):
    """The same, awaited. Once it is `closed` it sends nothing any more, and what is under way fails somehow."""

    closed: bool

    async def send(self, request: ServerRequest, *, timeout: float) -> Any: ...

    async def aclose(self) -> None: ...


class GrpcTransport:
    """Over a plain channel that others close. `key` goes with every call."""

    def __init__(self, channel: grpc.Channel, key: Sequence[tuple[str, str]]) -> None:
        self._channel = channel
        self._key = tuple(key)
        self._methods: dict[str, grpc.UnaryUnaryMultiCallable[bytes, bytes]] = {}

    def send(self, request: ServerRequest, *, timeout: float) -> Any:
        """The answer, read."""
        if (method := self._methods.get(request.path)) is None:
            method = self._methods[request.path] = self._channel.unary_unary(request.path)
        try:
            answer = method(request.body, timeout=timeout, metadata=self._key)
        except grpc.RpcError as error:
            if (pause := _asked_to_wait(error)) is not None:
                raise pause from error
            raise
        return _read(request, answer)


class RestTransport:
    """Over a client that others close."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def send(self, request: ServerRequest, *, timeout: float) -> Any:
        """The answer, read."""
        try:
            with within(timeout):
                answer = self._client.send(_http_request(self._client, request, timeout))
        except httpx.HTTPError as error:
            raise ResponseHandlingException(error) from error
        return _read(request, _content(answer))


class AsyncGrpcTransport:
    """Over a channel of its own, which belongs to the event loop of the first request."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._key = tuple(key_of(settings))
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}
        self.closed = False

    async def send(self, request: ServerRequest, *, timeout: float) -> Any:
        """The answer, read."""
        if (method := self._methods.get(request.path)) is None:
            if self._channel is None:
                POLLING.begin()
                self._channel = plain_async_channel(self._settings)
            method = self._methods[request.path] = self._channel.unary_unary(request.path)
        try:
            async with asyncio.timeout(timeout + _GRACE):
                answer = await method(request.body, timeout=timeout, metadata=self._key)
        except TimeoutError as error:
            raise ResponseHandlingException(httpx.ReadTimeout("no answer in time")) from error
        except grpc.RpcError as error:
            if (pause := _asked_to_wait(error)) is not None:
                raise pause from error
            raise
        return _read(request, answer)

    async def aclose(self) -> None:
        """Close the channel."""
        self.closed = True
        self._methods.clear()
        if (channel := self._channel) is not None:
            self._channel = None
            await channel.close()


class ThreadedTransport:
    """A waiting transport, awaited: others wait for it, in threads. It closes nothing."""

    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport
        self.closed = False

    async def send(self, request: ServerRequest, *, timeout: float) -> Any:
        """The answer, read."""
        return await asyncio.to_thread(self._transport.send, request, timeout=timeout)

    async def aclose(self) -> None:
        """Send nothing any more."""
        self.closed = True


class AsyncRestTransport:
    """Over a client of its own, which belongs to the event loop of the first request."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self.closed = False

    async def send(self, request: ServerRequest, *, timeout: float) -> Any:
        """The answer, read."""
        if self._client is None:
            self._client = async_http_client(self._settings)
        try:
            # httpx's own limit is for each of its operations: an answer that trickles may have many.
            async with asyncio.timeout(timeout):
                answer = await self._client.send(_http_request(self._client, request, timeout))
        except TimeoutError as error:
            raise ResponseHandlingException(httpx.ReadTimeout("no answer in time")) from error
        except httpx.HTTPError as error:
            raise ResponseHandlingException(error) from error
        return _read(request, _content(answer))

    async def aclose(self) -> None:
        """Close the connections."""
        self.closed = True
        if (client := self._client) is not None:
            self._client = None
            await client.aclose()


def _asked_to_wait(error: Any) -> ResourceExhaustedResponse | None:
    """The error that qdrant-client makes of a server's retry-after; None without one."""
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return None
    pause = _seconds(str(dict(error.trailing_metadata() or ()).get("retry-after", "")))
    return None if pause is None else ResourceExhaustedResponse(error.details() or "", pause)


def _seconds(text: str) -> int | None:
    """Of a header; None if it says something else."""
    return int(text[:_DIGITS]) if text.isdecimal() else None


def _http_request(client: httpx.Client | httpx.AsyncClient, request: ServerRequest, timeout: float) -> httpx.Request:
    return client.build_request(
        "POST" if request.body else "GET", request.path, content=request.body, params=request.params, timeout=timeout
    )


def _content(answer: httpx.Response) -> bytes:
    """The body of a good answer; of others the errors that qdrant-client makes of them."""
    if answer.status_code == 200:
        return answer.content
    pause = _seconds(answer.headers.get("retry-after", ""))
    if answer.status_code == 429 and pause is not None:
        raise ResourceExhaustedResponse(answer.content.decode(errors="replace"), pause)
    raise UnexpectedResponse.for_response(answer)


def _read(request: ServerRequest, answer: bytes) -> Any:
    if not answer:  # every answer has the time that it took
        raise JunkAnswerError("its answer is empty")
    try:
        return request.read(answer)
    except TasbQdrantError:
        raise
    except (DecodeError, WrongAnswerError) as error:
        raise JunkAnswerError("its answer is not Qdrant's") from error
    except Exception as error:
        # Whose fault it is decides whether to ask again: a proxy's page may be gone the next time, a defect of our own
        # won't be.
        if raised_by_the_client(error) or not request.is_valid(answer):
            raise JunkAnswerError("its answer is not Qdrant's") from error
        raise UnreadableAnswerError(request.doing, error) from error
