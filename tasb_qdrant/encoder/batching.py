"""An encoder around any forward pass: sorts by length, keeps to a budget, survives a full memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder.hardware import is_out_of_memory, release_memory
from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.encoder.tokens import Tokenization, check_texts
from tasb_qdrant.errors import EncodingError, InvalidInputError
from tasb_qdrant.records import ModelContract

Forward = Callable[[Sequence[NDArray[np.int32]]], NDArray[np.float32]]
"""Token ids of a few texts of similar length to their vectors, float32 (n, dim), in the same order."""


class BatchedEncoder:
    """An Encoder. `batch_tokens` bounds the tokens of one call of `forward`, padding included."""

    def __init__(
        self,
        *,
        contract: ModelContract,
        device: str,
        notes: Sequence[str],
        tokenization: Tokenization,
        forward: Forward,
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
        while start < len(order):
            # The lock is held for one batch, so that a query gets in between those of a long ingest.
            with self._lock:
                longest = int(tokens.lengths[order[start]])
                chunk = order[start : start + max(1, self._batch_tokens // longest)]
                found = self._attempt(tokens, chunk)
                if found is None:
                    self._shrink(chunk, longest)
                    continue
            vectors[chunk] = self._checked(found, chunk)
            start += len(chunk)
            if on_progress is not None:
                on_progress(len(chunk))
        return vectors

    def _attempt(self, tokens: TokenBatch, chunk: NDArray[np.intp]) -> NDArray[np.float32] | None:
        """The chunk's vectors, or None if the memory was too small. Returning from the handler drops the
        traceback, which would keep the failed batch's tensors alive into the next attempt."""
        try:
            return self._forward([tokens[index] for index in chunk.tolist()])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _shrink(self, chunk: NDArray[np.intp], longest: int) -> None:
        if len(chunk) == 1:
            index = int(chunk[0])
            raise EncodingError(
                f"text {index} ({longest} tokens) alone doesn't fit the memory of {self.device}; "
                "free some, or give another --device",
                index=index,
            )
        self._batch_tokens = len(chunk) // 2 * longest
        release_memory(self.device)

    def _checked(self, vectors: NDArray[np.float32], chunk: NDArray[np.intp]) -> NDArray[np.float32]:
        expected = (len(chunk), self.contract.dim)
        if vectors.shape != expected or vectors.dtype != np.float32:
            raise EncodingError(
                f"expected float32 vectors {expected}, the model gave {vectors.dtype} {vectors.shape}; "
                "use another --model"
            )
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            index = int(chunk[~finite].min())
            raise EncodingError(
                f"the vector of text {index} is not finite in {self.contract.precision}; "
                "give --precision fp32, or check the model's weights",
                index=index,
            )
        return vectors
