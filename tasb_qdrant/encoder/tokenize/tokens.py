"""Text to token ids, exactly as the model's own tokenizer gives them, whatever a text's length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from operator import not_
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer, models, normalizers, pre_tokenizers

from tasb_qdrant.encoder.protocol import Part, TokenBatch
from tasb_qdrant.encoder.tokenize.nano import NanoTokens, nano_tokens
from tasb_qdrant.encoder.tokenize.places import TokenPlaces
from tasb_qdrant.encoder.tokenize.words import WordIds
from tasb_qdrant.errors import InvalidInputError

LONG: Final = 16
"""Characters per token. A text with more than that for every token the model reads is read only as far as needed."""

_ID: Final = np.dtype(np.int32)
_MANY: Final = 64
"""Texts of a call from which nanotoken is asked: it takes 50 ms to load, and a query's words are known sooner."""

_AT_ONCE: Final = 1024  # an Encoding takes about 10 KB, so this limits memory; two threads stay busy
_WINDOW: Final = 1024
_BERT_BREAKS: Final = " \t\n\r!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u3002\u3001\uff0c\uff01\uff1f"
_CJK: Final = "\u3400-\u4dbf\u4e00-\u9fff"


class Tokenization:
    """A tokenizer that truncates to `max_length` tokens, keeping a text's beginning, or its end. Safe to use from
    several threads. With `use_nano` false, nanotoken is left alone, as where it isn't installed."""

    def __init__(self, tokenizer: Tokenizer, *, max_length: int, keep_end: bool = False, use_nano: bool = True) -> None:
        self.max_length = max_length
        self.keep_end = keep_end
        self._use_nano = use_nano
        self._note = ""
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length, direction="left" if keep_end else "right")
        # Both of these find a text's first tokens.
        self._prefix = None if keep_end else Prefix.of(self._tokenizer)
        self._words = None if keep_end else WordIds.of(self._tokenizer)

    def __call__(self, texts: Sequence[str], *, prompt: str = "") -> TokenBatch:
        """The ids of `prompt + text`, with special tokens. Raises InvalidInputError."""
        check_texts(texts)
        if len(texts) >= _MANY and self.nano is not None:
            whole = [prompt + text for text in texts] if prompt else texts
            if max(map(len, whole)) <= LONG * self.max_length:
                return self.nano(whole)
        return self._by_words(texts, prompt)

    @cached_property
    def nano(self) -> NanoTokens | None:
        """nanotoken's tokenizer for the same ids, or None: it isn't installed, or not fit for this model."""
        if not self._use_nano:
            return None
        found, self._note = nano_tokens(self._tokenizer, max_length=self.max_length, keep_end=self.keep_end)
        return found

    @property
    def itself(self) -> Tokenization:
        """This one: others distribute texts over processes, each of which has one."""
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        """Why what is installed isn't used; known once many texts have been tokenized."""
        return (self._note,) if self._note else ()

    def __getstate__(self) -> dict[str, object]:
        """For another process, which loads nanotoken itself."""
        return {name: value for name, value in vars(self).items() if name != "nano"}

    def _by_words(self, texts: Sequence[str], prompt: str) -> TokenBatch:
        """By the words that are known, and the model's own tokenizer."""
        parts: list[bytes] = []
        longer: list[bool] = []
        for start in range(0, len(texts), _AT_ONCE):
            found, cut = self._ids([prompt + text for text in texts[start : start + _AT_ONCE]])
            parts += found
            longer += cut
        offsets = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(part) // _ID.itemsize for part in parts], out=offsets[1:])
        # A bytearray, because a NumPy array over bytes is read-only, which torch warns about.
        ids = np.frombuffer(bytearray().join(parts), dtype=_ID)
        return TokenBatch(ids, offsets, sum(longer), np.array(longer, dtype=np.bool_))

    def parts(self, texts: Sequence[str], *, prompt: str = "") -> Iterator[Part]:
        """The same, in a single part: only this thread works on it."""
        return iter([Part(0, self(texts, prompt=prompt))])

    def places(self, text: str) -> NDArray[np.int64]:
        """Where each token of the text begins, as TokenPlaces says. Raises InvalidInputError."""
        check_texts([text])
        return self._places(text)

    @cached_property
    def _places(self) -> TokenPlaces:
        return TokenPlaces(self._tokenizer, WordIds.of(self._tokenizer) if self._words is None else self._words)

    def _ids(self, texts: list[str]) -> tuple[list[bytes], list[bool]]:
        """The ids of each text as int32 bytes, and whether it was truncated."""
        words = self._words
        if words is None:
            return self._ids_by_tokenizer(texts)
        room = (self.max_length - 2) * _ID.itemsize
        longest = LONG * self.max_length
        known = [len(text) <= longest and words.knows(text) for text in texts]
        rest = zip(*self._ids_by_tokenizer(list(compress(texts, map(not_, known)))), strict=True)
        found: list[bytes] = []
        longer: list[bool] = []
        for text, by_words in zip(texts, known, strict=True):
            if by_words:
                ids = words.ids(text)
                found.append(words.begin + ids[:room] + words.end)
                longer.append(len(ids) > room)
            else:
                ids, cut = next(rest)
                found.append(ids)
                longer.append(cut)
        return found, longer

    def _ids_by_tokenizer(self, texts: list[str]) -> tuple[list[bytes], list[bool]]:
        encodings = self._encode(texts) if texts else []
        cut = [bool(encoding.overflowing) for encoding in encodings]
        return [np.array(encoding.ids, dtype=_ID).tobytes() for encoding in encodings], cut

    def _encode(self, texts: list[str]) -> list[Encoding]:
        longest = LONG * self.max_length
        if self._prefix is None or all(len(text) <= longest for text in texts):
            return self._batch(texts)
        short = iter(self._batch([text for text in texts if len(text) <= longest]))
        return [next(short) if len(text) <= longest else self._encode_long(text) for text in texts]

    def _encode_long(self, text: str) -> Encoding:
        """The same as for the whole text, from the shortest prefix that is enough: 16 MiB of Chinese would otherwise
        take 46 s and 5 GB."""
        if self._prefix is None:
            return self._batch([text])[0]
        text = self._prefix.collapse(text)
        size = LONG * self.max_length
        while size < len(text):
            if cut := self._prefix.last_break(text, size):
                encoding = self._batch([text[:cut]])[0]
                if encoding.overflowing:
                    return encoding
            size *= 2
        return self._batch([text])[0]

    def _batch(self, texts: list[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch_fast(texts)


@dataclass(frozen=True, slots=True)
class PassageTokenizer:
    """A tokenizer of passages for another process; `prompt` is put before each."""

    tokenization: Tokenization
    prompt: str

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        """The ids of `texts`. Raises InvalidInputError."""
        return self.tokenization(texts, prompt=self.prompt)


class Prefix:
    """Where a text can be cut so that the prefix has the same tokens as in the whole text."""

    def __init__(self, *, breaks: re.Pattern[str], word_limit: int) -> None:
        self._breaks = breaks
        self._run = re.compile(rf"[A-Za-z0-9]{{{word_limit + 2},}}")
        self._kept = word_limit + 1

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Prefix | None:
        """None for a tokenizer that isn't BERT's, whose words may span any character.

        BERT's normaliser changes each character by itself, and its words end before every whitespace, punctuation mark
        and ideograph, so a cut there changes nothing to its left. Only a special token in the text, such as [SEP],
        spans punctuation, so texts are not cut at its characters.
        """
        normalizer, model = tokenizer.normalizer, tokenizer.model
        plain = (
            isinstance(normalizer, normalizers.BertNormalizer)
            and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            and isinstance(model, models.WordPiece)
        )
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        bracketed = all(not text[:1].isalnum() and not text[-1:].isalnum() for text in added)
        if not plain or not bracketed:
            return None
        taken = set("".join(added))
        breaks = re.escape("".join(sorted(set(_BERT_BREAKS) - taken)))
        cjk = _CJK if normalizer.handle_chinese_chars and not re.search(f"[{_CJK}]", "".join(taken)) else ""
        return cls(breaks=re.compile(f"[{breaks}{cjk}]"), word_limit=model.max_input_chars_per_word)

    def collapse(self, text: str) -> str:
        """`text` with overlong runs of letters shortened: beyond the limit they are [UNK] whatever their length."""
        return self._run.sub(lambda run: run.group()[: self._kept], text)

    def last_break(self, text: str, end: int) -> int:
        """The last place to cut before `end`, or 0 if there is none nearby."""
        start = max(1, end - _WINDOW)
        return max((match.start() for match in self._breaks.finditer(text, start, end)), default=0)


def check_texts(texts: Sequence[str]) -> None:
    """Raise InvalidInputError for anything but a sequence of strings that UTF-8 can encode."""
    if isinstance(texts, str):
        raise InvalidInputError("expected a sequence of texts, found a single string; put it into a list")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInputError(f"text {index} must be a string, found {type(text).__name__}")
        if text.isascii():
            continue
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"text {index} has half of a surrogate pair at offset {error.start}; correct its encoding"
            ) from error
