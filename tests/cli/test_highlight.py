"""The query's words are marked in what was found."""

from __future__ import annotations

import pytest

from tasb_qdrant.cli.highlight import excerpt, spans_in, words_of


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("How do BEES find food?", "A bee that found food dances.", ["bee", "food"]),
        ("bee", "Bees, beer and a beehive", ["Bees", "beer"]),
        ("the who", "Who is the one", ["Who", "the"]),
        ("Größe", "die GRÖSSE der Größen", ["GRÖSSE", "Größen"]),
        ("tea", "steam", []),
    ],
)
def test_words_are_found_in_any_case_and_with_endings(query: str, text: str, marked: list[str]) -> None:
    assert [text[start:end] for start, end in spans_in(text, words_of(query))] == marked


def test_a_long_text_is_cut_to_where_the_words_are() -> None:
    text = "filler " * 100 + "the telescope of Galileo " + "filler " * 100
    part = excerpt(text, words_of("telescope"), limit=200)
    assert "telescope" in part
    assert len(part) <= 202
    assert part.startswith("…")
    assert part.endswith("…")
    assert excerpt(text, words_of("absent"), limit=50) == text[:50].rstrip() + "…"
    assert excerpt("short", words_of("absent"), limit=50) == "short"
