"""Tokenising in several processes: one thread gives 50,000 passages a second, which two GPUs outrun.

The word cache of a Tokenization holds Python's lock, so threads don't help. Handing texts over and taking
ids back costs this process a seventeenth of what tokenising them does.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.encoder.tokenize.tokens import Tokenization, check_texts
from tasb_qdrant.encoder.workers.pool import WorkerPool

SLICE: Final = 512
"""Texts that a process gets at once. Handing over one of 360 characters costs 1.2 µs here; 0.7 with slices of
2048, of which there would be too few for every process to get some."""


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
    """A Tokenization that spreads two slices of texts and more over `processes`, which start when first needed.

    Without processes it is the Tokenization itself. Safe to use from several threads.
    """

    def __init__(self, tokenization: Tokenization, *, processes: int, size: int = SLICE) -> None:
        self._tokenization = tokenization
        self._processes = processes
        self._size = size
        self._starting = threading.Lock()
        self._pool: WorkerPool[Texts, TokenBatch] | None = None

    def __call__(self, texts: Sequence[str], *, prompt: str = "") -> TokenBatch:
        """As of the Tokenization. Raises ModelError too, if a process ends."""
        if not self._processes or len(texts) < 2 * self._size:
            return self._tokenization(texts, prompt=prompt)
        check_texts(texts)  # here, where the positions are those of the whole
        slices = [Texts(texts[start : start + self._size], prompt) for start in range(0, len(texts), self._size)]
        found: dict[int, TokenBatch] = {}
        with closing(self._started().run([partial(_same, part) for part in slices])) as results:
            found.update(results)
        return _joined([found[position] for position in range(len(slices))])

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
            return self._pool


def processes_for(gpus: int) -> int:
    """How many tokenising processes keep up with so many GPUs, as far as there are cores; 0 where 1 wouldn't help."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # A GPU takes 85,000 passages/s, and the work around it a core; this process takes another.
    spare = min(2 * gpus, cores - gpus - 1)
    return spare if spare > 1 else 0


def _same(part: Texts) -> Texts:
    return part


def _joined(parts: Sequence[TokenBatch]) -> TokenBatch:
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    ids = np.concatenate([part.ids for part in parts])
    return TokenBatch(ids, offsets, sum(part.truncated for part in parts))
