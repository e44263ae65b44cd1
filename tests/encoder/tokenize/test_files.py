"""A tokenizer read without transformers is the one that transformers makes of the same files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tasb_qdrant.encoder.model.config import read_config
from tasb_qdrant.encoder.model.entries import UnusualModelError
from tasb_qdrant.encoder.tokenize.files import general_tokenizer, load_tokenizer
from tasb_qdrant.encoder.tokenize.plain import plain_tokenizer
from tests.models import TOKENIZER_FILES, minilm_folder

NAMES = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
Edit = Callable[[Path], object]


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    change(content)
    path.write_text(json.dumps(content))


def settings_with(**entries: Any) -> Edit:
    return lambda folder: edited(folder / "tokenizer_config.json", lambda found: found.update(entries))


def only_settings(entries: dict[str, Any]) -> Edit:
    return lambda folder: (folder / "tokenizer_config.json").write_text(json.dumps(entries))


def rules_with(**entries: Any) -> Edit:
    return lambda folder: edited(folder / "tokenizer.json", lambda found: found.update(entries))


def normalizer(**rules: Any) -> Edit:
    return lambda folder: edited(folder / "tokenizer.json", lambda found: found["normalizer"].update(rules))


def without(name: str) -> Edit:
    return lambda folder: (folder / name).unlink()


def with_file(name: str, content: Any) -> Edit:
    return lambda folder: (folder / name).write_text(json.dumps(content))


def both(*edits: Edit) -> Edit:
    def apply(folder: Path) -> None:
        for edit in edits:
            edit(folder)

    return apply


DECODER = {
    str(number): {"content": name, "special": True, **FLAGS}
    for number, name in ((0, "[PAD]"), (100, "[UNK]"), (101, "[CLS]"), (102, "[SEP]"), (103, "[MASK]"))
}
PLAIN: dict[str, Edit] = {
    "as packaged": lambda folder: None,
    "distilbert": settings_with(tokenizer_class="DistilBertTokenizer"),
    "fast class": settings_with(tokenizer_class="BertTokenizerFast"),
    "no settings": without("tokenizer_config.json"),
    "no special tokens map": without("special_tokens_map.json"),
    "no vocab.txt": without("vocab.txt"),
    "empty settings": only_settings({}),
    "cased": both(settings_with(do_lower_case=False), normalizer(lowercase=False)),
    "accents kept": both(settings_with(strip_accents=False), normalizer(strip_accents=False)),
    "accents stripped from cased": both(
        settings_with(strip_accents=True, do_lower_case=False), normalizer(strip_accents=True, lowercase=False)
    ),
    "ideographs together": both(settings_with(tokenize_chinese_chars=False), normalizer(handle_chinese_chars=False)),
    "listed tokens": settings_with(added_tokens_decoder=DECODER),
    "tokens as objects": both(
        settings_with(
            **{name: {"__type": "AddedToken", "content": token, **FLAGS} for name, token in NAMES.items()},
        ),
        with_file("special_tokens_map.json", {name: {"content": token, **FLAGS} for name, token in NAMES.items()}),
    ),
    "old template": rules_with(post_processor={"type": "BertProcessing", "cls": ["[CLS]", 101], "sep": ["[SEP]", 102]}),
    "model without its type": lambda folder: edited(
        folder / "tokenizer.json", lambda found: found["model"].pop("type")
    ),
    "no limits": both(rules_with(truncation=None, padding=None), settings_with(model_max_length=None)),
    "saved by sentence-transformers": settings_with(
        max_length=128,
        stride=0,
        truncation_side="right",
        truncation_strategy="longest_first",
        pad_to_multiple_of=None,
        pad_token_type_id=0,
        padding_side="right",
        clean_up_tokenization_spaces=True,
        additional_special_tokens=[],
        extra_special_tokens={},
        model_max_length=1000000000000000019884624838656,
    ),
}
UNUSUAL: dict[str, Edit] = {
    "vocab.txt alone": without("tokenizer.json"),
    "settings say cased": settings_with(do_lower_case=False),
    "rules say cased": normalizer(lowercase=False),
    "cased without saying so": both(only_settings({}), normalizer(lowercase=False)),
    "settings keep accents": settings_with(strip_accents=False),
    "settings keep ideographs": settings_with(tokenize_chinese_chars=False),
    "controls kept": normalizer(clean_text=False),
    "other class": settings_with(tokenizer_class="PreTrainedTokenizerFast"),
    "unknown setting": settings_with(split_special_tokens=True),
    "other name": settings_with(unk_token="[CLS]"),
    "other name in the map": with_file("special_tokens_map.json", {"cls_token": "[MASK]"}),
    "token with spaces": with_file("special_tokens_map.json", {"sep_token": {"content": "[SEP]", "lstrip": True}}),
    "another added token": with_file("added_tokens.json", {"hello": 30521}),
    "token added to the rules": lambda folder: edited(
        folder / "tokenizer.json",
        lambda found: found["added_tokens"].append({"id": 2000, "content": "to", "special": False, **FLAGS}),
    ),
    "extra token": settings_with(additional_special_tokens=["hello"]),
    "listed tokens differ": settings_with(added_tokens_decoder={**DECODER, "2000": {"content": "to"}}),
    "shorter words": lambda folder: edited(
        folder / "tokenizer.json", lambda found: found["model"].update(max_input_chars_per_word=5)
    ),
    "other words": rules_with(pre_tokenizer={"type": "Whitespace"}),
    "no template": rules_with(post_processor=None),
    "swapped template": rules_with(
        post_processor={"type": "BertProcessing", "cls": ["[SEP]", 102], "sep": ["[CLS]", 101]}
    ),
}
TEXTS = (
    *("", "Naïve Café, [SEP] 漢字!", "don't [MASK]ed", "a\x07b\u200bc\u00a0d", "ÀÉ İstanbul ﬁ Σ", "unaffable" * 20),
    *("hello to the WORLD", "e\u0301 漢\u0301 。 한국 😀", "[ SEP ] [sep] [PAD]"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", *TOKENIZER_FILES):
        shutil.copyfile(minilm_folder() / name, tmp_path / name)
    return tmp_path


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found: list[int] = tokenizer.encode(text).ids
    return found


@pytest.mark.parametrize("edit", PLAIN.values(), ids=PLAIN.keys())
def test_a_plain_tokenizer_is_what_transformers_makes_of_the_files(folder: Path, edit: Edit) -> None:
    edit(folder)
    ours, theirs = plain_tokenizer(folder), general_tokenizer(folder)
    assert ours.max_length == theirs.max_length or min(ours.max_length, theirs.max_length) > 10**9
    mine, own = (json.loads(tokenizer.backend.to_str()) for tokenizer in (ours, theirs))
    # The template is said in two ways; what it does is seen in the ids.
    assert {**mine, "post_processor": None} == {**own, "post_processor": None}
    for text in TEXTS:
        assert ids(ours.backend, text) == ids(theirs.backend, text)


@pytest.mark.parametrize("edit", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_no_other_is_plain(folder: Path, edit: Edit) -> None:
    edit(folder)
    with pytest.raises(UnusualModelError):
        plain_tokenizer(folder)


@pytest.mark.parametrize("kind", ["vocab.txt alone", "settings say cased", "cased without saying so", "another class"])
def test_one_that_is_not_plain_is_left_to_transformers(folder: Path, kind: str) -> None:
    if kind == "another class":
        edited(folder / "config.json", lambda found: found.update(tokenizer_class="BertTokenizer"))
    else:
        UNUSUAL[kind](folder)
    ours = load_tokenizer(folder, read_config(folder))
    assert ours.backend.to_str() == general_tokenizer(folder).backend.to_str()


@cache
def pair(kind: str) -> tuple[Tokenizer, Tokenizer]:
    """(plain, transformers') of an edited folder, which is gone when this returns."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("config.json", *TOKENIZER_FILES):
            shutil.copyfile(minilm_folder() / file, folder / file)
        PLAIN[kind](folder)
        return plain_tokenizer(folder).backend, general_tokenizer(folder).backend


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["as packaged", "cased", "accents kept", "ideographs together", "old template"]),
    text=st.one_of(st.text(max_size=200), st.lists(st.sampled_from(TEXTS), max_size=4).map("".join)),
)
def test_any_text_has_the_same_ids_by_both_ways(kind: str, text: str) -> None:
    ours, theirs = pair(kind)
    assert ids(ours, text) == ids(theirs, text)


def test_a_tokenizer_that_is_no_json_is_not_plain(folder: Path) -> None:
    for content in (b"", b"[]", b"{", b'{"model": {"vocab": {}}}'):
        (folder / "tokenizer.json").write_bytes(content)
        with pytest.raises(UnusualModelError):
            plain_tokenizer(folder)
