"""BERT's tokenizer from its files, without transformers, if the result is exactly the same.

transformers takes the vocabulary from tokenizer.json and the rules from tokenizer_config.json. A folder is plain if
both files say the same, so that it makes no difference which is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, models

from tasb_qdrant.encoder.model.entries import (
    Check,
    UnusualModelError,
    check_entries,
    count,
    flag,
    one_of,
    read_object,
    size,
    text,
)

_MANY: Final = 100_000
"""Vocabulary size above which transformers checks for a known bug in other models' tokenizers."""

_SPECIAL: Final = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_PLAIN_TOKEN: Final = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_UNLIMITED: Final = 10**30


@dataclass(frozen=True, slots=True)
class OwnTokenizer:
    """A model's tokenizer, the number of tokens that it says the model reads, and whether longer texts lose their
    beginning.

    The rest concerns batches of pairs, which only transformers knows about: whether the model gets token types, the
    padding id (None if there is none), and the padding side.
    """

    backend: Tokenizer
    max_length: int
    token_types: bool = False
    padding: int | None = None
    padded_left: bool = False
    truncated_left: bool = False


def plain_tokenizer(folder: Path) -> OwnTokenizer:
    """BERT's tokenizer from tokenizer.json, if every other file agrees with it.

    Raises UnusualModelError if one doesn't, has something unknown in it, or can't be read.
    """
    if (folder / "added_tokens.json").exists():
        raise UnusualModelError("added_tokens.json")
    whole = read_object(folder / "tokenizer.json")
    settings = _optional(folder / "tokenizer_config.json")
    _check_settings(settings, whole.get("added_tokens"))
    _check_names(_optional(folder / "special_tokens_map.json"), typed=False)
    _check_rules(whole, settings)
    limit = settings.get("model_max_length")
    try:
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the Rust side raises Exception itself
        raise UnusualModelError(str(error)) from error
    if not isinstance(backend.model, models.WordPiece):
        raise UnusualModelError("model")
    left = settings.get("truncation_side") == "left"
    return OwnTokenizer(backend, _UNLIMITED if limit is None else limit, truncated_left=left)


def _optional(path: Path) -> dict[str, Any]:
    """The JSON object in a file, {} if there is none."""
    return read_object(path) if path.exists() else {}


def _check_rules(whole: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raise UnusualModelError unless tokenizer.json is what transformers would build from its vocabulary."""
    model = whole.get("model")
    words = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(words, dict) or len(words) > _MANY:
        raise UnusualModelError("model")
    expected: dict[str, Any] = {
        "version": "1.0",
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
            "strip_accents": settings.get("strip_accents"),
            "lowercase": settings.get("do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": words,
        },
    }
    if "type" not in model:  # tokenizers didn't write it in 2020 and 2021
        del expected["model"]["type"]
    for part, content in expected.items():
        if whole.get(part) != content:
            raise UnusualModelError(part)
    if whole.keys() - expected.keys() - {"truncation", "padding", "added_tokens", "post_processor", "decoder"}:
        raise UnusualModelError("an unknown part")
    _check_added(whole.get("added_tokens"), words)
    _check_template(whole.get("post_processor"), words)
    _check_truncation(whole.get("truncation"))


def _check_added(added: Any, words: dict[str, Any]) -> None:
    expected = [{"id": words.get(name), "content": name} | _PLAIN_TOKEN for name in _SPECIAL.values()]
    if not isinstance(added, list) or len(added) != len(expected) or any(token not in added for token in expected):
        raise UnusualModelError("added_tokens")


def _check_template(template: Any, words: dict[str, Any]) -> None:
    """[CLS] text [SEP]; whatever it says about pairs is ignored."""
    if not isinstance(template, dict):
        raise UnusualModelError("post_processor")
    begin, end = ([name, words.get(name)] for name in ("[CLS]", "[SEP]"))
    if template == {"type": "BertProcessing", "cls": begin, "sep": end}:
        return
    single = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    special = {name: {"id": name, "ids": [words.get(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    if (template.get("type"), template.get("single"), template.get("special_tokens")) != (
        "TemplateProcessing",
        single,
        special,
    ):
        raise UnusualModelError("post_processor")


def _check_truncation(truncation: Any) -> None:
    """`Tokenization` truncates texts, not this setting, but transformers validates it."""
    if truncation is not None and (not isinstance(truncation, dict) or truncation.get("stride") != 0):
        raise UnusualModelError("truncation")


def _check_settings(settings: dict[str, Any], added: Any) -> None:
    """Raise UnusualModelError for an entry of tokenizer_config.json that isn't known to be harmless."""
    settings = dict(settings)
    _check_names({name: settings.pop(name) for name in _SPECIAL if name in settings}, typed=True)
    if "added_tokens_decoder" in settings:
        _check_decoder(settings.pop("added_tokens_decoder"), added)
    check_entries(settings, _SETTINGS)


def _check_names(names: dict[str, Any], *, typed: bool) -> None:
    """Raise UnusualModelError for a special token with another name, or with rules of its own.

    A token is a string or an object; if `typed`, objects carry a `__type`.
    """
    for name, value in names.items():
        content = _SPECIAL.get(name)
        token = {"content": content} | _PLAIN_TOKEN | ({"__type": "AddedToken"} if typed else {})
        written = isinstance(value, dict) and value.keys() >= token.keys() - _PLAIN_TOKEN.keys()
        if content is None or not (value == content or (written and token | value == token)):
            raise UnusualModelError(name)


def _check_decoder(decoder: Any, added: Any) -> None:
    if not isinstance(decoder, dict) or not all(isinstance(token, dict) for token in decoder.values()):
        raise UnusualModelError("added_tokens_decoder")
    listed = [{"id": number} | token for number, token in decoder.items()]
    if not isinstance(added, list) or len(listed) != len(added):
        raise UnusualModelError("added_tokens_decoder")
    if any(not isinstance(token, dict) or token | {"id": str(token.get("id"))} not in listed for token in added):
        raise UnusualModelError("added_tokens_decoder")


_SIDE: Final = one_of("left", "right")
_NONE: Final = one_of(None, [], {})
# Entries of tokenizer_config.json: those that `_check_rules` compares, then those that don't affect tokens.
_SETTINGS: Final[dict[str, Check]] = {
    "tokenizer_class": one_of("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast"),
    "model_max_length": lambda value: value is None or size(value),
    "do_lower_case": flag,
    "tokenize_chinese_chars": flag,
    "strip_accents": one_of(True, False, None),
    "do_basic_tokenize": one_of(True),
    "clean_text": one_of(True),
    "never_split": _NONE,
    "additional_special_tokens": _NONE,
    "extra_special_tokens": _NONE,
    "backend": one_of("tokenizers"),
    "is_local": flag,
    "local_files_only": flag,
    "name_or_path": text,
    "special_tokens_map_file": lambda value: value is None or text(value),
    "tokenizer_file": lambda value: value is None or text(value),
    "clean_up_tokenization_spaces": flag,
    "padding_side": _SIDE,
    "truncation_side": _SIDE,
    "truncation_strategy": one_of("longest_first"),
    "max_length": count,
    "stride": one_of(0),
    "pad_to_multiple_of": count,
    "pad_token_type_id": count,
}
