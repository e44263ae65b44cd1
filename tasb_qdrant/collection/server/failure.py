"""What a server's failure means: wait and try again, split, or say it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import grpc
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tasb_qdrant.collection.server.bounded import AnswerTooLargeError
from tasb_qdrant.errors import (
    CollectionError,
    RequestRefusedError,
    ServerBusyError,
    ServerOverloadedError,
    ServerUnreachableError,
    UnauthorizedError,
)

T = TypeVar("T")

_TRANSIENT_GRPC = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION,  # a locked storage, or a shard that is being moved
    grpc.StatusCode.CANCELLED,  # these two come from proxies that lose the server in the middle of an answer
    grpc.StatusCode.UNKNOWN,
}
_TRANSIENT_HTTP = {408, 412, 429, 500, 502, 503, 504, 507}
_QUOTA: Final = ("max_resident_memory_percent", "max_disk_usage_percent")
"""The settings that a server names when its memory or disk has reached a limit (a quota from 1.19 on; strict mode had
the first in 1.18), with HTTP's 507, gRPC's RESOURCE_EXHAUSTED, or strict mode's 400. It passes once there is room."""
_QUOTA_STATUSES: Final = {400, 429, 507}
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


class NotVisibleError(UnconfirmedError):
    """The server has the write in its log, and did not wait until reads show it."""


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


def sensible(request: Callable[[], T]) -> Callable[[], T]:
    """`request`, but that an answer which qdrant-client can't make sense of is a JunkAnswerError: the client has no
    error of its own for it, and raises a plain ValueError, or whatever its conversions run into."""

    def ask() -> T:
        try:
            return request()
        except Exception as error:
            if isinstance(error, CLIENT_ERRORS) or not raised_by_the_client(error):
                raise
            raise JunkAnswerError("its answer is not Qdrant's") from error

    return ask


def raised_by_the_client(error: BaseException) -> bool:
    """Whether qdrant-client's own code raised it, or that of its messages."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
    return module.startswith(("qdrant_client.", "google.protobuf."))


def is_transient(error: BaseException) -> bool:
    """Whether the same request, with the same ids, may succeed a little later."""
    if wants_split(error):
        return False
    if _is_locked(error) or _is_quota(error):
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
    """Whether it is transient, and a server said so itself: there is something to wait for."""
    return is_transient(error) and isinstance(error, UnexpectedResponse | QdrantException)


def wants_split(error: BaseException) -> bool:
    """Whether a smaller request would do. Qdrant's rate limiter then sends no retry-after, but such a text."""
    status = _status(error)
    return status == 413 or any(words in detail_of(error) for words in _TOO_LARGE.get(status or 0, ()))


def named_error(error: BaseException, *, location: str, doing: str, tried: str = "") -> CollectionError:
    """Our error for this one of qdrant-client's. None of its texts contains the key.

    `tried` says how often and for how long.
    """
    status, detail = _status(error), detail_of(error)
    where = f"{location}, {doing}"
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, AnswerTooLargeError):
        return CollectionError(
            f"{where}: the server's answer is not taken: {source}; ask for less at once, or look what answers at --url"
        )
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
    if _is_quota(error):
        return ServerBusyError(
            f"{where}: the server has reached its quota of memory or disk, and takes nothing that needs more "
            f"({f'{tried}, the last: ' if tried else ''}{detail}); free some there, or have the quota raised, and run "
            "the same again"
        )
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return ServerUnreachableError(f"{where}: no secure connection ({detail}); {_tls_remedy(detail)}")
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


def _tls_remedy(detail: str) -> str:
    said = detail.lower()
    if "certificate verify failed" in said:
        return "name the certificate of the authority that made the server's with --ca-file (or $SSL_CERT_FILE)"
    if "certificate required" in said or "bad certificate" in said or "unknown ca" in said:
        return "the server wants a certificate of the client's that it trusts: give --client-cert and --client-key"
    return "correct https:// or http:// in --url, or the certificate"


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
    """The HTTP status, or its equivalent in gRPC; None if no answer came."""
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


def _is_quota(error: BaseException) -> bool:
    status = _status(error)
    if status == 507 or (status in _QUOTA_STATUSES and any(words in detail_of(error) for words in _QUOTA)):
        return True
    # Over gRPC its status is that of a rate limit, from which a marker in the metadata tells it.
    metadata = error.trailing_metadata() if status == 429 and hasattr(error, "trailing_metadata") else None
    return any(word in str(key) for key, _ in metadata or () for word in ("quota", "storage"))


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


def reason_of(error: BaseException) -> str:
    """What failed, without a server's own words, which may quote what it was sent: for logs."""
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if timed_out(error):
        return "no answer in time"
    if _is_connect_failure(error):
        return "no connection"
    if isinstance(source, UnexpectedResponse):
        return f"HTTP status {source.status_code}"
    if isinstance(source, QdrantException):
        return "rate limited"
    if isinstance(source, grpc.RpcError):
        return f"gRPC status {getattr(_grpc_code(source), 'name', 'unknown')}"
    if isinstance(source, UnconfirmedError):
        return "the write was not confirmed"
    return type(source).__name__


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
