"""Where a text is cut: at sentences where possible, else between words, else between tokens."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
"""From the first character to before the last one."""

_CLOSING: Final = "\"')\\]\u2019\u201d\u00bb\u300d\u300f\uff09\u3011"
_STOPS: Final = ".!?\u2026"
_STOPS_WITHOUT_SPACE: Final = "\u3002\uff01\uff1f\uff0e\uff61\u0964\u061f\u06d4"
"""Of Chinese, Japanese, Hindi, Arabic and Urdu."""

_END: Final = re.compile(
    rf"(?<![{_STOPS}])[{_STOPS}]++[{_CLOSING}]*+(?=\s)"
    rf"|[{_STOPS_WITHOUT_SPACE}]++[{_CLOSING}]*+"
    r"|\n(?=[^\S\n]*+\n)"  # an empty line: headings and items of lists have no full stop
)
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|vs|etc|al|cf|ca|approx|Fig|Figs|Eq|Ref|Refs|No|Nos|Vol|pp|ed|eds|"
    r"Inc|Ltd|Co|Nr|bzw|usw|Abb)|\b[A-Za-z]\.[A-Za-z])\.$"
)
_ABBREVIATION_CHARS: Final = 8

_SPACES: Final = " \n\t\u3000"


def cut(text: str, places: NDArray[np.int64], *, room: int, overlap: int) -> list[Span]:
    """Spans of at most `room` tokens that have all of the text but for the spaces around them, in its order.

    `places` are where its tokens begin, ascending. A span ends after the last sentence that fits, if the span is half
    full then; else after the last word that fits; else, where a word is longer than a span, within the word. The next
    one begins up to `overlap` tokens before that: with a sentence if one begins there, else with a word.
    """
    ends = list(sentence_ends(text))
    spans: list[Span] = []
    start, first = _skip_spaces(text, 0), 0
    while len(places) - first > room:
        end = _end(text, ends, places, start, first, room)
        spans.append((start, _without_spaces(text, start, end)))
        following = int(np.searchsorted(places, end))
        shared = min(overlap, (following - first) // 2)
        begin = _begin(text, ends, int(places[following - shared]), end) if shared else end
        # Of several tokens at one character, none can be shared alone.
        start = _skip_spaces(text, begin if begin > start else end)
        first = int(np.searchsorted(places, start))
    if start < len(text) and (first < len(places) or not spans):
        spans.append((start, _without_spaces(text, start, len(text))))
    return spans


def sentence_ends(text: str) -> Iterator[int]:
    """After which characters a sentence, or a paragraph, ends."""
    for match in _END.finditer(text):
        end = match.end()
        if match[0][0] in _STOPS:
            following = _skip_spaces(text, end)
            before = text[max(0, end - _ABBREVIATION_CHARS) : end]
            if text[following : following + 1].islower() or _ABBREVIATION.search(before):
                continue
        yield end


def _end(text: str, ends: Sequence[int], places: NDArray[np.int64], start: int, first: int, room: int) -> int:
    """Where a span ends that begins at the token `first`, the character `start`."""
    limit = int(places[first + room])
    if limit <= start:  # several tokens begin at this character, more than there is room for
        beyond = int(np.searchsorted(places, start, side="right"))
        limit = int(places[beyond]) if beyond < len(places) else len(text)
    sentence = bisect_right(ends, limit) - 1
    if sentence >= 0 and ends[sentence] > max(start, int(places[first + room // 2])):
        return ends[sentence]
    return _word_end(text, start, limit) or limit


def _word_end(text: str, start: int, limit: int) -> int:
    """The last place between two words up to `limit`; 0 if there is none."""
    if text[limit - 1].isspace() or text[limit : limit + 1].isspace():
        return limit
    space = max(text.rfind(each, start + 1, limit) for each in _SPACES)
    return space + 1 if space > start else 0


def _begin(text: str, ends: Sequence[int], earliest: int, end: int) -> int:
    """Where a span begins that shares with the one before it what is from `earliest` on, at most."""
    sentence = bisect_left(ends, earliest)
    if sentence < len(ends) and ends[sentence] < end and (start := _skip_spaces(text, ends[sentence])) < end:
        return start
    if earliest == 0 or text[earliest - 1].isspace() or text[earliest].isspace():
        return _skip_spaces(text, earliest)
    spaces = [place for each in _SPACES if (place := text.find(each, earliest, end)) >= 0]
    # Without a space, as in Chinese, a token is as good as a word.
    return _skip_spaces(text, min(spaces)) if spaces and _skip_spaces(text, min(spaces)) < end else earliest


def _skip_spaces(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _without_spaces(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    return end
