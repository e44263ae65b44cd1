"""How many threads a small batch, such as a single query, gets: all, or fewer while they would wait for one another.

Threads that share a product all wait for the last of them. While another process keeps the core of one of them busy,
each such wait takes as long as that process's turn, and a forward pass has dozens. So a batch that has taken as long as
it would on a single thread goes on with one, and the next batches get half as many threads, until more are tried again.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch

from tasb_qdrant.encoder.forward.packing import FEW, TILE

SAMPLES: Final = 3
"""The first batches of a size get a single thread, which shows how long that takes."""

KEPT_SAMPLES: Final = 8
"""The fastest of the last batches on a single thread is the measure: the machine may become slower."""

LEAST_PATIENCE: Final = 4
MOST_PATIENCE: Final = 64
"""How many batches get fewer threads before more are tried. A trial that fails takes one or two waits longer than a
batch on a single thread, so it is to be seen in the 99th percentile at most."""

SetThreads = Callable[[int], object]


def openmp_setter() -> SetThreads | None:
    """Sets how many threads the products of the calling thread get; None if torch's don't obey it.

    Not torch.set_num_threads: whichever thread used torch for the first time meanwhile would get the same number, and
    keep it.
    """
    try:
        # PyDLL, because CDLL would give up the interpreter's lock, for which others may be waiting.
        setter: SetThreads = ctypes.PyDLL(None).omp_set_num_threads
    except (AttributeError, OSError, TypeError):  # another OpenMP, or Windows
        return None
    threads = torch.get_num_threads()
    setter(threads + 1)
    obeyed = torch.get_num_threads() == threads + 1
    setter(threads)
    return setter if obeyed else None


class ThreadCount:
    """The number of threads of one batch after another. Not safe to call from several threads at once.

    `threads` and `set_threads` are for the calling thread. With `set_threads` None, every batch gets all.
    """

    def __init__(
        self,
        set_threads: SetThreads | None,
        *,
        threads: Callable[[], int] = torch.get_num_threads,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._set, self._threads, self._clock = set_threads, threads, clock
        self._alone: defaultdict[int, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT_SAMPLES))
        self._deadline = math.inf
        self._late = False
        self._halvings = 0
        self._patience = LEAST_PATIENCE
        self._left = 0

    @contextmanager
    def suited(self, rows: int) -> Iterator[None]:
        """Within it, a batch of `rows` rows gets the number that suits it. After it, the number is what it was."""
        every = self._threads()
        if self._set is None or every == 1 or rows > FEW:
            yield
            return
        # By tiles: with AMX, all rows of a tile take the time of one.
        alone = self._alone[-(-rows // TILE)]
        known = len(alone) >= SAMPLES
        trial = known and self._halvings > 0 and self._left == 0
        threads = max(1, every >> (self._halvings - trial)) if known else 1
        start = self._clock()
        self._deadline, self._late = start + min(alone) if threads > 1 else math.inf, False
        try:
            self._set(threads)
            yield
            self.look()
            if threads == 1:
                alone.append(self._clock() - start)
            self._learn(trial=trial)
        finally:
            self._deadline = math.inf
            self._set(every)

    def look(self) -> None:
        """For between two products: if the batch has taken as long as on one thread, it goes on with one."""
        if not self._late and self._clock() > self._deadline and self._set is not None:
            self._late = True
            self._set(1)

    def _learn(self, *, trial: bool) -> None:
        """What the next batches get, given whether this one was late, and whether it had more threads than others."""
        if self._late:
            self._halvings += not trial
            self._left, self._patience = self._patience, min(2 * self._patience, MOST_PATIENCE)
            return
        self._left = max(0, self._left - 1)
        if trial:
            self._halvings -= 1
            self._left = self._patience
        if not self._halvings:
            self._patience = max(LEAST_PATIENCE, self._patience - 1)
