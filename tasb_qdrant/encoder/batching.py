"""An encoder around any forward pass: it batches by a token budget, and survives running out of memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder.forward.protocol import Forward, Pending, PipelinedForward
from tasb_qdrant.encoder.hardware import is_out_of_memory, release_memory
from tasb_qdrant.encoder.protocol import Part, TokenBatch
from tasb_qdrant.encoder.threads import ELSEWHERE
from tasb_qdrant.encoder.tokenize.tokens import PassageTokenizer, Tokenization, check_texts
from tasb_qdrant.errors import EncodingError, InvalidInputError
from tasb_qdrant.forks import Origin
from tasb_qdrant.printable import logger
from tasb_qdrant.records import ModelContract

log: Final = logger(__name__)


class Tokenizes(Protocol):
    """Text to tokens: in this thread, or distributed over processes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen; may grow."""

    def __call__(self, texts: Sequence[str], *, prompt: str = "") -> TokenBatch:
        """The ids of `prompt + text`. Raises InvalidInputError."""

    def parts(self, texts: Sequence[str], *, prompt: str = "") -> Iterator[Part]:
        """The same in parts, in any order, as they are finished."""

    def places(self, text: str) -> NDArray[np.int64]:
        """Where each token of the text begins. Raises InvalidInputError."""

    @property
    def itself(self) -> Tokenization:
        """The tokenizer alone."""


_IN_FLIGHT: Final = 3
"""Batches in flight on a device: the one it is computing, and two more, so that it never waits for whoever reads
its vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    _vectors: NDArray[np.float32]

    def result(self) -> NDArray[np.float32]:
        return self._vectors


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Texts that are encoded together: which ones they are, and their vectors."""

    part: Part
    rows: NDArray[np.intp]
    vectors: Pending


class BatchedEncoder:
    """An Encoder. `batch_tokens` limits the tokens in one call of `forward`, including any padding.

    Texts go through a PipelinedForward in input order, and through any other forward pass sorted by length.
    """

    def __init__(
        self,
        *,
        contract: ModelContract,
        device: str,
        notes: Sequence[str],
        tokenization: Tokenizes,
        forward: Forward | PipelinedForward,
        batch_tokens: int,
    ) -> None:
        self.contract = contract
        self.device = device
        self._notes = tuple(notes)
        self._tokenize = tokenization
        self._forward = forward
        self._packs = isinstance(forward, PipelinedForward)
        self._lock = threading.Lock()
        self._origin = Origin()
        self._asked_tokens = self._batch_tokens = batch_tokens

    @property
    def notes(self) -> tuple[str, ...]:
        notes = (*self._notes, *self._tokenize.notes)
        if self._batch_tokens == self._asked_tokens:
            return notes
        note = (
            f"Batches hold {self._batch_tokens} tokens instead of {self._asked_tokens}: "
            f"{self.device} ran out of memory."
        )
        return (*notes, note)

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        self._check_process()
        return self._tokenize(texts, prompt=self.contract.passage_prompt)

    @property
    def passage_tokenizer(self) -> PassageTokenizer:
        return PassageTokenizer(self._tokenize.itself, self.contract.passage_prompt)

    def token_places(self, text: str) -> NDArray[np.int64]:
        self._check_process()
        return self._tokenize.places(text)

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._check_process()
        parts = self._tokenize.parts(texts, prompt=self.contract.passage_prompt)
        return self._encode(parts, len(texts))

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._check_process()
        check_texts(texts)
        for index, text in enumerate(texts):
            if not text or text.isspace():
                raise InvalidInputError(f"query {index} is empty; write what to search for")
        return self.encode_tokens(self._tokenize(texts, prompt=self.contract.query_prompt))

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        self._check_process()
        return self._encode([Part(0, tokens)], len(tokens), on_progress)

    def _check_process(self) -> None:
        """Raises ForkedError in a process that was forked from the one that loaded the model."""
        self._origin.check("the encoder", remedy=ELSEWHERE)

    def _encode(
        self, parts: Iterable[Part], count: int, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        vectors = np.empty((count, self.contract.dim), dtype=np.float32)
        in_flight: deque[_Batch] = deque()
        for part in parts:
            rows = self._in_order(part.tokens)
            while len(rows):
                # The lock is held for one batch at a time, so that a query can get in between those of a long ingest.
                with self._lock:
                    batch = self._begin(part, rows)
                    if batch is None and not in_flight:
                        self._shrink(part, rows)
                if batch is not None:
                    in_flight.append(batch)
                    rows = rows[len(batch.rows) :]
                if in_flight and (batch is None or len(in_flight) == _IN_FLIGHT):
                    self._finish(in_flight.popleft(), vectors, on_progress)
        for batch in in_flight:
            self._finish(batch, vectors, on_progress)
        return vectors

    def _in_order(self, tokens: TokenBatch) -> NDArray[np.intp]:
        if self._packs:
            return np.arange(len(tokens))
        # Longest first: little padding, and a budget that doesn't fit the memory shows at once.
        return np.argsort(-tokens.lengths, kind="stable")

    def _begin(self, part: Part, rows: NDArray[np.intp]) -> _Batch | None:
        """Start a batch of the first of `rows`; None if it ran out of memory. Returning from the handler drops the
        traceback, which would keep the failed batch's tensors alive."""
        rows = rows[: self._fitting(part.tokens, rows)]
        try:
            return _Batch(part, rows, self._submit(part.tokens, rows))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _fitting(self, tokens: TokenBatch, rows: NDArray[np.intp]) -> int:
        """How many of `rows` to encode together. Without padding, batches are of about equal size: a small last batch
        would take a GPU longer than its share."""
        if len(rows) == 1:
            return 1
        if not self._packs:
            return max(1, min(len(rows), self._batch_tokens // int(tokens.lengths[rows[0]])))
        first, last = int(rows[0]), int(rows[-1]) + 1
        begin, offsets = int(tokens.offsets[first]), tokens.offsets
        left = int(offsets[last]) - begin
        share = left / -(-left // self._batch_tokens)
        most = int(np.searchsorted(offsets, begin + self._batch_tokens, side="right")) - 1
        return max(1, min(most, int(np.searchsorted(offsets, begin + share)), last) - first)

    def _shrink(self, part: Part, rows: NDArray[np.intp]) -> None:
        """Make batches smaller than the one that `rows` begins with. Raises EncodingError if that is a single text."""
        rows = rows[: self._fitting(part.tokens, rows)]
        lengths = part.tokens.lengths[rows]
        if len(rows) == 1:
            index = part.first + int(rows[0])
            raise EncodingError(
                f"text {index} ({lengths[0]} tokens) alone doesn't fit into the memory of {self.device}; "
                "free some, or give another --device",
                index=index,
            )
        self._batch_tokens = int(lengths.sum()) // 2 if self._packs else len(rows) // 2 * int(lengths[0])
        log.warning("%s ran out of memory: batches hold %d tokens from now on", self.device, self._batch_tokens)
        release_memory(self.device)

    def _finish(self, batch: _Batch, vectors: NDArray[np.float32], on_progress: Callable[[int], None] | None) -> None:
        """Wait for the batch's vectors and write them to their rows of `vectors`."""
        found = self._checked(batch.vectors.result(), len(batch.rows))
        vectors[batch.part.first + batch.rows] = found
        for row in batch.rows[~np.isfinite(found).all(axis=1)].tolist():
            vectors[batch.part.first + row] = self._alone(batch.part, row)
        if on_progress is not None:
            on_progress(len(batch.rows))

    def _submit(self, tokens: TokenBatch, rows: NDArray[np.intp]) -> Pending:
        if isinstance(self._forward, PipelinedForward):
            return self._forward.submit(tokens.cut(int(rows[0]), int(rows[-1]) + 1))
        return _Done(self._forward([tokens[row] for row in rows.tolist()]))

    def _checked(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        expected = (count, self.contract.dim)
        if vectors.shape != expected or vectors.dtype != np.float32:
            raise EncodingError(
                f"expected float32 vectors {expected}, the model gave {vectors.dtype} {vectors.shape}; "
                "use another --model"
            )
        return vectors

    def _alone(self, part: Part, row: int) -> NDArray[np.float32]:
        """The vector of one text by itself: a non-finite value in one text may spoil the others in its batch.

        Raises EncodingError if the vector still isn't finite.
        """
        with self._lock:
            vector: NDArray[np.float32] = self._checked(self._submit(part.tokens, np.array([row])).result(), 1)[0]
        if not np.isfinite(vector).all():
            index = part.first + row
            raise EncodingError(
                f"the vector of text {index} is not finite in {self.contract.precision}; "
                "give --precision fp32, or check the model's weights",
                index=index,
            )
        return vector
