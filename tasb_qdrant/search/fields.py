"""The names of payload fields in options: spelled as in filters, and fit for what they are named for.

What a store makes of an unfit one is silence: no group of booleans, an empty list where one element was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.errors import FilterError, SettingsError
from tasb_qdrant.records.path import canonical_path, parse_path, qdrant_path
from tasb_qdrant.settings import IndexType


@dataclass(frozen=True, slots=True)
class Use:
    """What a field is named for: with an index of which types, or with which values (as `seen_kinds` calls them, where
    it has no index) that can be done, in words `told`. `indexed` says that it takes such an index."""

    told: str
    indexes: frozenset[IndexType]
    kinds: frozenset[str]
    indexed: bool = False


GROUPED: Final = Use(
    "passages are grouped by strings and whole numbers",
    indexes=frozenset({"keyword", "integer", "uuid", "datetime", "text"}),
    kinds=frozenset({"string", "integer"}),
)
COUNTED: Final = Use(
    "strings, whole numbers and booleans can be counted",
    indexes=frozenset({"keyword", "integer", "bool", "uuid"}),
    kinds=frozenset({"string", "integer", "boolean"}),
    indexed=True,
)
ORDERED: Final = Use(
    "passages are ordered by numbers and dates",
    indexes=frozenset({"integer", "float", "datetime"}),
    kinds=frozenset({"string", "integer", "float"}),
    indexed=True,
)

_KIND: Final[dict[IndexType, str]] = {
    "bool": "boolean",
    "float": "float",
    "geo": "object",
    "keyword": "string",
    "text": "string",
    "uuid": "string",
    "datetime": "date",
}
_WORDS: Final = {"float": "numbers with fractions", "integer": "whole numbers", "object": "objects or places"}
_REMEDIES: Final = {
    "boolean": "search each value by itself: {field} = true, and {field} = false",
    "float": "store a whole number or a name in a field of its own, such as the number rounded, and name that",
    "object": "name a field inside it, such as author.name",
    "string": "strings have no order: store numbers, or index dates as datetime",
    "date": "drop its index, and make one of strings: {field}:keyword",
}


def field_path(option: str, name: object) -> str:
    """The path as stores spell it. Raises SettingsError for what is no name, FilterError for one that is no path."""
    if not isinstance(name, str) or not name:
        raise SettingsError(f"{option} is the name of a payload field, such as 'doc_id', got {name!r}")
    return qdrant_path(name)


def whole_field_path(option: str, name: object) -> str:
    """The same for a field that is read as a whole: no store gives one element of a list. Raises FilterError, too, for
    a position."""
    spelled = field_path(option, name)
    if any(isinstance(element, int) for segment in parse_path(spelled) for element in segment.elements):
        raise FilterError(
            f"{option} names a field as a whole, and {canonical_path(spelled)} is one element of a list; leave the "
            "position out"
        )
    return spelled


def unfit(field: str, use: Use, *, index: IndexType | None, kinds: Iterable[str]) -> str | None:
    """What keeps this field, in its canonical spelling, from being used so, and what to do; None if nothing does."""
    if index is not None:
        if index in use.indexes:
            return None
        kind = _KIND[index]
        told = f"{field} is indexed as {index}"
        if use is COUNTED and kind == "string":
            kind = "date"
    else:
        held = sorted(set(kinds) - {"null"})
        if not held or not use.kinds.isdisjoint(held):
            return None
        kind = held[0]
        told = f"{field} holds {' and '.join(_WORDS.get(each, f'{each}s') for each in held)}"
    return f"{told}, but {use.told}; {_REMEDIES[kind].format(field=field)}"
