"""What a server's failure means, and what to do about it: wait and try again, split, or say it."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

import grpc
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from tasb_qdrant.collection.watch import Request, Watch
from tasb_qdrant.errors import (
    CollectionError,
    RequestRefusedError,
    ServerBusyError,
    ServerOverloadedError,
    ServerUnreachableError,
    UnauthorizedError,
)

T = TypeVar("T")

MAX_WAIT: Final = 30.0
"""Seconds; a server that asks for a longer pause is asked again after this one."""

_TRANSIENT_GRPC = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION,  # a locked storage, or a shard that is being moved
    grpc.StatusCode.CANCELLED,  # these two come from proxies that lose the server amid an answer
    grpc.StatusCode.UNKNOWN,
}
_TRANSIENT_HTTP = {408, 412, 429, 500, 502, 503, 504}
_TOO_LARGE: Final[dict[int, tuple[str, ...]]] = {
    400: ("larger than allowed", "upsert limit", "message length too large"),
    429: ("split your request", "larger than max"),
}
"""What a server, or a proxy before it, says of a request that it never takes at this size, by status: its limit
of JSON, strict mode's of points, gRPC's of a message, the rate limiter's, and again gRPC's."""
_HTTP_OF_GRPC = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}


class UnconfirmedError(Exception):
    """The server took a write without saying `completed`: the same write, with the same ids, is due again."""


class JunkAnswerError(Exception):
    """The answer to a read lacks what Qdrant's have: it comes from a proxy, or is cut short."""


class RequestTooLargeError(RequestRefusedError):
    """No waiting helps, but the halves of the request may be taken."""


CLIENT_ERRORS: Final = (
    grpc.RpcError,
    UnexpectedResponse,
    ResponseHandlingException,
    QdrantException,
    json.JSONDecodeError,  # an answer with status 200 that isn't JSON
    UnicodeDecodeError,
    ValidationError,  # an answer over gRPC that lacks what Qdrant's have
    AssertionError,  # an answer over REST that lacks it: the client asserts that there is a result
    UnconfirmedError,
    JunkAnswerError,
)
"""Everything that a failed request raises."""


def is_transient(error: BaseException) -> bool:
    """Whether the same request, with the same ids, may succeed a little later."""
    if wants_split(error):
        return False
    if _is_locked(error):
        return True
    if isinstance(error, grpc.RpcError):
        return _grpc_code(error) in _TRANSIENT_GRPC
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _TRANSIENT_HTTP
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.TransportError | httpx.DecodingError | ValidationError)
    # A QdrantException is a 429 (with a retry-after that may be junk); an answer that isn't JSON comes
    # from a proxy whose server is away.
    junk = ValidationError | AssertionError | json.JSONDecodeError | UnicodeDecodeError
    return isinstance(error, QdrantException | UnconfirmedError | JunkAnswerError | junk)


def was_answered(error: BaseException) -> bool:
    """Whether it is transient, and a server said so itself: there is somebody to wait for."""
    return is_transient(error) and isinstance(error, UnexpectedResponse | QdrantException)


def wants_split(error: BaseException) -> bool:
    """Whether a smaller request would do. Qdrant's rate limiter then sends no retry-after, but such a text."""
    status = _status(error)
    return status == 413 or any(words in detail_of(error) for words in _TOO_LARGE.get(status or 0, ()))


def named_error(error: BaseException, *, location: str, doing: str, tried: str = "") -> CollectionError:
    """The error of ours that this one of qdrant-client's means. The key is in none of its texts.

    `tried` says how often and for how long.
    """
    status, detail = _status(error), detail_of(error)
    where = f"{location}, {doing}"
    if wants_split(error):
        return RequestTooLargeError(f"{where}: the server never takes a request that large: {detail}")
    if _is_locked(error):
        return ServerBusyError(f"{where}: the server's storage is locked ({detail}); unlock it, and run the same again")
    if status in (401, 403):
        return UnauthorizedError(
            f"{where}: the server refused the key or wants one ({detail}); set QDRANT_API_KEY, or --api-key-file"
        )
    if "No space left on device" in detail:
        return ServerBusyError(f"{where}: the server's disk is full; free some space, and run the same again")
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return ServerUnreachableError(
            f"{where}: no secure connection ({detail}); correct https:// or http:// in --url, or the certificate"
        )
    last = f"{tried}, the last: {detail}" if tried else detail
    if _is_connect_failure(error):
        return ServerUnreachableError(f"{where}: nothing answers there ({last}); start the server, or correct --url")
    if status in (429, 503):
        return ServerOverloadedError(
            f"{where}: the server failed for as long as was retried ({last}): it has too much to do; ask for less at "
            "once, or run the same again later"
        )
    if is_transient(error):
        return ServerBusyError(f"{where}: the server failed for as long as was retried ({last}); run the same again")
    return RequestRefusedError(f"{where}: the server refused the request: {detail}")


def call(
    request: Callable[[], T],
    *,
    location: str,
    doing: str,
    retry_seconds: float,
    sleep: Callable[[float], None],
    retry_if: Callable[[BaseException], bool] = is_transient,
    watch: Watch | None = None,
    name: Callable[..., CollectionError] = named_error,
) -> T:
    """What `request` returns; failures that may pass are retried for up to `retry_seconds`.

    Waits are exponential with full jitter, or as long as the server asked for; the last try begins within
    `retry_seconds`, so that all ends within these and one request's own time limit. `doing` stands in the
    error that says what was going on, and what is waited for is in `watch`. Raises CollectionError, as `name`
    makes it, and what `sleep` raises to end the waiting.
    """
    watch = watch or Watch()
    with watch.request(doing) as watched:
        began = time.monotonic()

        def rest(seconds: float) -> None:
            sleep(seconds)
            watch.again(watched)

        failed: BaseException | None = None

        def attempt() -> T:
            nonlocal failed
            if failed is not None:
                error, failed = failed, None
                raise error
            return request()

        try:
            # Nearly every first try succeeds, and needs no policy: 40 µs.
            try:
                return request()
            except CLIENT_ERRORS as error:
                failed = error
            return Retrying(sleep=rest, **_policy(watch, watched, began + retry_seconds, retry_if))(attempt)
        except CLIENT_ERRORS as error:
            tried = _tried(watched, time.monotonic() - began)
            raise name(error, location=location, doing=doing, tried=tried) from error


async def call_async(
    request: Callable[[], Awaitable[T]],
    *,
    location: str,
    doing: str,
    retry_seconds: float,
    sleep: Callable[[float], Awaitable[None]],
    retry_if: Callable[[BaseException], bool] = is_transient,
    watch: Watch | None = None,
    name: Callable[..., CollectionError] = named_error,
) -> T:
    """The same, awaited."""
    watch = watch or Watch()
    with watch.request(doing) as watched:
        began = time.monotonic()

        async def rest(seconds: float) -> None:
            await sleep(seconds)
            watch.again(watched)

        failed: BaseException | None = None

        async def attempt() -> T:
            nonlocal failed
            if failed is not None:
                error, failed = failed, None
                raise error
            return await request()

        try:
            # Nearly every first try succeeds, and needs no policy.
            try:
                return await request()
            except CLIENT_ERRORS as error:
                failed = error
            return await AsyncRetrying(sleep=rest, **_policy(watch, watched, began + retry_seconds, retry_if))(attempt)
        except CLIENT_ERRORS as error:
            tried = _tried(watched, time.monotonic() - began)
            raise name(error, location=location, doing=doing, tried=tried) from error


def _policy(watch: Watch, watched: Request, until: float, retry_if: Callable[[BaseException], bool]) -> dict[str, Any]:
    """Which failures are retried, until when by time.monotonic, and who is told: tenacity's options."""
    left = until - time.monotonic()

    def out_of_time(state: RetryCallState) -> bool:
        # idle_for counts the waits even where `sleep` is a test's.
        spent = max(state.seconds_since_start or 0.0, state.idle_for)
        return spent + state.upcoming_sleep >= left

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        watch.failed(watched, detail_of(error) if error is not None else "", state.upcoming_sleep)

    return {
        "retry": retry_if_exception(retry_if),
        "wait": _wait,
        "stop": out_of_time,
        "before_sleep": tell,
        "reraise": True,
    }


def _tried(request: Request, seconds: float) -> str:
    return "" if request.tries == 1 else f"{request.tries} tries in {seconds:.0f} s"


_backoff = wait_random_exponential(multiplier=0.2, max=MAX_WAIT)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, ResourceExhaustedResponse):
        return min(max(float(error.retry_after_s), _backoff(state)), MAX_WAIT)
    return _backoff(state)


def _grpc_code(error: grpc.RpcError) -> grpc.StatusCode | None:
    # The errors of a channel are grpc.Call too, which the base class doesn't say.
    return error.code() if hasattr(error, "code") else None


def timed_out(error: BaseException) -> bool:
    """Whether no answer came in time, or the server said that it would not."""
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, grpc.RpcError):
        return _grpc_code(source) is grpc.StatusCode.DEADLINE_EXCEEDED
    is_late = isinstance(source, httpx.TimeoutException) and not isinstance(source, httpx.ConnectTimeout)
    return is_late or _status(source) == 408


def _status(error: BaseException) -> int | None:
    """The HTTP status, or its equal in gRPC; None where no answer came."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    if isinstance(error, QdrantException):
        return 429
    if isinstance(error, grpc.RpcError):
        code = _grpc_code(error)
        return _HTTP_OF_GRPC.get(code) if code is not None else None
    return None


def _is_locked(error: BaseException) -> bool:
    """A storage that an operator locked is forbidden to all, as it is to a key without rights."""
    return _status(error) == 403 and "locked" in detail_of(error).lower()


def _is_connect_failure(error: BaseException) -> bool:
    if isinstance(error, grpc.RpcError):
        return _grpc_code(error) is grpc.StatusCode.UNAVAILABLE
    source = error.source if isinstance(error, ResponseHandlingException) else error
    return isinstance(source, httpx.ConnectError | httpx.ConnectTimeout)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was made from."""
    seen: BaseException | None = error.source if isinstance(error, ResponseHandlingException) else error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def detail_of(error: BaseException) -> str:
    """What the server or the wire said, on one line."""
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, grpc.RpcError) and hasattr(source, "details"):
        text = source.details() or str(_grpc_code(source))
    elif isinstance(source, UnexpectedResponse):
        text = f"{source.status_code} {source.content.decode('utf-8', 'replace')}"
    elif isinstance(source, ValueError | AssertionError):  # pydantic's or the decoder's, either of them pages long
        text = "its answer is not Qdrant's"
    elif isinstance(source, QdrantException):  # "Resource Exhausted Response" is the client's word, where there is none
        text = f"429 rate limited: {source}".removesuffix(": Resource Exhausted Response")
    elif isinstance(source, httpx.TimeoutException):
        text = "no answer in time"
    else:
        text = str(source) or type(source).__name__
    return " ".join(text.split())[:500]
