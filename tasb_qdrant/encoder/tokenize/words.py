"""The ids of texts, word by word from memory: what the tokenizer said about a word, it says again."""

from __future__ import annotations

from typing import Final

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

_KEPT: Final = 1 << 18  # words, about 60 MB; natural text of one language has 80% of its words among the first 10⁵
_LONG: Final = 64  # characters of a word, above which it is asked for anew each time
_ALIKE: Final = frozenset(".,;:!?()\"'")
_ID: Final = np.dtype(np.int32)


class WordIds(dict[str, bytes]):
    """What stands between two spaces, to its ids: int32, as bytes, without special tokens.

    Exact because BERT's normaliser changes each character by itself, its words end at every space, and
    each word gets its ids by itself; the ids of an unknown word come from the tokenizer. Safe to use from
    several threads: at worst two of them ask for the same word.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._lowercase = bool(tokenizer.normalizer.lowercase)
        begin, *_, end = self._tokenizer.encode("a").ids
        self.begin, self.end = _bytes([begin]), _bytes([end])

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> WordIds | None:
        """None for a tokenizer that isn't BERT's, in which words may depend on their neighbours."""
        plain = (
            isinstance(tokenizer.normalizer, normalizers.BertNormalizer)
            and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            and isinstance(tokenizer.model, models.WordPiece)
        )
        # A text without "[" must hold no special token, and each text get one token before and one after.
        bracketed = all("[" in token.content for token in tokenizer.get_added_tokens_decoder().values())
        if not plain or not bracketed:
            return None
        bare, whole = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
        return cls(tokenizer) if whole[1:-1] == bare and len(whole) == len(bare) + 2 else None

    def knows(self, text: str) -> bool:
        """Whether `text` can be read word by word, and is made of words; Chinese, for one, has no spaces."""
        return "[" not in text and len(text) <= _LONG + 16 * text.count(" ")

    def ids(self, text: str) -> bytes:
        """The ids of a text that `knows` says yes to."""
        return b"".join(map(self.__getitem__, text.split(" ")))

    def __missing__(self, word: str) -> bytes:
        ids = self._find(word)
        if len(word) <= _LONG:
            if len(self) >= _KEPT:
                self.clear()
            self[word] = ids
        return ids

    def _find(self, word: str) -> bytes:
        """From a simpler word where there is one: half of all new words are known but for a comma or a capital."""
        if word.isascii() and len(word) <= _LONG:
            if self._lowercase and (lower := word.lower()) != word:
                return self[lower]
            if len(word) > 1 and word[-1] in _ALIKE:
                return self[word[:-1]] + self[word[-1]]
            if len(word) > 1 and word[0] in _ALIKE:
                return self[word[0]] + self[word[1:]]
        return _bytes(self._tokenizer.encode(word, add_special_tokens=False).ids)


def _bytes(ids: list[int]) -> bytes:
    return np.array(ids, dtype=_ID).tobytes()
