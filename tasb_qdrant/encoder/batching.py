"""An encoder around any forward pass: sorts by length, keeps to a budget, survives a full memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder.hardware import is_out_of_memory, release_memory
from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.encoder.tokenize.tokens import Tokenization, check_texts
from tasb_qdrant.errors import EncodingError, InvalidInputError
from tasb_qdrant.records import ModelContract

Forward = Callable[[Sequence[NDArray[np.int32]]], NDArray[np.float32]]
"""Token ids of a few texts of similar length to their vectors, float32 (n, dim), in the same order."""


class Pending(Protocol):
    """Vectors that a device may still be computing."""

    def result(self) -> NDArray[np.float32]:
        """The vectors, waited for."""


@runtime_checkable
class PipelinedForward(Protocol):
    """A Forward whose next batch can be begun before the vectors of the last one are there."""

    def submit(self, texts: Sequence[NDArray[np.int32]]) -> Pending:
        """The texts' vectors, not waited for."""


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    _vectors: NDArray[np.float32]

    def result(self) -> NDArray[np.float32]:
        return self._vectors


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Rows of the tokens at hand, and their vectors."""

    rows: NDArray[np.intp]
    vectors: Pending


class BatchedEncoder:
    """An Encoder. `batch_tokens` bounds the tokens of one call of `forward`, padding included."""

    def __init__(
        self,
        *,
        contract: ModelContract,
        device: str,
        notes: Sequence[str],
        tokenization: Tokenization,
        forward: Forward | PipelinedForward,
        batch_tokens: int,
    ) -> None:
        self.contract = contract
        self.device = device
        self._notes = tuple(notes)
        self._tokenize = tokenization
        self._forward = forward
        self._lock = threading.Lock()
        self._asked_tokens = self._batch_tokens = batch_tokens

    @property
    def notes(self) -> tuple[str, ...]:
        if self._batch_tokens == self._asked_tokens:
            return self._notes
        note = (
            f"Batches hold {self._batch_tokens} tokens instead of {self._asked_tokens}: "
            f"the memory of {self.device} was too small."
        )
        return (*self._notes, note)

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        return self._tokenize(texts, prompt=self.contract.passage_prompt)

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode_tokens(self.tokenize_passages(texts))

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        check_texts(texts)
        for index, text in enumerate(texts):
            if not text or text.isspace():
                raise InvalidInputError(f"query {index} is empty; write what to search for")
        return self.encode_tokens(self._tokenize(texts, prompt=self.contract.query_prompt))

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        vectors = np.empty((len(tokens), self.contract.dim), dtype=np.float32)
        # Longest first: little padding, and a budget that the memory can't hold shows at once.
        order = np.argsort(-tokens.lengths, kind="stable")
        start = 0
        before: _Batch | None = None  # under way until the next one is, so that a GPU never waits for its reader
        while start < len(order):
            # The lock is held for one batch, so that a query gets in between those of a long ingest.
            with self._lock:
                batch = self._begin(tokens, order[start:])
                if batch is None and before is None:
                    self._shrink(tokens, order[start:])
            if before is not None:
                self._finish(tokens, before, vectors, on_progress)
            before = batch
            start += 0 if batch is None else len(batch.rows)
        if before is not None:
            self._finish(tokens, before, vectors, on_progress)
        return vectors

    def _begin(self, tokens: TokenBatch, rows: NDArray[np.intp]) -> _Batch | None:
        """The first of `rows`, longest first, under way; None if the memory was too small for them. Returning
        from the handler drops the traceback, which would keep the failed batch's tensors alive."""
        rows = rows[: self._fitting(tokens, rows)]
        try:
            return _Batch(rows, self._submit([tokens[row] for row in rows.tolist()]))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _fitting(self, tokens: TokenBatch, rows: NDArray[np.intp]) -> int:
        return max(1, min(len(rows), self._batch_tokens // int(tokens.lengths[rows[0]])))

    def _shrink(self, tokens: TokenBatch, rows: NDArray[np.intp]) -> None:
        """Smaller batches than the one that `rows` begins with. Raises EncodingError if it is a single text."""
        count, longest = self._fitting(tokens, rows), int(tokens.lengths[rows[0]])
        if count == 1:
            index = int(rows[0])
            raise EncodingError(
                f"text {index} ({longest} tokens) alone doesn't fit the memory of {self.device}; "
                "free some, or give another --device",
                index=index,
            )
        self._batch_tokens = count // 2 * longest
        release_memory(self.device)

    def _finish(
        self, tokens: TokenBatch, batch: _Batch, vectors: NDArray[np.float32], on_progress: Callable[[int], None] | None
    ) -> None:
        """Wait for the batch's vectors and put them into their rows of `vectors`."""
        found = self._checked(batch.vectors.result(), batch.rows)
        vectors[batch.rows] = found
        for row in batch.rows[~np.isfinite(found).all(axis=1)].tolist():
            vectors[row] = self._alone(tokens, row)
        if on_progress is not None:
            on_progress(len(batch.rows))

    def _submit(self, texts: Sequence[NDArray[np.int32]]) -> Pending:
        if isinstance(self._forward, PipelinedForward):
            return self._forward.submit(texts)
        return _Done(self._forward(texts))

    def _checked(self, vectors: NDArray[np.float32], chunk: NDArray[np.intp]) -> NDArray[np.float32]:
        expected = (len(chunk), self.contract.dim)
        if vectors.shape != expected or vectors.dtype != np.float32:
            raise EncodingError(
                f"expected float32 vectors {expected}, the model gave {vectors.dtype} {vectors.shape}; "
                "use another --model"
            )
        return vectors

    def _alone(self, tokens: TokenBatch, row: int) -> NDArray[np.float32]:
        """The vector of one text by itself: what isn't finite in one text may spoil its neighbours in a batch.

        Raises EncodingError if it isn't finite then either.
        """
        with self._lock:
            vector: NDArray[np.float32] = self._checked(self._submit([tokens[row]]).result(), np.array([row]))[0]
        if not np.isfinite(vector).all():
            raise EncodingError(
                f"the vector of text {row} is not finite in {self.contract.precision}; "
                "give --precision fp32, or check the model's weights",
                index=row,
            )
        return vector
