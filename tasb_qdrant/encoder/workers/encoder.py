"""An encoder over several devices, with a worker process for each and the texts distributed among them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.encoder.threads import ELSEWHERE
from tasb_qdrant.encoder.tokenize.tokens import PassageTokenizer, check_texts
from tasb_qdrant.encoder.workers.tasks import Chunk, Encoded, Opened
from tasb_qdrant.encoder.workers.tokenizing import SharedTokenization
from tasb_qdrant.errors import InvalidInputError, ModelError
from tasb_qdrant.processes.pool import WorkerPool
from tasb_qdrant.processes.serve import Task
from tasb_qdrant.records import ModelContract

_ROUNDS: Final = 4
"""Chunks per worker in a call, so that all workers finish at about the same time, whatever their speed."""

_LARGEST: Final = 4
"""Times the smallest chunk. A chunk's overhead is a fraction of a millisecond, so larger ones gain nothing."""


class ParallelEncoder:
    """An Encoder whose forward passes run in worker processes, one per device; tokenising is shared by all of them.

    The workers end with it. `smallest_chunk` is in tokens, padding included, and should keep a device busy.
    """

    def __init__(
        self,
        *,
        tasks: Sequence[tuple[str, Task]],
        tokenization: Callable[[], SharedTokenization],
        notes: Sequence[str],
        model: str,
        revision: str,
        smallest_chunk: int,
    ) -> None:
        """`tasks` are (device, EncodingTask), numbered from 0. Returns when all workers have loaded; `tokenization`
        is made while they do. Raises what any of them raises, WorkerError if one ends."""
        self.device = ",".join(device for device, _ in tasks)
        named = [(f"the worker on {device}", task) for device, task in tasks]
        self._pool: WorkerPool[Chunk, Encoded] = WorkerPool(named, fewer="devices", elsewhere=ELSEWHERE)
        held = ExitStack()
        held.callback(self._pool.close)
        # The pool's threads refer to the pool but not to the encoder, so that it can be garbage-collected.
        self._end = weakref.finalize(self, held.close)
        try:
            self._tokenize = tokenization()
            held.callback(self._tokenize.close)
            opened = cast("list[Opened]", self._pool.opened())
            self.contract = replace(_common(opened), model=model, revision=revision)
        except BaseException:
            self._end()
            raise
        self._notes = (*notes, *(note for one in opened for note in one.notes))
        self._later: list[tuple[str, ...]] = [() for _ in tasks]
        self._smallest = smallest_chunk

    @property
    def notes(self) -> tuple[str, ...]:
        later = (note for notes in self._later for note in notes)
        return tuple(dict.fromkeys((*self._notes, *later, *self._tokenize.notes)))

    @property
    def pids(self) -> tuple[int, ...]:
        """The process of each device, in the order of `device`."""
        return self._pool.pids

    def close(self) -> None:
        """End the workers at once; current and later calls raise WorkerError."""
        self._end()

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        return self._tokenize(texts, prompt=self.contract.passage_prompt)

    @property
    def passage_tokenizer(self) -> PassageTokenizer:
        return PassageTokenizer(self._tokenize.itself, self.contract.passage_prompt)

    def token_places(self, text: str) -> NDArray[np.int64]:
        return self._tokenize.places(text)

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode_tokens(self.tokenize_passages(texts))

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        check_texts(texts)
        for index, text in enumerate(texts):
            if not text or text.isspace():
                raise InvalidInputError(f"query {index} is empty; write what to search for")
        return self._encode(self._tokenize(texts, prompt=self.contract.query_prompt), urgent=True)

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        return self._encode(tokens, urgent=False, on_progress=on_progress)

    def _encode(
        self, tokens: TokenBatch, *, urgent: bool, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        vectors = np.empty((len(tokens), self.contract.dim), dtype=np.float32)
        chunks = self._chunks(tokens)
        makes = [partial(_chunk, tokens, rows) for rows in chunks]
        # One small batch goes ahead of a long ingest, but a million queries are as long as an ingest.
        with closing(self._pool.run(makes, urgent=urgent and len(chunks) == 1)) as results:
            for position, encoded in results:
                rows = chunks[position]
                vectors[rows] = encoded.vectors
                self._later[encoded.worker] = encoded.notes
                if on_progress is not None:
                    on_progress(len(rows))
        return vectors

    def _chunks(self, tokens: TokenBatch) -> list[NDArray[np.int64]]:
        """Which texts go together: longest first, so that the last chunks take about equally long."""
        share = tokens.tokens // (_ROUNDS * len(self._later))
        budget = min(max(share, self._smallest), _LARGEST * self._smallest)
        lengths = tokens.lengths
        order = np.argsort(-lengths, kind="stable").astype(np.int64)
        chunks: list[NDArray[np.int64]] = []
        start = 0
        while start < len(order):
            chunks.append(order[start : start + max(1, budget // int(lengths[order[start]]))])
            start += len(chunks[-1])
        return chunks


def _chunk(tokens: TokenBatch, rows: NDArray[np.int64]) -> Chunk:
    lengths = tokens.lengths[rows]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    moved = np.repeat(tokens.offsets[rows] - offsets[:-1], lengths)
    return Chunk(TokenBatch(tokens.ids[moved + np.arange(offsets[-1])], offsets, 0), rows)


def _common(opened: Sequence[Opened]) -> ModelContract:
    first = opened[0].contract
    for other in opened[1:]:
        if other.contract != first:
            raise ModelError("the model's files changed while the worker processes loaded them; load the encoder again")
    return first
