"""The texts have MS MARCO's lengths, and a sample has the lengths of the whole."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from benchmarks.encoding.texts import (
    Corpus,
    count_tokens,
    lengths_like_msmarco,
    made_up,
    read_corpus,
    sample,
    short_queries,
    whole_words,
)
from tests.models import minilm_folder


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))


def test_made_up_lengths_have_the_mean_the_spread_and_the_cap() -> None:
    lengths = sorted(lengths_like_msmarco(50_000, random.Random(0)))
    assert mean(lengths) == pytest.approx(75, rel=0.01)
    assert lengths[len(lengths) // 2] == pytest.approx(69, abs=1)
    assert lengths[0] >= 4
    assert lengths[-1] <= 512


def test_a_made_up_text_has_exactly_the_wordpieces_that_were_asked_for(tokenizer: Tokenizer) -> None:
    words, random_ = whole_words(tokenizer), random.Random(1)
    for length in (4, 12, 75, 512):
        assert count_tokens(tokenizer, [made_up(words, length, random_)]) == [length]


def test_without_the_data_the_corpus_is_made_up_and_the_same_each_time(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASB_QDRANT_DATA", str(tmp_path))
    corpus = read_corpus(tokenizer, 2000)
    assert corpus.source.startswith("made-up passages")
    assert corpus.mean == pytest.approx(75, rel=0.03)
    assert read_corpus(tokenizer, 2000) == corpus
    assert len(set(corpus.texts)) == 2000


def test_the_data_is_used_where_it_is(tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "msmarco-dl-pool"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text('{"text": "one two"}\n{"text": "three"}\n')
    monkeypatch.setenv("TASB_QDRANT_DATA", str(tmp_path))
    corpus = read_corpus(tokenizer, 10)
    assert sorted(zip(corpus.texts, corpus.lengths, strict=True)) == [("one two", 4), ("three", 3)]
    assert corpus.source.startswith("MS MARCO")


def test_queries_have_twelve_wordpieces_and_differ(tokenizer: Tokenizer) -> None:
    queries = short_queries(tokenizer, 100)
    assert len(set(queries)) == 100
    assert set(count_tokens(tokenizer, queries)) == {12}


def corpus_of(lengths: list[int]) -> Corpus:
    return Corpus("numbers", tuple(map(str, range(len(lengths)))), tuple(lengths))


def test_a_sample_has_the_lengths_of_the_whole_and_parts_do_not_overlap() -> None:
    corpus = corpus_of(lengths_like_msmarco(10_000, random.Random(2)))
    parts = [sample(corpus, 256, part=part, parts=3) for part in range(3)]
    for part in parts:
        assert len(part.texts) == 256
        assert part.mean == pytest.approx(corpus.mean, rel=0.01)
        assert list(part.lengths) != sorted(part.lengths)
    assert len({text for part in parts for text in part.texts}) == 3 * 256


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 2))
def test_a_sample_of_any_size_holds_each_passage_at_most_once(size: int, count: int, part: int) -> None:
    lengths = lengths_like_msmarco(size, random.Random(size))
    found = sample(corpus_of(lengths), count, part=part, parts=3)
    assert len(found.texts) == len(set(found.texts)) == min(count, size)
    assert all(lengths[int(text)] == length for text, length in zip(found.texts, found.lengths, strict=True))
