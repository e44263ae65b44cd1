"""Paths into a payload, as filters write them: `year`, `author.name`, `authors[].name`, `tags[0]`, `` `odd name` ``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tasb_qdrant.errors import FilterError

RESERVED: Final = frozenset({"and", "or", "not", "in", "is", "null", "true", "false", "between"})
"""Keywords of the text form: a field with such a name needs backticks."""

BARE: Final = r"[^\W\d][\w\-]*"
"""A name that needs no backticks, as a regular expression."""

_BARE_NAME = re.compile(BARE)
_QDRANT_BARE = re.compile(r"[A-Za-z0-9_\-]+")
_SEGMENT = re.compile(r"""(?:`([^`]+)`|"([^"]+)"|([^.\[\]`"]+))((?:\[\d*\])*)""")
_INDEX = re.compile(r"\[(\d*)\]")
_QUOTED = re.compile(r"""[^"\\]+""", re.DOTALL)
"""What Qdrant's paths can hold between double quotes."""

_WHOLLY_QUOTED = re.compile(r"""`([^`]+)`|"([^"]+)\"""", re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_MOST_DIGITS: Final = 18
"""Of a position in a list: stores keep 64 bits of it, and Python reads no more than 4,300."""

_SHOWN: Final = 100
"""Characters of a path in an error."""

_REMEMBERED: Final = 4_096
"""Size of the cache of parsed paths: a filtered search parses the same few, several times each."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One key of a path, and which elements of the array there: a position, or None for all of them."""

    name: str
    elements: tuple[int | None, ...] = ()


def parse_path(text: str) -> tuple[Segment, ...]:
    """The segments of a path. Names may be in backticks or, as in Qdrant's own paths, in double quotes.

    Raises FilterError.
    """
    if not isinstance(text, str):
        raise FilterError(f"a field name must be a string, got {type(text).__name__}")
    return _segments(text)


@lru_cache(_REMEMBERED)
def _segments(text: str) -> tuple[Segment, ...]:
    if _UNSTORABLE.search(text):
        raise FilterError(f"the field name {text!r} has a NUL or half of a surrogate pair")
    segments: list[Segment] = []
    position = 0
    while match := _SEGMENT.match(text, position):
        name = match[1] or match[2] or match[3]
        if not is_expressible(name):
            raise FilterError(_inexpressible(name))
        segments.append(Segment(name, tuple(_element(digits, text) for digits in _INDEX.findall(match[4]))))
        position = match.end()
        if position == len(text):
            return tuple(segments)
        if text[position] != ".":
            break
        position += 1
    raise FilterError(
        f"{text!r} is not a field name; write year, author.name or authors[].name, "
        "and put names with dots or brackets in backticks"
    )


def _element(digits: str, path: str) -> int | None:
    """The position that these digits say, or None for all elements."""
    if len(digits) > _MOST_DIGITS:
        raise FilterError(
            f"{path[:_SHOWN]!r} names an element at a position of {len(digits)} digits; no list is as long, name "
            "another"
        )
    return int(digits) if digits else None


def plain_name(name: str) -> str:
    """The name of a field at the top of a payload, without the backticks or double quotes that a path would need."""
    match = _WHOLLY_QUOTED.fullmatch(name)
    return name if match is None else match[1] or match[2]


def is_expressible(name: str) -> bool:
    """Whether a path can name a field of this name: in backticks here, and in double quotes for Qdrant."""
    return "`" not in name and _QUOTED.fullmatch(name) is not None


def _inexpressible(name: str) -> str:
    what = "a backslash" if "\\" in name else "a quote" if name else "no characters"
    return f"the field name {name!r} contains {what}, which Qdrant's paths can't express; rename the field"


def canonical_path(text: str) -> str:
    """The canonical spelling of a path: bare names where possible, backticks elsewhere."""
    return write_path(parse_path(text))


def write_path(segments: Iterable[Segment]) -> str:
    """The canonical path of these segments."""
    return ".".join(_bare_or(segment, "`") for segment in segments)


def top_level_path(name: str) -> str:
    """The field of this name at the top of a payload, as Qdrant's JSON paths spell it. Raises FilterError."""
    if not _QUOTED.fullmatch(name):
        raise FilterError(_inexpressible(name))
    return name if _QDRANT_BARE.fullmatch(name) else f'"{name}"'


def qdrant_path(text: str) -> str:
    """The path as Qdrant's JSON paths spell it: double quotes around anything but letters, digits, - and _."""
    return ".".join(_bare_or(segment, '"') for segment in parse_path(text))


def _bare_or(segment: Segment, quote: str) -> str:
    if quote == "`":
        bare = _BARE_NAME.fullmatch(segment.name) is not None and segment.name.lower() not in RESERVED
    else:
        bare = _QDRANT_BARE.fullmatch(segment.name) is not None
    name = segment.name if bare else f"{quote}{segment.name}{quote}"
    return name + "".join(f"[{'' if i is None else i}]" for i in segment.elements)
