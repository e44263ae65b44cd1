"""What a server's failure means, and what to do about it: wait and try again, or say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import grpc
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from tasb_qdrant.errors import (
    CollectionError,
    RequestRefusedError,
    ServerBusyError,
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
}
_TRANSIENT_HTTP = {408, 429, 500, 502, 503, 504}
_HTTP_OF_GRPC = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}

CLIENT_ERRORS: Final = (
    grpc.RpcError,
    UnexpectedResponse,
    ResponseHandlingException,
    QdrantException,
    httpx.HTTPError,
)
"""Everything that qdrant-client raises when a request fails."""


def is_transient(error: BaseException) -> bool:
    """Whether the same request, with the same ids, may succeed a little later."""
    if isinstance(error, grpc.RpcError):
        return _grpc_code(error) in _TRANSIENT_GRPC
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _TRANSIENT_HTTP
    # A QdrantException is a 429 (with a retry-after that may be junk), the others failed on the wire.
    return isinstance(error, ResponseHandlingException | QdrantException | httpx.TransportError)


def named_error(error: BaseException, *, location: str, doing: str) -> CollectionError:
    """The error of ours that this one of qdrant-client's means. The key is in none of its texts."""
    status, detail = _status(error), _detail(error)
    where = f"{location}, {doing}"
    if status in (401, 403):
        return UnauthorizedError(
            f"{where}: the server refused the key or wants one ({detail}); set QDRANT_API_KEY, or --api-key-file"
        )
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return RequestRefusedError(f"{where}: the server refused the request: {detail}")
    if status is None and _is_connect_failure(error):
        return ServerUnreachableError(f"{where}: nothing answers there ({detail}); start the server, or correct --url")
    if "No space left on device" in detail:
        return ServerBusyError(f"{where}: the server's disk is full; free some space, and run the same again")
    return ServerBusyError(f"{where}: the server failed for as long as was retried ({detail}); run the same again")


def call(
    request: Callable[[], T],
    *,
    location: str,
    doing: str,
    retry_seconds: float,
    sleep: Callable[[float], None],
) -> T:
    """What `request` returns; failures that may pass are retried for up to `retry_seconds`.

    Waits are exponential with full jitter, or as long as the server asked for. `doing` stands in the
    error that says what was going on. Raises CollectionError.
    """
    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        wait=_wait,
        stop=stop_after_delay(retry_seconds),
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(request)
    except CLIENT_ERRORS as error:
        raise named_error(error, location=location, doing=doing) from error


_backoff = wait_random_exponential(multiplier=0.2, max=MAX_WAIT)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, ResourceExhaustedResponse):
        return min(max(float(error.retry_after_s), _backoff(state)), MAX_WAIT)
    return _backoff(state)


def _grpc_code(error: grpc.RpcError) -> grpc.StatusCode | None:
    # The errors of a channel are grpc.Call too, which the base class doesn't say.
    return error.code() if hasattr(error, "code") else None


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


def _is_connect_failure(error: BaseException) -> bool:
    if isinstance(error, grpc.RpcError):
        return _grpc_code(error) is grpc.StatusCode.UNAVAILABLE
    source = error.source if isinstance(error, ResponseHandlingException) else error
    return isinstance(source, httpx.ConnectError | httpx.ConnectTimeout)


def _detail(error: BaseException) -> str:
    if isinstance(error, grpc.RpcError) and hasattr(error, "details"):
        text = error.details() or str(_grpc_code(error))
    elif isinstance(error, UnexpectedResponse):
        text = f"{error.status_code} {error.content.decode('utf-8', 'replace')}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())[:500]
