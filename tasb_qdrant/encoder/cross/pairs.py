"""Pairs of a query and a passage to token ids, as the model's own tokenizer joins them; only passages are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from tasb_qdrant.encoder.tokenize.tokens import LONG, Prefix
from tasb_qdrant.errors import InvalidInputError

_ID: Final = np.dtype(np.int32)
_AT_ONCE: Final = 1024  # an Encoding takes about 10 KB, so this bounds memory
_PASSAGE: Final = 1  # the index of the passage in a pair's two sequences


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """Token ids and token types of several pairs, in their order, without padding.

    Both are int32 (tokens,), concatenated; `offsets` is int64 (count + 1,). `truncated` counts the
    pairs whose passage was cut.
    """

    all_ids: NDArray[np.int32]
    all_types: NDArray[np.int32]
    offsets: NDArray[np.int64]
    truncated: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each pair: int64 (count,)."""
        return self.offsets[1:] - self.offsets[:-1]

    def ids(self, row: int) -> NDArray[np.int32]:
        """The token ids of one pair, special tokens included: int32 (length,), a view."""
        return self.all_ids[self.offsets[row] : self.offsets[row + 1]]

    def types(self, row: int) -> NDArray[np.int32]:
        """The token types of one pair: int32 (length,), a view."""
        return self.all_types[self.offsets[row] : self.offsets[row + 1]]


class PairTokenization:
    """A tokenizer of pairs of at most `max_length` tokens. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, *, max_length: int) -> None:
        self.max_length = max_length
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        # A query that leaves no room, which the tokenizer itself can't handle, gets a named error below.
        self._tokenizer.no_truncation()
        self._prefix = Prefix.of(self._tokenizer)

    def __call__(self, query: str, texts: Sequence[str]) -> PairBatch:
        """Each of `texts` after `query`, with special tokens.

        Raises InvalidInputError for a query that leaves no room for a passage.
        """
        self._check_room(query)
        ids: list[NDArray[np.int32]] = []
        types: list[NDArray[np.int32]] = []
        truncated = 0
        waiting = iter(texts)
        while some := list(islice(waiting, _AT_ONCE)):
            for encoding in self._encode(query, some):
                kept = self._kept(encoding)
                ids.append(np.array(encoding.ids, dtype=_ID)[kept])
                types.append(np.array(encoding.type_ids, dtype=_ID)[kept])
                truncated += len(encoding) > self.max_length
        offsets = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in ids], out=offsets[1:])
        nothing = np.empty(0, dtype=_ID)
        return PairBatch(np.concatenate([nothing, *ids]), np.concatenate([nothing, *types]), offsets, truncated)

    def _check_room(self, query: str) -> None:
        # Megabytes would take a minute only to be refused, and no query has that many characters per token.
        taken = len(self._tokenizer.encode(query[: LONG * self.max_length], ""))
        if taken >= self.max_length or len(query) > LONG * self.max_length:
            raise InvalidInputError(
                f"the query ({len(query):,} characters) leaves no room for the passage in the {self.max_length} tokens "
                "that the model reads of both together; shorten the query"
            )

    def _kept(self, encoding: Encoding) -> slice | NDArray[np.intp]:
        """Which tokens of a pair are kept: all of them, or all but the last ones of the passage."""
        over = len(encoding) - self.max_length
        if over <= 0:
            return slice(None)
        passage = np.array([sequence == _PASSAGE for sequence in encoding.sequence_ids])
        return np.delete(np.arange(len(passage)), np.flatnonzero(passage)[-over:])

    def _encode(self, query: str, texts: list[str]) -> list[Encoding]:
        longest = LONG * self.max_length
        if self._prefix is None or all(len(text) <= longest for text in texts):
            return self._batch(query, texts)
        short = iter(self._batch(query, [text for text in texts if len(text) <= longest]))
        return [next(short) if len(text) <= longest else self._encode_long(query, text, self._prefix) for text in texts]

    def _encode_long(self, query: str, text: str, prefix: Prefix) -> Encoding:
        """The same from the shortest prefix of `text` that is enough: all of a long text may take a minute."""
        text = prefix.collapse(text)
        size = LONG * self.max_length
        while size < len(text):
            if cut := prefix.last_break(text, size):
                encoding = self._batch(query, [text[:cut]])[0]
                if len(encoding) > self.max_length:
                    return encoding
            size *= 2
        return self._batch(query, [text])[0]

    def _batch(self, query: str, texts: list[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch_fast([(query, text) for text in texts])
