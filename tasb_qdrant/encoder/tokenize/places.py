"""Where in a text its tokens are, for whoever divides texts by tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tasb_qdrant.encoder.tokenize.words import WordIds

_WORD: Final = re.compile(r"[\S\x0b\x0c\x1c-\x1f\x85]+")
"""What BERT's tokenizer takes for a word or several: it drops these control characters, and splits at other spaces."""

_LONG: Final = 64
"""Characters. Longer words aren't cached, and are divided within: Chinese, for one, has no spaces between words."""

_MANY: Final = 9
"""Tokens. A word of so many is divided within, too."""

_CHUNK: Final = 4096
_AT_ONCE: Final = 16
"""Chunks of a text that are tokenised together: an Encoding takes 130 bytes a token."""

_SPACES: Final = " \n\t\u3000"


class TokenPlaces:
    """Finds the character at which each token of a text begins, whatever the text's length. Safe to use from several
    threads.

    With `words`, BERT's word cache, all tokens of a short word are placed at its beginning.
    """

    def __init__(self, tokenizer: Tokenizer, words: WordIds | None) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._words = words

    def __call__(self, text: str) -> NDArray[np.int64]:
        """Ascending, int64 (tokens,), without special tokens. Where a text has no spaces for thousands of characters,
        a token or two may be missing or too many."""
        chunks = _chunks(text)
        found: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
        while some := list(islice(chunks, _AT_ONCE)):
            if self._words is None:
                parts = self._by_tokenizer([part for _, part in some])
            else:
                parts = [self._by_words(part, self._words) for _, part in some]
            found += [start + places for (start, _), places in zip(some, parts, strict=True)]
        return np.concatenate(found)

    def _by_words(self, text: str, words: WordIds) -> NDArray[np.int64]:
        starts = [match.start() for match in _WORD.finditer(text)]
        found = _WORD.findall(text)
        # With a bracket it may be a special token, which isn't cached.
        tokens = [len(words[word]) // 4 if len(word) <= _LONG and "[" not in word else _MANY for word in found]
        divided = [row for row, count in enumerate(tokens) if count >= _MANY]
        within = self._by_tokenizer([found[row] for row in divided])
        for row, places in zip(divided, within, strict=True):
            tokens[row] = len(places)
        every = np.repeat(np.array(starts, dtype=np.int64), tokens)
        ends = np.cumsum(tokens)
        for row, places in zip(divided, within, strict=True):
            every[ends[row] - len(places) : ends[row]] += places
        return every

    def _by_tokenizer(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False) if texts else []
        # Some tokenizers count the space before a word as part of its first token.
        places = (
            [begin + (end - begin > 1 and text[begin].isspace()) for begin, end in encoding.offsets]
            for text, encoding in zip(texts, encodings, strict=True)
        )
        return [np.array(each, dtype=np.int64) for each in places]


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """The text in pieces that begin with a space where possible, each with its offset: words keep their tokens."""
    start = 0
    while start < len(text):
        end = start + _CHUNK
        if end < len(text):
            end = max(text.rfind(space, start + 1, end) for space in _SPACES)
            end = end if end > start else start + _CHUNK
        yield start, text[start:end]
        start = end
