"""Tokenising in several processes, where nanotoken isn't at hand: one thread manages 50,000 passages per second, which
two GPUs outpace.

The word cache of a Tokenization holds the GIL, so threads don't help. Sending texts and receiving ids costs this
process a seventeenth of what tokenising them would.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tasb_qdrant.cores import cores
from tasb_qdrant.encoder.protocol import Part, TokenBatch
from tasb_qdrant.encoder.threads import ELSEWHERE
from tasb_qdrant.encoder.tokenize.tokens import Tokenization, check_texts
from tasb_qdrant.processes.pool import WorkerPool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SLICE: Final = 1024
"""Texts sent to a process at once. Sending one of 360 characters costs 1.2 µs in slices of 512, and 0.7 µs in slices
of 2048, but then there may be too few slices for every process to get one."""

_FOR_A_GPU: Final = 3
"""Processes per GPU: two keep up with it, and three have the first tokens sooner. More than that slow down the thread
that reads their tokens (measured on 16 cores with an H200)."""

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
    """A Tokenization that distributes `size` or more texts over `processes`, which start when first needed.

    With no processes it is just the Tokenization. Safe to use from several threads.
    """

    def __init__(self, tokenization: Tokenization, *, processes: int, size: int = SLICE) -> None:
        self._tokenization = tokenization
        self._processes = processes
        self._size = size
        self._small = max(1, size // _SMALL)
        self._starting = threading.Lock()
        self._pool: WorkerPool[Texts, TokenBatch] | None = None

    def __call__(self, texts: Sequence[str], *, prompt: str = "") -> TokenBatch:
        """The same as the Tokenization. Also raises ModelError, if a process ends."""
        parts = sorted(self.parts(texts, prompt=prompt), key=lambda part: part.first)
        return TokenBatch.joined([part.tokens for part in parts])

    def parts(self, texts: Sequence[str], *, prompt: str = "") -> Iterator[Part]:
        """The same in parts, as they are finished, in any order. Raises InvalidInputError at once, ModelError later."""
        if not self._processes or len(texts) < self._size:
            return self._tokenization.parts(texts, prompt=prompt)
        check_texts(texts)  # here, where positions refer to the whole call
        if self._tokenization.nano is not None:
            return self._sliced(texts, prompt)
        return self._shared(texts, prompt)

    def _sliced(self, texts: Sequence[str], prompt: str) -> Iterator[Part]:
        """Without processes: nanotoken tokenizes a slice while a GPU computes a third of one."""
        for first in range(0, len(texts), self._size):
            yield Part(first, self._tokenization(texts[first : first + self._size], prompt=prompt))

    def _shared(self, texts: Sequence[str], prompt: str) -> Iterator[Part]:
        pool, first = self._started(), 0
        while first < len(texts) and not pool.is_open:  # starting takes half a second, once
            some = texts[first : first + self._small]
            yield Part(first, self._tokenization(some, prompt=prompt))
            first += len(some)
        bounds = self._bounds(first, len(texts))
        slices = [Texts(texts[start:end], prompt) for start, end in pairwise(bounds)]
        with closing(pool.run([partial(_same, part) for part in slices])) as results:
            for position, tokens in results:
                yield Part(bounds[position], tokens)

    def _bounds(self, first: int, count: int) -> list[int]:
        """The boundaries of the slices from `first` on. Each process's first slice is small, and each next one twice as
        large: whoever waits for tokens gets some soon, and more by the time those are used up."""
        bounds, size = [first], self._small
        while bounds[-1] < count:
            bounds += [min(bounds[-1] + n * size, count) for n in range(1, self._processes + 1)]
            size = min(2 * size, self._size)
        return sorted(set(bounds))

    def places(self, text: str) -> NDArray[np.int64]:
        """As the Tokenization says, by this process."""
        return self._tokenization.places(text)

    @property
    def itself(self) -> Tokenization:
        """What each process has."""
        return self._tokenization

    @property
    def notes(self) -> tuple[str, ...]:
        """Why what is installed isn't used; known once many texts have been tokenized."""
        return self._tokenization.notes

    def close(self) -> None:
        """End the processes, if there are any; calls with many texts then raise ModelError."""
        with self._starting:
            if self._pool is not None:
                self._pool.close()

    def _started(self) -> WorkerPool[Texts, TokenBatch]:
        with self._starting:
            if self._pool is None:
                task = TokenizingTask(self._tokenization)
                self._pool = WorkerPool(
                    [("a tokenizing worker", task)] * self._processes, fewer="devices", elsewhere=ELSEWHERE
                )
                # The pool's threads keep the pool alive, but not this object.
                weakref.finalize(self, self._pool.close)
            return self._pool


def processes_for(gpus: int) -> int:
    """How many tokenising processes keep up with that many GPUs, given the cores; 0 if a single one wouldn't help."""
    # A GPU encodes 85,000 passages/s and needs a core for the work around it; this process needs another.
    spare = min(_FOR_A_GPU * gpus, cores() - gpus - 1)
    return spare if spare > 1 else 0


def _same(part: Texts) -> Texts:
    return part
