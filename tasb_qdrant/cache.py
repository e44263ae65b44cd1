"""A cache of answers: to queries, if the caller wants that, and to questions of our own."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, overload

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings import check_whole_number

V = TypeVar("V")
D = TypeVar("D")

TTL: Final = 300.0


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """How often the cache had an answer, how often not, and how many it holds now."""

    hits: int
    misses: int
    size: int


class Cache(Generic[V]):
    """The `size` answers last used, none older than `ttl` seconds. Safe to use from several threads.

    Of size 0 it holds nothing, and counts nothing.
    """

    def __init__(self, size: int = 0, *, ttl: float = TTL, clock: Callable[[], float] = time.monotonic) -> None:
        check_whole_number("cache_size", size)
        if not ttl > 0:
            raise SettingsError(f"cache_ttl must be more than 0 seconds, got {ttl!r}")
        self._size, self._ttl, self._clock = size, ttl, clock
        self.on: Final = size > 0
        """Whether it ever holds anything."""
        self._answers: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    @overload
    def get(self, key: Hashable) -> V | None: ...

    @overload
    def get(self, key: Hashable, default: D) -> V | D: ...

    def get(self, key: Hashable, default: D | None = None) -> V | D | None:
        """The answer, or the default where there is none, or none that is recent enough."""
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
        """Keep the answer; the least recently used one makes room."""
        if not self.on:
            return
        with self._lock:
            self._answers[key] = (self._clock(), answer)
            self._answers.move_to_end(key)
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)

    def clear(self) -> None:
        """Forget every answer."""
        with self._lock:
            self._answers.clear()

    def info(self) -> CacheInfo:
        """The counts so far."""
        with self._lock:
            return CacheInfo(self._hits, self._misses, len(self._answers))
