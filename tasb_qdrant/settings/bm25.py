"""How text becomes BM25 sparse vectors."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import (
    Field,
)

from tasb_qdrant.settings.base import Frozen

Bm25Language = Literal[
    "none",
    "arabic",
    "azerbaijani",
    "basque",
    "bengali",
    "catalan",
    "chinese",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hebrew",
    "hinglish",
    "hungarian",
    "indonesian",
    "italian",
    "japanese",
    "kazakh",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "slovene",
    "spanish",
    "swedish",
    "tajik",
    "turkish",
]
"""Languages that Qdrant's BM25 has stopwords for, and stemmers for many. "none" leaves words as they are."""


_UNSPACED: Final = frozenset({"chinese", "japanese"})
"""Languages written without spaces between words."""


DEFAULT_AVG_LEN: Final = 256.0
"""Qdrant's default, for passages that haven't been measured."""


class Bm25Settings(Frozen):
    """How passages and queries become BM25 sparse vectors, named `bm25`; the defaults are Qdrant's.

    `stemmer` and `stopwords` say whether words of the `language` are stemmed and stopwords removed, `ascii_folding`
    whether é is e. `tokenizer` None means
    "multilingual", which segments text without spaces, for Chinese and Japanese, and "word" otherwise. `k` sets how
    much repeated words count, `b` how much a passage's length matters relative to `avg_len`, the average passage
    length in words without stopwords; None means that it is measured.
    """

    language: Bm25Language = "english"
    stemmer: bool = True
    stopwords: bool = True
    ascii_folding: bool = False
    tokenizer: Literal["word", "multilingual"] | None = None
    k: float = Field(default=1.2, ge=0, allow_inf_nan=False)
    b: float = Field(default=0.75, ge=0, le=1)
    avg_len: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def differences(self, wanted: Bm25Settings) -> list[tuple[str, object, object]]:
        """(what, mine, wanted) for each difference that changes vectors; in `wanted`, `avg_len` None accepts any."""
        pairs = [(name, getattr(self, name), getattr(wanted, name)) for name in type(self).model_fields]
        pairs = [pair for pair in pairs if pair[0] not in ("avg_len", "tokenizer")]
        pairs.append(("tokenizer", self.words_by, wanted.words_by))
        if wanted.avg_len is not None:
            pairs.append(("avg_len", self.avg_len, wanted.avg_len))
        return [(f"BM25 {name}", mine, other) for name, mine, other in pairs if mine != other]

    def measured(self, avg_len: float) -> Bm25Settings:
        """The same settings with `avg_len` filled in, if they leave it to be measured."""
        return self.model_copy(update={"avg_len": self.avg_len or avg_len, "tokenizer": self.words_by})

    @property
    def words_by(self) -> Literal["word", "multilingual"]:
        """The tokenizer that applies."""
        return self.tokenizer or ("multilingual" if self.language in _UNSPACED else "word")
