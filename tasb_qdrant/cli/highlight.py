"""The words of a query in a found text, and the part of a long text that has them."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"\w+")

_LITTLE: Final = (
    "a an and are as at be by can do does for from has have how i in is it its of on or that the their there they "
    "this to was were what when where which who why will with you your"
)
_COMMON: Final = frozenset(_LITTLE.split())
"""Words that say nothing about a text; with them, most of it would be marked."""

_BEFORE: Final = 60
"""Characters of context before the first word found."""


def words_of(query: str) -> frozenset[str]:
    """The words to mark, case folded: all of the query's, where all are common."""
    words = frozenset(word.casefold() for word in _WORD.findall(query))
    return (words - _COMMON) or words


def spans_in(text: str, words: frozenset[str]) -> list[tuple[int, int]]:
    """Where the words are, in any case, alone or as the beginning of a longer form: bee marks bees."""
    return [match.span() for match in _WORD.finditer(text) if _is_form_of(match.group().casefold(), words)]


def _is_form_of(word: str, words: frozenset[str]) -> bool:
    """Whether it is one of the words, or either of the two is one or two letters longer."""
    forms = {word, f"{word}s", f"{word}es", *(word[:-cut] for cut in (1, 2) if len(word) - cut > 2)}
    return not words.isdisjoint(forms)


def excerpt(text: str, words: frozenset[str], *, limit: int) -> str:
    """At most `limit` characters: the beginning, or from shortly before the first word found, if it comes later."""
    if len(text) <= limit:
        return text
    spans = spans_in(text, words)
    start = 0
    if spans and spans[0][0] > limit - _BEFORE:
        start = text.find(" ", max(0, spans[0][0] - _BEFORE)) + 1
    part = text[start : start + limit].rstrip()
    return f"{'…' if start else ''}{part}{'…' if start + limit < len(text) else ''}"
