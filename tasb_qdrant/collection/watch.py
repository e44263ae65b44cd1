"""Which requests are being waited for, in words, for other threads to show."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

SLOW_SECONDS: Final = 10.0
"""An answer that takes longer is reported as being waited for. Most come within 0.1 s."""


SLOW_READ_SECONDS: Final = 1.0
"""A read that takes longer is logged as slow. Most take some milliseconds."""


def log_answer(log: logging.Logger, doing: str, seconds: float, *, slow: float = SLOW_SECONDS) -> None:
    """Log how long an answer took: a warning where it was slow, else for debugging."""
    if seconds >= slow:
        log.warning("slow: %s took %.1f s", doing, seconds)
    else:
        log.debug("%s took %.1f ms", doing, 1000 * seconds)


@dataclass(slots=True)
class Request:
    """A request, which may take several tries. `reason` is why the last of them failed, until the next begins."""

    doing: str
    began: float
    tries: int = 1
    reason: str = ""
    until: float = 0.0


class Watch:
    """The requests under way. `failures` counts those that are retried, and `on_failure` is called at each."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._requests: dict[int, Request] = {}
        self._lock = threading.Lock()
        self.failures = 0
        self.on_failure: Callable[[], None] | None = None

    @contextmanager
    def request(self, doing: str) -> Iterator[Request]:
        """A request is under way, and ends with the block."""
        request = Request(doing, self._clock())
        with self._lock:
            self._requests[id(request)] = request
        try:
            yield request
        finally:
            with self._lock:
                del self._requests[id(request)]

    def failed(self, request: Request, reason: str, seconds: float) -> None:
        """A try failed, and the next one begins in `seconds`."""
        request.until = self._clock() + seconds
        request.reason = reason
        with self._lock:
            self.failures += 1
        if self.on_failure is not None:
            self.on_failure()

    def again(self, request: Request) -> None:
        """The next try begins."""
        request.tries += 1
        request.reason = ""
        request.began = self._clock()

    def waiting_for(self) -> str:
        """What is holding things up, or an empty string: failures being retried, else slow answers."""
        with self._lock:
            requests = list(self._requests.values())
        now = self._clock()
        if failing := [request for request in requests if request.reason]:
            worst = max(failing, key=lambda request: request.tries)
            tries = "1 try" if worst.tries == 1 else f"{worst.tries} tries"
            return f"the server: {worst.reason}; trying again in {max(0.0, worst.until - now):.0f} s ({tries})"
        longest = max((now - request.began for request in requests), default=0.0)
        if longest < SLOW_SECONDS:
            return ""
        slow = max(requests, key=lambda request: now - request.began)
        again = f", try {slow.tries}" if slow.tries > 1 else ""
        return f"the server's answer for {longest:.0f} s ({slow.doing}{again})"
