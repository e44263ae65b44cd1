"""Sparse vectors are those of BM25: word by word as its formula has them, and as the settings ask for."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasb_qdrant.encoder.bm25 import Bm25Encoder
from tasb_qdrant.errors import InvalidInputError, SettingsError
from tasb_qdrant.settings import Bm25Language, Bm25Settings

WORDS = ["honey", "bee", "dance", "hive", "flower", "queen"]


def value(encoder: Bm25Encoder, word: str, text: str) -> float:
    """What the word counts in the text."""
    (index,) = encoder.encode_query(word).indices
    found = encoder.encode_passages([text])[0]
    return float(found.values[found.indices == index].sum())


@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=60),
    st.floats(0, 3),
    st.floats(0, 1),
    st.floats(1, 500),
)
@settings(deadline=None, max_examples=100)
def test_each_word_counts_as_the_formula_says(text: list[str], k: float, b: float, avg_len: float) -> None:
    encoder = Bm25Encoder(Bm25Settings(k=k, b=b, avg_len=avg_len))
    for word in WORDS:
        count = text.count(word)
        wanted = count * (k + 1) / (count + k * (1 - b + b * len(text) / avg_len)) if count else 0.0
        assert value(encoder, word, " ".join(text)) == pytest.approx(wanted, rel=1e-5)


def test_a_query_has_each_word_once_with_the_value_1() -> None:
    found = Bm25Encoder(Bm25Settings()).encode_query("Bees, and more BEES, in hives")
    assert found.values.tolist() == [1.0, 1.0]
    assert found.indices.dtype == np.uint32
    assert found.values.dtype == np.float32
    assert sorted(found.indices.tolist()) == found.indices.tolist()


def test_a_batch_equals_single_texts_and_texts_without_words_have_empty_vectors() -> None:
    encoder = Bm25Encoder(Bm25Settings(avg_len=7))
    texts = ["a bee", "the and of", "", "?!", "the hive of a queen bee", "漢字"]
    together = encoder.encode_passages(texts)
    assert len(together) == len(texts)
    for text, found in zip(texts, together, strict=True):
        alone = encoder.encode_passages([text])[0]
        assert (found.indices.tolist(), found.values.tolist()) == (alone.indices.tolist(), alone.values.tolist())
    assert [len(found.indices) for found in together] == [1, 0, 0, 0, 3, 1]
    assert [one.indices.tolist() for one in together.part(3, 5)] == [
        together[3].indices.tolist(),
        together[4].indices.tolist(),
    ]
    assert len(encoder.encode_passages([])) == 0
    assert len(encoder.encode_query("the of").indices) == 0


def test_the_length_counts_every_word_but_stopwords() -> None:
    text = "The bee and the bees, running for honey. " * 500
    assert Bm25Encoder(Bm25Settings()).words(text) == 4 * 500
    assert Bm25Encoder(Bm25Settings(language="none")).words(text) == 8 * 500
    assert Bm25Encoder(Bm25Settings()).words("the") == 0


def same(encoder: Bm25Encoder, one: str, other: str) -> bool:
    return np.array_equal(encoder.encode_query(one).indices, encoder.encode_query(other).indices)


def test_endings_and_stopwords_are_the_languages_and_can_be_kept() -> None:
    english, german = Bm25Encoder(Bm25Settings()), Bm25Encoder(Bm25Settings(language="german"))
    assert same(english, "running", "run")
    assert not same(german, "running", "run")
    assert same(german, "Häuser der Männer", "haus mann")
    assert not same(english, "Häuser", "haus")
    assert same(german, "das Mädchen", "Mädchen")
    assert not same(english, "das Mädchen", "Mädchen")
    assert not same(Bm25Encoder(Bm25Settings(stemmer=False)), "running", "run")
    assert same(Bm25Encoder(Bm25Settings(stemmer=False)), "the run", "run")
    assert not same(Bm25Encoder(Bm25Settings(stopwords=False)), "the run", "run")
    plain = Bm25Encoder(Bm25Settings(language="none"))
    assert not same(plain, "running", "run")
    assert not same(plain, "the run", "run")
    assert same(plain, "RUN", "run")
    assert same(Bm25Encoder(Bm25Settings(ascii_folding=True)), "café", "cafe")
    assert not same(english, "café", "cafe")


def test_words_without_spaces_between_them_are_found_in_languages_that_have_none() -> None:
    for language, text, word in (("chinese", "我爱北京天安门", "北京"), ("japanese", "東京は日本の首都です", "首都")):
        encoder = Bm25Encoder(Bm25Settings.model_validate({"language": language}))
        (index,) = encoder.encode_query(word).indices
        assert index in encoder.encode_query(text).indices
        by_spaces = Bm25Encoder(Bm25Settings.model_validate({"language": language, "tokenizer": "word"}))
        assert len(by_spaces.encode_query(text).indices) == 1


@pytest.mark.parametrize("language", get_args(Bm25Language))
def test_every_language_that_is_offered_is_known(language: Bm25Language) -> None:
    assert len(Bm25Encoder(Bm25Settings(language=language)).encode_passages(["Paris Berlin"])[0].indices) == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"language": "klingon"}, "language: Input should be 'none', 'arabic'"),
        ({"b": 1.1}, "b: .* less than or equal to 1, got 1.1"),
        ({"k": -1}, "k: .* greater than or equal to 0, got -1"),
        ({"k": float("inf")}, "k: "),
        ({"avg_len": 0}, "avg_len: .* greater than 0, got 0"),
        ({"avg_len": float("nan")}, "avg_len: "),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Bm25Settings(**wrong)  # type: ignore[arg-type]


def test_texts_that_are_none_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="half of a surrogate pair"):
        Bm25Encoder(Bm25Settings()).encode_passages(["\ud800"])
    with pytest.raises(InvalidInputError, match="put it into a list"):
        Bm25Encoder(Bm25Settings()).encode_passages("text")
