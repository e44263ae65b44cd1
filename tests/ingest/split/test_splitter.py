"""Documents to passages: none is longer than was asked for, each is found by its document, and none is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasb_qdrant.encoder import Encoder, TokenBatch
from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.errors import InvalidPassageError, SettingsError
from tasb_qdrant.ingest.split.splitter import Splitter
from tasb_qdrant.records import ModelContract, Passage
from tasb_qdrant.settings import SplitSettings
from tests.encoder.tokenize.test_places import byte_level, metaspace
from tests.encoder.tokenize.test_tokens import own_tokenizer
from tests.ingest.fakes import stub_contract

SENTENCE = "Bees that found food dance in the dark of the hive, and the others follow them with their antennae."
TEXT = " ".join(f"{SENTENCE} This was sentence {n}." for n in range(40))


@dataclass
class Tokens:
    """The half of an encoder that splits."""

    tokenization: Tokenization
    contract: ModelContract

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        return self.tokenization(texts, prompt=self.contract.passage_prompt)

    def token_places(self, text: str) -> NDArray[np.int64]:
        return self.tokenization.places(text)


def encoder(tokenizer: Any = None, *, longest: int = 256, prompt: str = "") -> Encoder:
    backend = own_tokenizer().backend_tokenizer if tokenizer is None else tokenizer
    contract = replace(stub_contract(), max_length=longest, passage_prompt=prompt)
    return cast("Encoder", Tokens(Tokenization(backend, max_length=longest), contract))


def parts(document: Passage, split: str, using: Encoder | None = None) -> list[Passage]:
    splitter = Splitter(SplitSettings.parse(split), using or encoder())
    [fits] = splitter.fitting([document])
    return list(splitter.parts(document, fits=fits))


def lengths(passages: Sequence[Passage], using: Encoder | None = None) -> list[int]:
    batch = (using or encoder()).tokenize_passages([one.encoder_text for one in passages])
    assert not batch.truncated
    return [int(length) for length in batch.lengths]


def test_a_document_is_passages_with_its_title_its_fields_and_its_id() -> None:
    found = parts(Passage("bees", TEXT, "On bees", {"year": 2011}), "tokens:100,overlap:0")
    assert [one.id for one in found] == [f"bees#{n}" for n in range(len(found))]
    assert {(one.title, one.payload["year"], one.payload["doc_id"]) for one in found} == {("On bees", 2011, "bees")}
    assert " ".join(one.text for one in found) == TEXT
    assert all(one.text.endswith(".") for one in found)
    assert 60 < min(lengths(found)[:-1]) <= max(lengths(found)) <= 100


def test_a_short_one_is_a_single_passage_with_its_text_to_the_letter() -> None:
    assert parts(Passage("a", " Short.\n", payload={"n": 1}), "tokens:16") == [
        Passage("a#0", " Short.\n", payload={"n": 1, "doc_id": "a"})
    ]
    assert parts(Passage("a", "", "Title alone"), "tokens:16") == [
        Passage("a#0", "", "Title alone", payload={"doc_id": "a"})
    ]


def test_what_fills_a_passage_to_the_last_token_is_not_split() -> None:
    fits, longer = Passage("a", "the " * 30), Passage("b", "the " * 31)
    using = encoder(longest=32)
    assert Splitter(SplitSettings.parse("tokens:32"), using).fitting([fits, longer, fits]) == [True, False, True]
    assert lengths(parts(longer, "tokens:32", using), using) == [32, 3]


@pytest.mark.property
@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from(["bees", "unaffable", "a.b.c.d", "食物在哪里。", "x" * 200, "[SEP]", "end.", "\n\n", "é" * 70]),
        max_size=60,
    ),
    st.sampled_from(
        ["", "A title", "A title that takes a good part of the tokens of a passage that has only 32 of them"]
    ),
    st.sampled_from([None, byte_level, metaspace]),
    st.sampled_from(["tokens:32", "tokens:32,overlap:16", "tokens:48,overlap:8"]),
)
def test_no_passage_is_truncated_and_no_word_lost(words: list[str], title: str, make: Any, split: str) -> None:
    using = encoder(make() if make else None, longest=48, prompt="passage: ")
    text = " ".join(["start", *words])
    found = parts(Passage("a", text, title or None), split, using)
    assert max(lengths(found, using)) <= SplitSettings.parse(split).tokens
    whole = "".join(one.text for one in found)
    if "overlap" not in split:
        expected = text if found[0].title == (title or None) else f"{title} {text}"
        assert "".join(whole.split()) == "".join(expected.split())
    assert [one.id for one in found] == [f"a#{n}" for n in range(len(found))]


def test_a_title_of_more_than_half_a_passage_is_split_with_the_text() -> None:
    title = "bees " * 60
    found = parts(Passage("a", TEXT, title), "tokens:100")
    assert {one.title for one in found} == {None}
    assert " ".join(" ".join(one.text for one in found).split()) == " ".join(f"{title} {TEXT}".split())
    assert [one.title for one in parts(Passage("a", "", title), "tokens:32")] == [None, None]


def test_ids_are_told_apart_whatever_the_source_calls_its_documents() -> None:
    documents = [Passage(each, "text") for each in ("a", "a#0", "a#0#0", "#0", "7", "7#1")]
    found = [one for document in documents for one in parts(document, "tokens:16")]
    assert len({one.point_id for one in found}) == len({one.id for one in found}) == 6


def test_the_sources_own_field_of_that_name_is_not_overwritten() -> None:
    with pytest.raises(InvalidPassageError, match=r"'doc_id'.*another value \('D1'\).*field:NAME, or --drop doc_id"):
        parts(Passage("a", "text", payload={"doc_id": "D1"}), "tokens:16")
    assert parts(Passage("D1", "text", payload={"doc_id": "D1"}), "tokens:16")[0].payload == {"doc_id": "D1"}
    assert parts(Passage("a", "text", payload={"doc_id": "D1"}), "tokens:16,field:of")[0].payload == {
        "doc_id": "D1",
        "of": "a",
    }


def test_an_id_that_has_no_room_for_a_number_is_refused_before_any_part_is_made() -> None:
    with pytest.raises(InvalidPassageError, match=r"the ids of its \d+ passages have 1025 characters"):
        parts(Passage("a" * 1022, TEXT), "tokens:16")


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(
        SettingsError, match="tokens:300 is more than the 256 tokens that the model stub reads; give 256"
    ):
        parts(Passage("a", "text"), "tokens:300")
    with pytest.raises(
        SettingsError, match="leaves 2 for texts, as the model's passage prompt and special tokens take 14"
    ):
        parts(Passage("a", "text"), "tokens:16", encoder(prompt="one two three four five six seven eight nine ten: a "))
    with pytest.raises(SettingsError, match="doesn't say where its tokens are"):
        Splitter(SplitSettings(tokens=16), cast("Encoder", object()))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("200", "split is tokens:N,overlap:N,field:NAME"),
        ("tokens:200,tokens:100", "split is tokens"),
        ("words:200", "split is tokens"),
        ("overlap:3", "split needs tokens:N"),
        ("tokens:x", "tokens: .*valid integer"),
        ("tokens:8", "tokens: .*greater than or equal to 16"),
        ("tokens:100,overlap:60", "at most half of the tokens, 50 here, got 60"),
        ("tokens:100,field:a.b", "plain name"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        SplitSettings.parse(text)


def test_a_split_is_spelled_as_it_was_given() -> None:
    for text in ("tokens:200,overlap:32", "tokens:16,overlap:0,field:of"):
        assert str(SplitSettings.parse(text)) == text
    assert SplitSettings.parse(" tokens: 64 ") == SplitSettings(tokens=64)
