"""Ids from memory are the tokenizer's own: for any character, any word, and any number of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tasb_qdrant.encoder.tokenize import words
from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.encoder.tokenize.words import WordIds
from tests.models import minilm_folder

WORDS = st.sampled_from(
    [
        "the",
        "The",
        "THE",
        "(the",
        "the,",
        "'the'",
        "U.S.",
        "1,234.5",
        "don't",
        "C++",
        "e.g.",
        "state-of-the-art",
        "café",
        "naïve",
        "...",
    ]
)
ODD = st.sampled_from(
    [
        *(
            "[SEP]",
            "[SEP",
            "SEP]",
            "［SEP］",
            "##s",
            "e\u0301",
            "\u0301",
            "\u0338",
            "İ",
            "Σ",
            "ﬁ",
            "K",
            "가",
            "漢",
            "。",
        ),
        *("😀", "👩‍👧", "\u200b", "\ufeff", "\ufffd", "\0", "\x07", "\x1c", "\x85", "\u00a0", "\u3000", "\t", "\n"),
        *("a" * 64, "b" * 65, "c" * 100, "d" * 101, "." * 70, "E" * 200),
    ]
)
TEXTS = st.lists(st.one_of(WORDS, ODD, st.text(max_size=6), st.just(" ")), max_size=25).flatmap(
    lambda parts: st.sampled_from(["", " ", "  "]).map(lambda joint: joint.join(parts))
)


def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))


@cache
def own() -> Tokenizer:
    return plain(tokenizer())


def plain(found: Tokenizer) -> Tokenizer:
    found.no_padding()
    found.no_truncation()
    return found


def changed(**changes: Any) -> Tokenizer:
    content = json.loads(tokenizer().to_str())
    return plain(Tokenizer.from_str(json.dumps(content | changes)))


@cache
def ours(max_length: int) -> Tokenization:
    return Tokenization(tokenizer(), max_length=max_length)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5), max_length=st.sampled_from([3, 4, 9, 512]))
@example(texts=["", " ", "  the  "], max_length=512)
def test_ids_and_truncation_are_the_tokenizers_own(texts: list[str], max_length: int) -> None:
    batch = ours(max_length)(texts)
    whole = [encoding.ids for encoding in own().encode_batch_fast(texts)]
    assert [batch[i].tolist() for i in range(len(batch))] == [
        ids if len(ids) <= max_length else [*ids[: max_length - 1], 102] for ids in whole
    ]
    assert batch.truncated == sum(len(ids) > max_length for ids in whole)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_a_tokenizer_that_keeps_capitals_gets_its_own_ids(text: str) -> None:
    cased = cased_tokenizer()
    batch = cased[1]([text])
    assert batch[0].tolist() == cased[0].encode(text).ids[:512]


@cache
def cased_tokenizer() -> tuple[Tokenizer, Tokenization]:
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": False,
        "lowercase": False,
    }
    cased = changed(normalizer=normalizer)
    return cased, Tokenization(cased, max_length=512)


def test_texts_of_words_are_read_from_memory_and_others_are_not() -> None:
    known = WordIds.of(own())
    assert known is not None
    assert known.knows("The quick brown fox, jumping over the lazy dog.")
    assert not known.knows("a [MASK] in a text")
    assert not known.knows("漢字" * 50)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_KEPT", 50)
    known = WordIds.of(own())
    assert known is not None
    for number in range(200):
        text = f"word{number} other{number}, {'x' * 70}"
        ids = known.begin + known.ids(text) + known.end
        assert ids == np.array(own().encode(text).ids, dtype=np.int32).tobytes()
        assert len(known) <= 51


def test_several_threads_get_the_ids_that_one_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_KEPT", 20)
    texts = [f"Passage number {n}, and its neighbour {n + 1}." for n in range(200)]
    shared = Tokenization(tokenizer(), max_length=32)
    expected = [encoding.ids for encoding in own().encode_batch_fast(texts)]
    with ThreadPoolExecutor(4) as pool:
        for batch in pool.map(shared, [texts] * 8):
            assert [batch[i].tolist() for i in range(len(batch))] == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"post_processor": None},
        {
            "added_tokens": [
                {
                    "id": 1037,
                    "content": "a",
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": True,
                    "special": False,
                }
            ]
        },
    ],
    ids=["normalizer", "pre-tokenizer", "post-processor", "added token"],
)
def test_any_other_tokenizer_is_asked_each_time(changes: dict[str, Any]) -> None:
    other = changed(**changes)
    assert WordIds.of(other) is None
    text = "A text of Words, and more."
    assert Tokenization(other, max_length=64)([text])[0].tolist() == other.encode(text).ids
