"""The caller's patience, over encoding and every read of one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tasb_qdrant.collection.reads.questions import ReadOptions
from tasb_qdrant.errors import SearchTimeoutError


class Deadline:
    """Began when it was made; `read.timeout` seconds long, or without an end."""

    def __init__(self, read: ReadOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._end = None if read.timeout is None else clock() + read.timeout

    def left(self) -> ReadOptions:
        """The options with the seconds that are left. Raises SearchTimeoutError when none are."""
        if self._end is None:
            return self._read
        seconds = self._end - self._clock()
        if seconds <= 0:
            raise SearchTimeoutError(
                f"no answer within the timeout of {self._read.timeout:g} s: it was over before the store was asked; "
                "allow more time",
                timeout=self._read.timeout or 0.0,
            )
        return replace(self._read, timeout=seconds)
