"""Where in a text its tokens are, for whoever divides texts by tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
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

_FEW: Final = 8
"""Tokens. A word of more than that is divided within, too."""

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
        places = self._by_tokenizer(text, 0) if self._words is None else self._by_words(text, self._words)
        pairs = np.fromiter(places, dtype=[("place", np.int64), ("tokens", np.int64)])
        return np.repeat(pairs["place"], pairs["tokens"])

    def _by_words(self, text: str, words: WordIds) -> Iterator[tuple[int, int]]:
        """Places, and how many tokens begin at each."""
        for match in _WORD.finditer(text):
            word, start = match[0], match.start()
            # With a bracket it may be a special token, which isn't cached.
            cached = len(word) <= _LONG and "[" not in word
            tokens = len(words[word]) // 4 if cached else 0
            if cached and tokens <= _FEW:
                yield start, tokens
            else:
                yield from self._by_tokenizer(word, start)

    def _by_tokenizer(self, text: str, start: int) -> Iterator[tuple[int, int]]:
        chunks = _chunks(text)
        while some := list(islice(chunks, _AT_ONCE)):
            encodings = self._tokenizer.encode_batch([part for _, part in some], add_special_tokens=False)
            for (offset, part), encoding in zip(some, encodings, strict=True):
                for begin, end in encoding.offsets:
                    # Some tokenizers count the space before a word as part of its first token.
                    spaces = end - begin > 1 and part[begin].isspace()
                    yield start + offset + begin + spaces, 1


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
