"""Encoding for calls that have a deadline: nothing stops a model that computes, but nobody has to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tasb_qdrant.steps import Deadline

T = TypeVar("T")

MOST: Final = 86_400.0
"""Seconds: as long as a deadline may be away."""

BUSY: Final = "the encoder did not come to it, or to its end"


class EncodingThread:
    """A model's work, waited for until the deadline of the call. There is one thread for it: what waits there is begun
    in order, and what is not begun by its deadline never is. A call without a deadline does its work in its own thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[], T], deadline: Deadline) -> T:
        """What `work` returns. Raises SearchTimeoutError at the deadline; work that has begun then goes on."""
        if deadline.until is None:
            return work()
        future = self._threads().submit(work)
        try:
            return future.result(deadline.left(MOST))
        except TimeoutError:
            if future.done():  # in time, with an error of this kind
                raise
            future.cancel()
            raise deadline.missed(BUSY) from None

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="encode")
            return self._pool

    def close(self) -> None:
        """Begin nothing any more. What has begun ends by itself."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
