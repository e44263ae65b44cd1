"""The word cache: token ids of texts, word by word, since the tokenizer always gives a word the same ids."""

from __future__ import annotations

from typing import Final

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

_KEPT: Final = 1 << 18  # words, about 60 MB; in natural text of one language, 80% of the words are among the first 10⁵
_LONG: Final = 64  # characters; longer words aren't cached
_ALIKE: Final = frozenset(".,;:!?()\"'")
_ID: Final = np.dtype(np.int32)


class WordIds(dict[str, bytes]):
    """Maps what stands between two spaces to its ids: int32, as bytes, without special tokens.

    This is exact, because BERT's normaliser changes each character by itself, its words end at every space, and each
    word's ids depend on the word alone; an unknown word goes to the tokenizer. Safe to use from several threads: at
    worst, two of them tokenise the same word.
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
        """None for a tokenizer that isn't BERT's, whose words may depend on their neighbours."""
        plain = (
            isinstance(tokenizer.normalizer, normalizers.BertNormalizer)
            and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            and isinstance(tokenizer.model, models.WordPiece)
        )
        # A text without "[" must contain no special token, and each text must get one token before and one after.
        bracketed = all("[" in token.content for token in tokenizer.get_added_tokens_decoder().values())
        if not plain or not bracketed:
            return None
        bare, whole = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
        return cls(tokenizer) if whole[1:-1] == bare and len(whole) == len(bare) + 2 else None

    def knows(self, text: str) -> bool:
        """Whether `text` can be tokenised word by word; Chinese, for one, has no spaces between words."""
        return "[" not in text and len(text) <= _LONG + 16 * text.count(" ")

    def ids(self, text: str) -> bytes:
        """The ids of a text for which `knows` is true."""
        return b"".join(map(self.__getitem__, text.split(" ")))

    def __missing__(self, word: str) -> bytes:
        ids = self._find(word)
        if len(word) <= _LONG:
            if len(self) >= _KEPT:
                self.clear()
            self[word] = ids
        return ids

    def _find(self, word: str) -> bytes:
        """From a simpler word if possible: half of all new words are known apart from a comma or a capital."""
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
