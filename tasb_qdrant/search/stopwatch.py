"""Measures where the time of a call went, and gives the figures to its hits."""

from __future__ import annotations

import logging
import time
from typing import Any, Final, TypeVar

from tasb_qdrant.printable import logger
from tasb_qdrant.records.timings import Timings
from tasb_qdrant.search.hits import HitGroups, Hits
from tasb_qdrant.steps import EncodePassages, EncodeQueries, Requests, Step, Work

T = TypeVar("T")

log: Final = logger(__name__)


class Stopwatch:
    """The time of one call, from now on. `took` adds a step's seconds, which takes a microsecond."""

    __slots__ = ("_began", "_encode", "_store")

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._encode = self._store = 0.0

    def took(self, step: Step, began: float) -> None:
        """The step is done, which began then, by time.perf_counter."""
        seconds = time.perf_counter() - began
        if isinstance(step, Requests) or (isinstance(step, Work) and not step.encodes):
            self._store += seconds
        else:
            self._encode += seconds
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %.1f ms", _described(step), 1000 * seconds)

    def timed(self, result: T) -> T:
        """The result, whose hits know the timings from now on."""
        total = time.perf_counter() - self._began
        timings = Timings(self._encode, self._store, max(0.0, total - self._encode - self._store))
        _give(result, timings)
        return result


def _give(result: Any, timings: Timings) -> None:
    if isinstance(result, Hits | HitGroups):
        result.timings = timings
    elif isinstance(result, tuple | list):  # a page and where it ends, or the hits of a batch
        for part in result:
            if isinstance(part, Hits | HitGroups):
                part.timings = timings


def _described(step: Step) -> str:
    """With the texts: this is for DEBUG alone."""
    match step:
        case Requests(requests):
            return f"asked the collection ({', '.join(sorted({request.doing for request in requests}))})"
        case EncodeQueries(queries):
            return f"encoded {queries!r:.200}"
        case EncodePassages(texts):
            return f"encoded {len(texts)} passages"
        case Work(did=did):
            return did
