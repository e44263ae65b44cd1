"""The model's tokenizer from its files: read here if they are plain, otherwise by transformers."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer, normalizers

from tasb_qdrant.encoder.model.config import ModelConfig
from tasb_qdrant.encoder.model.entries import UnusualModelError
from tasb_qdrant.encoder.model.json_files import read_optional
from tasb_qdrant.encoder.model.layout import Layout
from tasb_qdrant.encoder.tokenize.plain import OwnTokenizer, plain_tokenizer
from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.errors import CorruptModelError

_MOST_ADDED: Final = 20_000
_AFTER_PADDING: Final = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm")


def load_tokenization(layout: Layout, config: ModelConfig) -> Tokenization:
    """The model's tokenizer as transformers loads it, limited to the length that layout, tokenizer and model allow.

    Raises CorruptModelError.
    """
    folder = layout.tokenizer_folder
    own = load_tokenizer(folder, config)
    tokenizer = own.backend
    if layout.lowercase and not getattr(tokenizer.normalizer, "lowercase", False):
        parts = [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
        tokenizer.normalizer = normalizers.Sequence(parts)
    check_vocabulary(tokenizer, folder, embedded=config.vocab_size)
    max_length = min(layout.max_length or own.max_length, _positions(config))
    if max_length <= tokenizer.num_special_tokens_to_add(is_pair=False):
        raise CorruptModelError(f"{folder} reads only {max_length} tokens, which leaves none for the text")
    return Tokenization(tokenizer, max_length=max_length, keep_end=own.truncated_left)


def check_vocabulary(tokenizer: Tokenizer, folder: Path, *, embedded: int) -> None:
    """Raise CorruptModelError if `tokenizer` has ids that a model of `embedded` ids doesn't know."""
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if highest >= embedded:
        raise _too_many(folder, highest, embedded)


def _too_many(folder: Path, highest: int, embedded: int) -> CorruptModelError:
    return CorruptModelError(
        f"the tokenizer in {folder} has ids up to {highest}, but the model embeds {embedded}; the files belong to "
        "different models"
    )


def load_tokenizer(folder: Path, config: ModelConfig) -> OwnTokenizer:
    """The tokenizer in `folder`. Raises CorruptModelError."""
    if config.plain:
        # If anything about the files is unusual or wrong, transformers knows best what it means.
        with suppress(UnusualModelError):
            return plain_tokenizer(folder)
    return general_tokenizer(folder, embedded=config.vocab_size)


def general_tokenizer(folder: Path, *, embedded: int | None = None) -> OwnTokenizer:
    """The tokenizer in `folder` as transformers loads it, which takes long for many words: with more than a model has
    `embedded` it isn't tried. Raises CorruptModelError."""
    from transformers import AutoTokenizer

    added = model = None
    with suppress(CorruptModelError):  # transformers says it below
        whole = read_optional(folder / "tokenizer.json")
        added, model = whole.get("added_tokens"), whole.get("model")
    words = model.get("vocab") if isinstance(model, dict) else None
    if embedded is not None and isinstance(words, dict | list) and len(words) > embedded:
        raise _too_many(folder, len(words) - 1, embedded)
    if isinstance(added, list) and len(added) > _MOST_ADDED:  # they are added one by one, each slower than the last
        raise CorruptModelError(
            f"{folder / 'tokenizer.json'} has {len(added):,} added tokens; expected at most {_MOST_ADDED:,}; get the "
            "file again, or choose another --model"
        )
    try:
        own = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, use_fast=True)
        backend: Tokenizer = Tokenizer.from_str(own.backend_tokenizer.to_str())
    except Exception as error:  # the Rust side raises Exception itself for a file that it can't parse
        raise CorruptModelError(f"the tokenizer in {folder} can't be loaded ({error}); get its files again") from error
    return OwnTokenizer(
        backend,
        _length(own.model_max_length, folder),
        token_types=_takes_token_types(own.model_input_names, folder),
        padding=own.pad_token_id,
        padded_left=own.padding_side == "left",
        truncated_left=own.truncation_side == "left",
    )


def _length(value: object, folder: Path) -> int:
    """Tokens that the tokenizer says the model reads. Some files say it as a float."""
    if type(value) in (int, float) and 1 <= value < math.inf and value % 1 == 0:  # type: ignore[operator]  # a number
        return int(value)  # type: ignore[call-overload,no-any-return]  # just found to be one
    raise CorruptModelError(
        f"the tokenizer in {folder} has a model_max_length of {value!r:.40}; expected a positive whole number; correct "
        "its tokenizer_config.json, or get it again"
    )


def _takes_token_types(names: object, folder: Path) -> bool:
    if isinstance(names, list | tuple):
        return "token_type_ids" in names
    raise CorruptModelError(
        f"the tokenizer in {folder} has model_input_names of {names!r:.40}; expected a list of names; correct its "
        "tokenizer_config.json, or get it again"
    )


def _positions(config: ModelConfig) -> int:
    """Tokens that the model has positions for; RoBERTa's start after the padding id, MPNet's always at 2."""
    if config.family in _AFTER_PADDING:
        return config.positions - config.padding - 1
    return config.positions - 2 if config.family == "mpnet" else config.positions
