"""Trying a request again, while its failure may pass."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from tasb_qdrant.collection.failure import CLIENT_ERRORS, detail_of, is_transient, named_error
from tasb_qdrant.collection.watch import Request, Watch
from tasb_qdrant.errors import CollectionError

T = TypeVar("T")

MAX_WAIT: Final = 30.0
"""Seconds; a server that asks for a longer pause is asked again after this one."""


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
