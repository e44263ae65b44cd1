"""Tokenising in several processes: one thread gives 50,000 passages a second, which two GPUs outrun.

The word cache of a Tokenization holds Python's lock, so threads don't help. Handing texts over and taking
ids back costs this process a seventeenth of what tokenising them does.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

from tasb_qdrant.encoder.protocol import Part, TokenBatch
from tasb_qdrant.encoder.tokenize.tokens import Tokenization, check_texts
from tasb_qdrant.encoder.workers.pool import WorkerPool

SLICE: Final = 1024
"""Texts that a process gets at once. Handing over one of 360 characters costs 1.2 µs here with slices of 512; 0.7
with slices of 2048, of which there would be too few for every process to get some."""

_FOR_A_GPU: Final = 3
"""Processes: two keep up with one, and three have the first tokens sooner. More take the time of the thread that
reads their tokens (measured on 16 cores beside an H200)."""

_SMALL: Final = 8
"""How many times smaller the first slices are."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts to tokenise, `prompt` before each."""

    texts: Sequence[str]
    prompt: str


@dataclass(frozen=True, slots=True)
class TokenizingTask:
    """A tokenizer in a worker process."""

    tokenization: Tokenization

    def open(self) -> tuple[None, Callable[[Texts], TokenBatch]]:
        return None, lambda work: self.tokenization(work.texts, prompt=work.prompt)


class SharedTokenization:
    """A Tokenization that spreads `size` texts and more over `processes`, which start when first needed.

    Without processes it is the Tokenization itself. Safe to use from several threads.
    """

    def __init__(self, tokenization: Tokenization, *, processes: int, size: int = SLICE) -> None:
        self._tokenization = tokenization
        self._processes = processes
        self._size = size
        self._small = max(1, size // _SMALL)
        self._starting = threading.Lock()
        self._pool: WorkerPool[Texts, TokenBatch] | None = None

    def __call__(self, texts: Sequence[str], *, prompt: str = "") -> TokenBatch:
        """As of the Tokenization. Raises ModelError too, if a process ends."""
        parts = sorted(self.parts(texts, prompt=prompt), key=lambda part: part.first)
        return TokenBatch.joined([part.tokens for part in parts])

    def parts(self, texts: Sequence[str], *, prompt: str = "") -> Iterator[Part]:
        """The same as it gets done, in any order. Raises InvalidInputError at once, ModelError later on."""
        if not self._processes or len(texts) < self._size:
            return self._tokenization.parts(texts, prompt=prompt)
        check_texts(texts)  # here, where the positions are those of the whole
        return self._shared(texts, prompt)

    def _shared(self, texts: Sequence[str], prompt: str) -> Iterator[Part]:
        pool, first = self._started(), 0
        while first < len(texts) and not pool.is_open:  # which takes half a second, once
            some = texts[first : first + self._small]
            yield Part(first, self._tokenization(some, prompt=prompt))
            first += len(some)
        bounds = self._bounds(first, len(texts))
        slices = [Texts(texts[start:end], prompt) for start, end in pairwise(bounds)]
        with closing(pool.run([partial(_same, part) for part in slices])) as results:
            for position, tokens in results:
                yield Part(bounds[position], tokens)

    def _bounds(self, first: int, count: int) -> list[int]:
        """Where slices of the texts from `first` on begin and the last one ends. Each process's first one is small,
        and the next twice as large: whoever waits for tokens has some soon, and others when those are used up."""
        bounds, size = [first], self._small
        while bounds[-1] < count:
            bounds += [min(bounds[-1] + n * size, count) for n in range(1, self._processes + 1)]
            size = min(2 * size, self._size)
        return sorted(set(bounds))

    def close(self) -> None:
        """Ends the processes; larger numbers of texts then raise ModelError if there were any."""
        with self._starting:
            if self._pool is not None:
                self._pool.close()

    def _started(self) -> WorkerPool[Texts, TokenBatch]:
        with self._starting:
            if self._pool is None:
                task = TokenizingTask(self._tokenization)
                self._pool = WorkerPool([("a tokenizing worker", task)] * self._processes)
                # Its threads keep the pool alive, but not this object.
                weakref.finalize(self, self._pool.close)
            return self._pool


def processes_for(gpus: int) -> int:
    """How many tokenising processes keep up with so many GPUs, as far as there are cores; 0 where 1 wouldn't help."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # A GPU takes 85,000 passages/s, and the work around it a core; this process takes another.
    spare = min(_FOR_A_GPU * gpus, cores - gpus - 1)
    return spare if spare > 1 else 0


def _same(part: Texts) -> Texts:
    return part
