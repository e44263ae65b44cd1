"""A small LRU cache with a time to live: for query results, if the caller wants that, and for our own lookups."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, overload

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings import check_whole_number, checks

V = TypeVar("V")
D = TypeVar("D")

TTL: Final = 300.0


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """Hits and misses so far, and the number of entries now."""

    hits: int
    misses: int
    size: int


def _checked_ttl(ttl: float) -> float:
    """Seconds; for ever may be asked for. Raises SettingsError."""
    if ttl == math.inf:
        return ttl
    if found := checks.number("cache_ttl", ttl, "must be more than 0 seconds", least=0):
        return found
    raise SettingsError(f"cache_ttl must be more than 0 seconds, got {ttl!r}")


class Cache(Generic[V]):
    """The `size` most recently used answers, none older than `ttl` seconds. Safe to use from several threads.

    With size 0 it stores nothing and counts nothing.
    """

    def __init__(self, size: int = 0, *, ttl: float = TTL, clock: Callable[[], float] = time.monotonic) -> None:
        size = check_whole_number("cache_size", size)
        self._size, self._ttl, self._clock = size, _checked_ttl(ttl), clock
        self.on: Final = size > 0
        """Whether it stores anything at all."""
        self._answers: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    @overload
    def get(self, key: Hashable) -> V | None: ...

    @overload
    def get(self, key: Hashable, default: D) -> V | D: ...

    def get(self, key: Hashable, default: D | None = None) -> V | D | None:
        """The answer, or the default if there is none that is recent enough."""
        with self._lock:
            kept = self._answers.get(key)
            if kept is None or self._clock() - kept[0] > self._ttl:
                self._answers.pop(key, None)
                self._misses += self.on
                return default
            self._answers.move_to_end(key)
            self._hits += 1
            return kept[1]

    def put(self, key: Hashable, answer: V) -> None:
        """Store the answer, evicting the least recently used one if the cache is full."""
        if not self.on:
            return
        with self._lock:
            self._answers[key] = (self._clock(), answer)
            self._answers.move_to_end(key)
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)

    def like(self) -> Cache[V]:
        """An empty one of the same size."""
        return Cache(self._size, ttl=self._ttl, clock=self._clock)

    def clear(self) -> None:
        """Drop every answer."""
        with self._lock:
            self._answers.clear()

    def info(self) -> CacheInfo:
        """The current counts."""
        with self._lock:
            return CacheInfo(self._hits, self._misses, len(self._answers))
