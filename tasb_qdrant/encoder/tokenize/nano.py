"""Token ids by nanotoken, which is ten times as fast, where it gives the ids of the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from tokenizers import Tokenizer

from tasb_qdrant.encoder.protocol import TokenBatch

if TYPE_CHECKING:
    from nanotoken import WordPieceTokenizer

_KEPT: Final = 1 << 18
"""Entries of each of the two caches of a thread, 32 MiB at most; nanotoken's own bound is four times as high."""

_VOCABULARY: Final = 16
"""One in so many of the vocabulary's entries is part of the trial: all of them would take a tenth of a second."""

_TRIAL: Final = (
    *("", " ", "the capital of France", "Don't PANIC, it's 1,234.50 (e.g. in the U.S.)!", "unaffable state-of-the-art"),
    *("[CLS] a [SEP]b[MASK] [UNK] [PAD]", "[SEP", "SEP]", "[ SEP ]", "[[SEP]]", "\uff3bSEP\uff3d", "##ing x##ing"),
    *("Café naïve cafe\u0301 \u0301 \u0338x", "İstanbul ßẞ ΑΣΑΣ ς ﬁ ﬀ K ½", "가나다 \u1100\u1161 हिन्दी ไทย"),
    *("漢字カタカナ。\uff0c 한국어 𠀀", "😀 👩\u200d👩\u200d👧 🇩🇪", "a\u200bb \ufeffc \ufffd \xadd \u2028e\u2029f"),
    *("a\0b\x07c\x1cd\x1fe\x7ff\x85g\u00a0h\u3000i\tj\nk\rl\vm\fn", "x" * 100, "y" * 101, "." * 70, "!?" * 40),
    "The quick brown fox jumps over the lazy dog. " * 30,
)


class NanoTokens:
    """nanotoken's tokenizer of a model, which truncates to `max_length` tokens. Safe to use from several threads."""

    def __init__(self, own: WordPieceTokenizer, *, max_length: int, keep_end: bool) -> None:
        self._own = own
        self._max_length = max_length
        self._side = "left" if keep_end else "right"

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        """The ids of `texts`, with special tokens."""
        # With one token more than the model reads, it shows which texts are longer; then that one is taken out.
        # In this thread alone: it keeps up with a GPU, and the other cores are the pipeline's.
        found, offsets = self._own.encode_batch(
            texts, max_length=self._max_length + 1, truncation_side=self._side, parallel=False
        )
        ids = found.view(np.int32)
        longer = offsets[1:] - offsets[:-1] > self._max_length
        truncated = int(longer.sum())
        if truncated:
            ids = np.delete(ids, self._spare(offsets)[longer])
            offsets = offsets.copy()
            offsets[1:] -= np.cumsum(longer)
        return TokenBatch(ids, offsets, truncated, longer)

    def _spare(self, offsets: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where each text's last token stands that truncation would have removed."""
        if self._side == "left":
            return offsets[:-1] + len(self._own.prefix_ids)
        return offsets[1:] - len(self._own.suffix_ids) - 1


def nano_tokens(tokenizer: Tokenizer, *, max_length: int, keep_end: bool) -> tuple[NanoTokens | None, str]:
    """nanotoken's for `tokenizer`, or None; and, if it is installed and yet not used, a note that says why.

    `tokenizer` truncates to `max_length` from the side that `keep_end` says, and pads nothing. What nanotoken gives
    for a trial of hostile texts and of the vocabulary must be equal to what it gives.
    """
    try:
        import nanotoken
    except ImportError:
        return None, ""
    try:
        if nanotoken.get_cache_entries() > _KEPT:
            nanotoken.set_cache_entries(_KEPT)
        own = nanotoken.WordPieceTokenizer.from_json(tokenizer.to_str())
        found = NanoTokens(own, max_length=max_length, keep_end=keep_end)
        difference = _difference(found, tokenizer)
    except nanotoken.UnsupportedTokenizerError:
        return None, ""  # not WordPiece: nothing is amiss
    except Exception as error:  # of an alpha release, whose errors aren't documented
        return None, f"Tokenizing without nanotoken: it failed ({error})."
    return (None, f"Tokenizing without nanotoken: {difference}.") if difference else (found, "")


def _difference(found: NanoTokens, tokenizer: Tokenizer) -> str:
    """What is different from the model's own tokenizer; "" if nothing is."""
    words = [entry.replace("##", "a") for entry in sorted(tokenizer.get_vocab())[::_VOCABULARY]]
    texts = [*_TRIAL, *(" ".join(words[start : start + 100]) for start in range(0, len(words), 100))]
    ours, theirs = found(texts), tokenizer.encode_batch_fast(texts)
    for text, index, encoding in zip(texts, range(len(texts)), theirs, strict=True):
        if ours[index].tolist() != encoding.ids:
            return f"its ids of {text[:40]!r} are not those of the model's own tokenizer"
    if ours.truncated != sum(bool(encoding.overflowing) for encoding in theirs):
        return "it truncates other texts than the model's own tokenizer"
    return ""
