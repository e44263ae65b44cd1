"""Trying a request again, while its failure may pass."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from tasb_qdrant.collection.server.failure import (
    CLIENT_ERRORS,
    detail_of,
    is_transient,
    named_error,
    reason_of,
    timed_out,
)
from tasb_qdrant.collection.server.key import without_frames
from tasb_qdrant.collection.watch import SLOW_SECONDS, Request, Watch, log_answer
from tasb_qdrant.errors import CollectionError
from tasb_qdrant.printable import logger

T = TypeVar("T")

log: Final = logger(__name__)

MAX_WAIT: Final = 30.0
"""Seconds; a server that wants a longer pause is tried again after this one."""


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
    slow: float = SLOW_SECONDS,
) -> T:
    """What `request` returns; failures that may pass are retried for up to `retry_seconds`.

    Waits are exponential with full jitter, or as long as the server asked for; the last try begins within
    `retry_seconds`, so that all ends within these and one request's own time limit. `doing` says in the
    error what was going on, and `watch` what is being waited for. Answers that take `slow` seconds are logged as such.
    Raises CollectionError, as `name` makes it, and what `sleep` raises to end the waiting.
    """
    watch = watch or Watch()
    with watch.request(doing) as watched:
        tries = _Tries(watch, watched, f"{location}, {doing}", retry_seconds, retry_if, slow)

        def rest(seconds: float) -> None:
            sleep(seconds)
            tries.again()

        def attempt() -> T:
            tries.raise_first()
            return tries.answered(request())

        try:
            # Nearly every first try succeeds, and needs no policy: 40 µs.
            try:
                return tries.answered(request())
            except CLIENT_ERRORS as error:
                tries.first = error
            return Retrying(sleep=rest, **tries.policy())(attempt)
        except CLIENT_ERRORS as error:
            raise name(tries.telling(error), location=location, doing=doing, tried=tries.summary()) from without_frames(
                error
            )


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
    slow: float = SLOW_SECONDS,
) -> T:
    """The same, awaited."""
    watch = watch or Watch()
    with watch.request(doing) as watched:
        tries = _Tries(watch, watched, f"{location}, {doing}", retry_seconds, retry_if, slow)

        async def rest(seconds: float) -> None:
            await sleep(seconds)
            tries.again()

        async def attempt() -> T:
            tries.raise_first()
            return tries.answered(await request())

        try:
            try:
                return tries.answered(await request())
            except CLIENT_ERRORS as error:
                tries.first = error
            return await AsyncRetrying(sleep=rest, **tries.policy())(attempt)
        except CLIENT_ERRORS as error:
            raise name(tries.telling(error), location=location, doing=doing, tried=tries.summary()) from without_frames(
                error
            )


class _Tries:
    """The tries of one request. `first` is why the first of them failed, until the policy has heard of it."""

    def __init__(
        self,
        watch: Watch,
        watched: Request,
        doing: str,
        retry_seconds: float,
        retry_if: Callable[[BaseException], bool],
        slow: float,
    ) -> None:
        self._watch = watch
        self._watched = watched
        self._doing = doing
        self._slow = slow
        self._retry_if = retry_if
        self._began = self._try_began = time.monotonic()
        self._until = self._began + retry_seconds
        self._failures: list[BaseException] = []
        self.first: BaseException | None = None

    def policy(self) -> dict[str, Any]:
        """Which failures are retried, until when, and who is told: tenacity's options."""
        left = self._until - time.monotonic()

        def out_of_time(state: RetryCallState) -> bool:
            # idle_for counts the waits even where `sleep` is a test's.
            spent = max(state.seconds_since_start or 0.0, state.idle_for)
            return spent + state.upcoming_sleep >= left

        return {
            "retry": retry_if_exception(self._retry_if),
            "wait": _wait,
            "stop": out_of_time,
            "before_sleep": self._tell,
            "reraise": True,
        }

    def raise_first(self) -> None:
        if self.first is not None:
            error, self.first = self.first, None
            raise error

    def again(self) -> None:
        self._watch.again(self._watched)
        self._try_began = time.monotonic()

    def answered(self, answer: T) -> T:
        """The answer, once it is logged how long it took."""
        now = time.monotonic()
        log_answer(log, self._doing, now - self._try_began, slow=self._slow)
        if self._watched.tries > 1:
            log.info("%s: answered at try %d, after %.1f s", self._doing, self._watched.tries, now - self._began)
        return answer

    def telling(self, last: BaseException) -> BaseException:
        """The failure to name: the last one, unless it merely had no time left and another said more."""
        others = [error for error in self._failures if not timed_out(error)]
        return others[-1] if others and timed_out(last) else last

    def summary(self) -> str:
        """How many tries, and for how long; "" for one."""
        if self._watched.tries == 1:
            return ""
        return f"{self._watched.tries} tries in {time.monotonic() - self._began:.0f} s"

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None:
            self._failures.append(error)
            log.warning(
                "%s: %s; trying again in %.1f s (try %d failed)",
                self._doing,
                reason_of(error),
                state.upcoming_sleep,
                self._watched.tries,
            )
            log.debug("%s: it said: %s", self._doing, detail_of(error))
        self._watch.failed(self._watched, detail_of(error) if error is not None else "", state.upcoming_sleep)


_backoff = wait_random_exponential(multiplier=0.2, max=MAX_WAIT)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, ResourceExhaustedResponse):
        return min(max(error.retry_after_s, _backoff(state)), MAX_WAIT)
    return _backoff(state)
