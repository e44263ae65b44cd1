"""How many requests may be under way at once: as many as the server can work on, and no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from tasb_qdrant.printable import logger

MOST: Final = 6
"""The most requests under way. On loopback three keep a server busy; a distant cluster takes more."""

FIRST: Final = 3
FEWEST: Final = 2
"""With one, the server would be idle while the next is built. A server that refuses requests gets one."""

_TOO_FEW_QUEUED: Final = 1.0
_TOO_MANY_QUEUED: Final = 3.0
"""Our requests that are queued in the server, as TCP Vegas estimates them: limit x (1 - best / this latency)."""

log: Final = logger(__name__)

_REMEMBERED: Final = 256
"""Answers after which the best latency is measured anew, with few requests under way: a growing collection
answers more slowly, and with many requests under way even the best latency includes a queue."""

_POLL_SECONDS: Final = 0.1


class Pace:
    """A limit that regulates itself. Several threads use it; `clock` is injectable for tests.

    It rises while answers come as quickly as the best ones, falls when they show that requests queue up, and is
    halved when the server refuses a request or says that its updates pile up.
    """

    def __init__(self, *, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(most)
        self._clock = clock
        self._limit = float(min(FIRST, most))
        self._under_way = 0
        self._best = 0.0
        self._answers = 0
        self._largest = 0
        self._latency = 0.0
        self._halved = -1e9
        self._free = threading.Condition()

    @property
    def limit(self) -> int:
        """Requests that may be under way now."""
        return int(self._limit)

    def enter(self, check: Callable[[], None]) -> float:
        """Wait until a request may be sent; the time now, for `leave`. `check` is called meanwhile, and may raise."""
        with self._free:
            while self._under_way >= self.limit:
                check()
                self._free.wait(_POLL_SECONDS)
            self._under_way += 1
        return self._clock()

    def leave(self, entered: float, size: int, *, answered: bool) -> None:
        """The request, of `size` bytes, has ended; `answered` if it succeeded at the first try."""
        seconds = self._clock() - entered
        with self._free:
            if answered and seconds > 0:
                self._learn(seconds, size)
            self._under_way -= 1
            self._free.notify_all()

    def refused(self) -> None:
        """The server failed or refused a request: halve the limit, once for all that are under way."""
        with self._free:
            now = self._clock()
            if now - self._halved >= max(1.0, self._latency):
                self._halved = now
                self._limit = max(1.0, self._limit / 2)
                log.info("the server is busy: at most %d requests at once now", self.limit)

    def queued(self, updates: int) -> None:
        """The server's count of updates that it has accepted and not yet applied, other clients' included."""
        if updates > 2 * self._most:
            self.refused()

    def _learn(self, seconds: float, size: int) -> None:
        self._largest = max(self._largest, size)
        if 2 * size < self._largest:  # the last of a source, which says more about the network than the server
            return
        cost = seconds / size
        self._latency = seconds
        self._best = min(cost, self._best or cost)
        self._answers += 1
        queued = self._limit * (1 - self._best / cost)
        if self._answers == _REMEMBERED:
            self._answers, self._best = 0, 0.0
            self._limit = min(self._limit, FEWEST)
        elif queued < _TOO_FEW_QUEUED:
            if self._under_way >= self.limit:  # else it isn't this limit that slows things down
                self._limit = min(self._most, self._limit + 1 / self._limit)
        elif queued > _TOO_MANY_QUEUED:
            self._limit = max(min(self._limit, FEWEST), self._limit - 1 / self._limit)
