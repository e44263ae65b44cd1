"""nanotoken's ids are the model's own tokenizer's, or it isn't used and a note says why."""

from __future__ import annotations

import json
import pickle
import sys
from functools import cache
from typing import Any

import nanotoken
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers

from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.encoder.tokenize.nano import NanoTokens
from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.encoder.workers.tokenizing import SharedTokenization
from tasb_qdrant.errors import InvalidInputError
from tests.encoder.tokenize.test_words import TEXTS, changed, plain, tokenizer
from tests.models import minilm_folder

MANY = ["a text of some words", "another one"] * 40


@cache
def ways(max_length: int, keep_end: bool) -> tuple[Tokenization, Tokenizer]:
    """Ours, and the tokenizer that it has to agree with."""
    own = plain(tokenizer())
    own.enable_truncation(max_length, direction="left" if keep_end else "right")
    ours = Tokenization(tokenizer(), max_length=max_length, keep_end=keep_end)
    assert ours.nano is not None
    return ours, own


@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=8), max_length=st.sampled_from([3, 4, 9, 512]), keep_end=st.booleans()
)
def test_ids_and_truncation_are_the_tokenizers_own(texts: list[str], max_length: int, keep_end: bool) -> None:
    ours, own = ways(max_length, keep_end)
    many = texts * (64 // len(texts) + 1)
    found, expected = ours(many), own.encode_batch_fast(many)
    assert [found[index].tolist() for index in range(len(many))] == [encoding.ids for encoding in expected]
    assert found.truncated == sum(bool(encoding.overflowing) for encoding in expected)
    assert found.ids.dtype == np.int32
    assert found.offsets.dtype == np.int64


def test_a_prompt_is_part_of_each_text_and_counts_among_its_tokens() -> None:
    ours, own = ways(8, False)
    found = ours(MANY, prompt="query: ")
    assert found[0].tolist() == own.encode("query: " + MANY[0]).ids
    assert found.truncated == 40


def test_one_long_text_among_many_is_read_as_far_as_needed() -> None:
    ours, own = ways(9, False)
    texts = [*MANY, "漢字" * 100_000]
    found = ours(texts)
    assert found[len(MANY)].tolist() == own.encode(texts[-1][:100]).ids
    assert found[0].tolist() == own.encode(MANY[0]).ids


def test_few_texts_do_not_wait_for_it_to_load() -> None:
    ours = Tokenization(tokenizer(), max_length=32)
    ours(MANY[:8])
    assert "nano" not in vars(ours)
    ours(MANY)
    assert ours.nano is not None
    assert ours.notes == ()


def test_another_process_loads_its_own() -> None:
    ours, _ = ways(9, False)
    moved = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(moved(MANY).ids, ours(MANY).ids)
    assert moved.nano is not ours.nano


def test_for_a_gpu_it_gives_slices_of_texts_in_their_order_and_starts_no_process() -> None:
    ours, _ = ways(9, False)
    shared = SharedTokenization(ours, processes=2, size=30)
    parts = list(shared.parts(MANY))
    assert [(part.first, len(part.tokens)) for part in parts] == [(0, 30), (30, 30), (60, 20)]
    np.testing.assert_array_equal(TokenBatch.joined([part.tokens for part in parts]).ids, ours(MANY).ids)
    assert shared._pool is None
    with pytest.raises(InvalidInputError, match="text 40 must be a string, found int"):
        shared.parts([*MANY[:40], 5])  # type: ignore[list-item]  # what this test is about


def test_its_memory_is_bounded() -> None:
    ways(9, False)
    assert nanotoken.get_cache_entries() <= 1 << 18


def falls_back(ours: Tokenization) -> None:
    assert ours.nano is None
    expected = Tokenization(tokenizer(), max_length=32, use_nano=False)(MANY)
    np.testing.assert_array_equal(ours(MANY).ids, expected.ids)


def test_where_it_is_not_installed_words_are_known_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanotoken", None)
    ours = Tokenization(tokenizer(), max_length=32)
    falls_back(ours)
    assert ours.notes == ()


@pytest.mark.parametrize("kind", ["id", "order", "length"])
def test_where_its_ids_are_others_it_is_not_used_and_a_note_says_so(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def __init__(self, own: Any) -> None:
            self.own, self.prefix_ids, self.suffix_ids = own, own.prefix_ids, own.suffix_ids

        def encode_batch(self, texts: list[str], **options: Any) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
            ids, offsets = self.own.encode_batch(texts, **options)
            if kind == "id":
                ids[ids == self.own.token_to_id("##ffa")] += 1
            elif kind == "order":
                ids[:] = ids[::-1]
            else:
                return self.own.encode_batch(texts, **options | {"max_length": 20})  # type: ignore[no-any-return]
            return ids, offsets

    class WrongTokenizer:
        @staticmethod
        def from_json(content: str) -> Wrong:
            return Wrong(nanotoken_json(content))

    nanotoken_json = nanotoken.WordPieceTokenizer.from_json
    monkeypatch.setattr(nanotoken, "WordPieceTokenizer", WrongTokenizer)
    ours = Tokenization(tokenizer(), max_length=32)
    falls_back(ours)
    assert [note.startswith("Tokenizing without nanotoken: ") for note in ours.notes] == [True]
    assert "of the model's own tokenizer" in ours.notes[0] or "than the model's own tokenizer" in ours.notes[0]


def test_where_it_fails_the_note_has_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(content: str) -> NanoTokens:
        raise RuntimeError("of a kind that nobody expected")

    monkeypatch.setattr(nanotoken.WordPieceTokenizer, "from_json", staticmethod(fail), raising=False)
    ours = Tokenization(tokenizer(), max_length=32)
    falls_back(ours)
    assert ours.notes == ("Tokenizing without nanotoken: it failed (of a kind that nobody expected).",)


def test_a_tokenizer_of_another_kind_is_left_to_its_own() -> None:
    other = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    ours = Tokenization(other, max_length=8)
    assert ours.nano is None
    assert ours.notes == ()
    assert ours(["a b a"] * 100)[99].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": None},
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"post_processor": None},
        {"added_tokens": []},
    ],
)
def test_whatever_the_tokenizers_rules_are_its_ids_are_given(changes: dict[str, Any]) -> None:
    other = changed(**changes)
    texts = ["Straße, naïve cafe\u0301 [SEP] x", "the unaffable [MASK]", "漢字 12.5", ""] * 20
    found = Tokenization(other, max_length=64)(texts)
    assert [found[i].tolist() for i in range(len(texts))] == [encoding.ids for encoding in other.encode_batch(texts)]


def test_a_cased_models_ids_are_its_own() -> None:
    content = json.loads((minilm_folder() / "tokenizer.json").read_text())
    content["normalizer"]["lowercase"] = False
    cased = plain(Tokenizer.from_str(json.dumps(content)))
    ours = Tokenization(cased, max_length=64)
    assert ours.nano is not None
    assert ours(["Don't the"] * 64)[0].tolist() == cased.encode("Don't the").ids
