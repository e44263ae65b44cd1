"""A cross-encoder around a classifier: it sorts by length, batches by a token budget, and survives running out of
memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasb_qdrant.encoder.hardware import is_out_of_memory, release_memory
from tasb_qdrant.encoder.threads import ELSEWHERE
from tasb_qdrant.errors import EncodingError, InvalidInputError
from tasb_qdrant.forks import Origin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasb_qdrant.encoder.cross.pairs import PairBatch, PairTokenization

    PairForward = Callable[[PairBatch, NDArray[np.intp]], NDArray[np.float32]]
    """A few rows of pairs, of similar length, to their scores: float32 (rows,), in the order of the rows."""


@dataclass(frozen=True, slots=True)
class CrossEncoderIdentity:
    """What made the scores, for reports: they are comparable only with those of the same model and weights.

    `model` is the hub id or the absolute folder, `weights` the sha256 of the weights file, `revision` the commit
    of the hub repository ("" for a folder), `precision` the arithmetic (fp32, bf16, fp16), `max_length` the number of
    tokens read of query and passage together.
    """

    model: str
    weights: str
    revision: str
    precision: str
    max_length: int


class CrossEncoder:
    """Reads a query and a passage together, and scores how relevant the passage is to the query.

    Made by `load_cross_encoder`. Safe to call from several threads. `device` is where it runs: "cpu", "cuda:0".
    """

    def __init__(
        self,
        *,
        identity: CrossEncoderIdentity,
        device: str,
        notes: Sequence[str],
        tokenization: PairTokenization,
        forward: PairForward,
        batch_tokens: int,
    ) -> None:
        self.identity = identity
        self.device = device
        self._notes = tuple(notes)
        self._tokenize = tokenization
        self._forward = forward
        self._lock = threading.Lock()
        self._origin = Origin()
        self._asked_tokens = self._batch_tokens = batch_tokens
        self._truncated = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the user's behalf, a sentence each; may grow while scoring."""
        notes = list(self._notes)
        if self._batch_tokens != self._asked_tokens:
            notes.append(
                f"Batches hold {self._batch_tokens} tokens instead of {self._asked_tokens}: "
                f"{self.device} ran out of memory."
            )
        if self._truncated:
            notes.append(
                f"Passages truncated so far: {self._truncated:,}; with the query they had more than the "
                f"{self.identity.max_length} tokens that the model reads."
            )
        return tuple(notes)

    @property
    def truncated(self) -> int:
        """The number of passages truncated so far, over all calls."""
        return self._truncated

    def score(
        self, query: str, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """float32 (n,), finite, in the order of `texts`; a higher score is more relevant to `query`.

        Scores are logits of any size and sign, comparable only within one query and model. A passage that is too long
        is cut at its end; a query never is. `on_progress` gets the number of passages just done, after each
        batch. Raises InvalidInputError for an empty query, or one that leaves no room for a passage; EncodingError.
        """
        from tasb_qdrant.encoder.tokenize.tokens import check_texts

        self._origin.check("the cross-encoder", remedy=ELSEWHERE)
        _check_query(query)
        check_texts(texts)
        return self._score(self._tokenize(query, texts), on_progress)

    def _score(self, pairs: PairBatch, on_progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        import numpy as np

        scores = np.empty(len(pairs), dtype=np.float32)
        # Longest first: little padding, and a budget that doesn't fit the memory shows at once.
        order = np.argsort(-pairs.lengths, kind="stable")
        with self._lock:
            self._truncated += pairs.truncated
        start = 0
        while start < len(order):
            # The lock is held for one batch at a time, so that a few pairs can get in between the batches of many.
            with self._lock:
                rows = order[start : start + self._fitting(pairs, order[start:])]
                found = self._attempt(pairs, rows)
                if found is None:
                    self._shrink(pairs, rows)
                    continue
            scores[rows] = self._checked(found, rows)
            start += len(rows)
            if on_progress is not None:
                on_progress(len(rows))
        return scores

    def _fitting(self, pairs: PairBatch, rows: NDArray[np.intp]) -> int:
        return max(1, self._batch_tokens // int(pairs.lengths[rows[0]]))

    def _attempt(self, pairs: PairBatch, rows: NDArray[np.intp]) -> NDArray[np.float32] | None:
        """The scores of `rows`; None if it ran out of memory. Returning from the handler drops the traceback, which
        would keep the failed batch's tensors alive."""
        try:
            return self._forward(pairs, rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _shrink(self, pairs: PairBatch, rows: NDArray[np.intp]) -> None:
        """Make batches smaller than `rows`. Raises EncodingError if that is a single pair."""
        longest = int(pairs.lengths[rows[0]])
        if len(rows) == 1:
            index = int(rows[0])
            raise EncodingError(
                f"passage {index} and the query ({longest} tokens) alone don't fit into the memory of {self.device}; "
                "free some, or give another device",
                index=index,
            )
        self._batch_tokens = len(rows) // 2 * longest
        release_memory(self.device)

    def _checked(self, found: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        import numpy as np

        bad = rows[~np.isfinite(found)]
        if len(bad):
            index = int(bad.min())
            raise EncodingError(
                f"the score of passage {index} is not finite in {self.identity.precision}; "
                "give precision fp32, or check the model's weights",
                index=index,
            )
        return found


def _check_query(query: str) -> None:
    if not isinstance(query, str):
        raise InvalidInputError(f"the query must be a string, found {type(query).__name__}")
    if not query or query.isspace():
        raise InvalidInputError("the query is empty; write what to search for")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"the query has half of a surrogate pair at offset {error.start}; correct its encoding"
        ) from error
