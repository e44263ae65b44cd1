"""What every encoder promises, and the tokens that pass between its two halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.records import ModelContract


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Token ids of several texts, in their order, without padding.

    `ids` is int32 (tokens,), one text after the other; text i is `ids[offsets[i]:offsets[i + 1]]`, so
    `offsets` is int64 (count + 1,). `truncated` counts the texts that were longer than the model reads, and `longer`,
    bool (count,), says which they are, if whoever made the tokens knows.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    truncated: int
    longer: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        """The ids of one text, special tokens included: int32 (length,), a view."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def cut(self, first: int, last: int) -> TokenBatch:
        """Texts `first` up to but not including `last`, as views; `truncated` is 0 unless it is known of each."""
        offsets = self.offsets[first : last + 1]
        longer = None if self.longer is None else self.longer[first:last]
        truncated = 0 if longer is None else int(longer.sum())
        return TokenBatch(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0], truncated, longer)

    def only(self, rows: Sequence[int]) -> TokenBatch:
        """These texts, in this order, of tokens of which it is known of each text whether it was longer."""
        import numpy as np

        if len(rows) == len(self):
            return self
        lengths = self.lengths[rows]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        moved = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        longer = None if self.longer is None else self.longer[rows]
        truncated = 0 if longer is None else int(longer.sum())
        return TokenBatch(self.ids[moved + np.arange(offsets[-1])], offsets, truncated, longer)

    @classmethod
    def of(cls, texts: Sequence[NDArray[np.int32]]) -> TokenBatch:
        """From the ids of each text, at least one."""
        import numpy as np

        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in texts], out=offsets[1:])
        return cls(np.concatenate(texts), offsets, 0)

    @classmethod
    def joined(cls, batches: Sequence[TokenBatch]) -> TokenBatch:
        """The texts of `batches`, at least one, in their order."""
        import numpy as np

        if len(batches) == 1:
            return batches[0]
        lengths = np.concatenate([batch.lengths for batch in batches])
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        ids = np.concatenate([batch.ids for batch in batches])
        each = [batch.longer for batch in batches if batch.longer is not None]
        longer = np.concatenate(each) if len(each) == len(batches) else None
        return cls(ids, offsets, sum(batch.truncated for batch in batches), longer)

    @property
    def count(self) -> int:
        """The number of texts."""
        return len(self)

    @property
    def tokens(self) -> int:
        """The total number of tokens, special tokens included."""
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text: int64 (count,)."""
        return self.offsets[1:] - self.offsets[:-1]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Tokens of consecutive texts of a call; `first` is the position of the first one."""

    first: int
    tokens: TokenBatch


class Encoder(Protocol):
    """Text to vectors. Safe to call from several threads.

    Every vector is finite float32; arrays are C-contiguous, (n, contract.dim), in input order, and
    (0, dim) for no texts. Scores are dot products, whatever the model.
    """

    @property
    def contract(self) -> ModelContract:
        """What makes these vectors comparable with others."""

    @property
    def device(self) -> str:
        """Where the forward pass runs: "cpu", "cuda:0"."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the user's behalf, a sentence each; may grow while encoding."""

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        """The ids that `encode_tokens` takes, passage prompt included. Raises InvalidInputError."""

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Vectors of tokenised passages; `on_progress` gets the number of passages just done, after
        each batch of the device. Raises EncodingError."""

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of passages. Raises InvalidInputError, EncodingError."""

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries; an empty query raises InvalidInputError."""


@runtime_checkable
class TokenizesApart(Protocol):
    """What an encoder offers, too, whose texts can be tokenized in other processes."""

    @property
    def passage_tokenizer(self) -> Callable[[Sequence[str]], TokenBatch]:
        """What gives the ids of `tokenize_passages`, and of each text whether it was longer; it can be pickled."""


@runtime_checkable
class PlacesTokens(Protocol):
    """What an encoder offers, too, if texts can be split by its tokens."""

    def token_places(self, text: str) -> NDArray[np.int64]:
        """The character at which each token of `text` begins, ascending: int64 (tokens,), without prompt and special
        tokens, and not truncated. Raises InvalidInputError."""
