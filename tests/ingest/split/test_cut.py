"""Where texts are cut: every word is in a span, no span is too long, and sentences stay whole where they can."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasb_qdrant.ingest.split.cut import cut, sentence_ends

WORDS = st.text(alphabet="ab.!? \n\t\u3000。“”)é[", max_size=400)


def by_words(text: str) -> NDArray[np.int64]:
    return np.array([match.start() for match in re.finditer(r"\S+", text)], dtype=np.int64)


def by_characters(text: str) -> NDArray[np.int64]:
    """As the tokens of Chinese are."""
    return np.array([place for place, char in enumerate(text) if not char.isspace()], dtype=np.int64)


def pieces(text: str, *, room: int, overlap: int = 0) -> list[str]:
    return [text[start:end] for start, end in cut(text, by_words(text), room=room, overlap=overlap)]


@pytest.mark.property
@given(WORDS, st.integers(8, 40), st.integers(0, 20), st.booleans())
def test_spans_have_the_whole_text_and_are_no_longer_than_they_may_be(
    text: str, room: int, overlap: int, words: bool
) -> None:
    places = by_words(text) if words else by_characters(text)
    spans = cut(text, places, room=room, overlap=overlap)
    covered = 0
    for (start, end), before in zip(spans, [(-1, 0), *spans], strict=False):
        assert not text[covered:start].strip()
        assert before[0] < start < end
        assert np.searchsorted(places, end) - np.searchsorted(places, start) <= room
        shared = np.searchsorted(places, before[1]) - np.searchsorted(places, start)
        assert shared <= overlap
        assert not text[start].isspace()
        assert not text[end - 1].isspace()
        covered = end
    assert not text[covered:].strip()


def test_a_text_that_fits_is_one_span() -> None:
    assert pieces("  One. Two.\n", room=8) == ["One. Two."]
    assert pieces("", room=8) == []


def test_a_span_ends_with_the_last_sentence_that_fits() -> None:
    text = "One two three four. Five six seven. Eight nine ten eleven twelve thirteen."
    assert pieces(text, room=8) == ["One two three four. Five six seven.", "Eight nine ten eleven twelve thirteen."]


def test_a_sentence_that_would_leave_a_span_half_empty_is_cut_between_words() -> None:
    text = "One. Two three four five six seven eight nine ten eleven."
    assert pieces(text, room=8) == ["One. Two three four five six seven eight", "nine ten eleven."]


def test_an_empty_line_ends_a_sentence() -> None:
    text = "A heading of five words\n \nand a text of seven or so words"
    assert pieces(text, room=8) == ["A heading of five words", "and a text of seven or so words"]


def test_spans_share_whole_sentences_if_these_are_short_enough_else_words() -> None:
    text = "One two three four. Five six. Seven eight nine ten eleven twelve thirteen fourteen. Fifteen."
    assert pieces(text, room=8, overlap=3)[:2] == [
        "One two three four. Five six.",
        "Five six. Seven eight nine ten eleven twelve",
    ]
    words = " ".join(map(str, range(20)))
    assert pieces(words, room=8, overlap=3) == [
        "0 1 2 3 4 5 6 7",
        "5 6 7 8 9 10 11 12",
        "10 11 12 13 14 15 16 17",
        "15 16 17 18 19",
    ]


def test_a_word_longer_than_a_span_is_cut_within() -> None:
    text = f"before {'x' * 30} after"
    spans = cut(text, by_characters(text), room=12, overlap=0)
    assert [text[start:end] for start, end in spans] == ["before", "x" * 12, "x" * 12, "xxxxxx after"]


def test_a_text_without_spaces_is_cut_after_its_sentences() -> None:
    text = "蜜蜂跳舞。它们告诉别人食物在哪里。舞蹈的角度说明方向。"
    spans = cut(text, by_characters(text), room=18, overlap=0)
    assert [text[start:end] for start, end in spans] == ["蜜蜂跳舞。它们告诉别人食物在哪里。", "舞蹈的角度说明方向。"]


def test_many_tokens_at_one_character_end_all_the_same() -> None:
    assert cut("ab", np.array([0] * 20 + [1] * 20), room=8, overlap=4) == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. Smith met Mr. J. Doe, i.e. John. They talked.", ["Dr. Smith met Mr. J. Doe, i.e. John.", "They talked."]),
        ('He said "Go!" and went. She (too.) left?! Yes.', ['He said "Go!" and went.', "She (too.) left?!", "Yes."]),
        ("As Lee et al. 2010 found, 3.5 is pi. Not so.", ["As Lee et al. 2010 found, 3.5 is pi.", "Not so."]),
        ("क्या? हाँ। नहीं।", ["क्या?", "हाँ।", "नहीं।"]),
        ("no end", ["no end"]),
    ],
)
def test_sentences_end_where_people_would_say(text: str, sentences: list[str]) -> None:
    ends = [*sentence_ends(text), len(text)]
    found = [text[start:end].strip() for start, end in zip([0, *ends], ends, strict=False)]
    assert [one for one in found if one] == sentences
