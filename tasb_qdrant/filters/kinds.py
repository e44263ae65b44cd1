"""Which kinds of values the fields hold in a sample of payloads, to catch filters that can't match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tasb_qdrant.records.path import canonical_path, is_expressible


def seen_kinds(payloads: Iterable[Mapping[str, Any]], *, finer: bool = False) -> dict[str, frozenset[str]]:
    """Field -> kinds in it: string, number, boolean, null, object; `finer` tells an integer from a float.

    Elements of an array count as values of its field; objects are entered, so `author.name` and
    `authors[].name` are fields too. Fields whose names can't be written in a filter are left out.
    """
    kinds: dict[str, set[str]] = {}
    for payload in payloads:
        _enter(payload, "", kinds)
    return {field: frozenset(found if finer else map(coarse, found)) for field, found in kinds.items()}


def coarse(kind: str) -> str:
    """The kind as filters compare: all numbers are one."""
    return "number" if kind in ("integer", "float") else kind


def _enter(value: Mapping[str, Any], prefix: str, kinds: dict[str, set[str]]) -> None:
    for key, item in value.items():
        if not is_expressible(key):
            continue
        field = canonical_path(f"{prefix}`{key}`")
        found = kinds.setdefault(field, set())
        if isinstance(item, list | tuple):
            for element in item:
                found.add(_kind(element))
                if isinstance(element, Mapping):
                    _enter(element, f"{field}[].", kinds)
        else:
            found.add(_kind(item))
            if isinstance(item, Mapping):
                _enter(item, f"{field}.", kinds)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "float"
    return "string" if isinstance(value, str) else "object"
