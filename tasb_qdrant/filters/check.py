"""Checks a filter against a collection: values that can never match are errors, unknown fields warnings."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tasb_qdrant.errors import FilterTypeError
from tasb_qdrant.filters.conditions import (
    Between,
    Compare,
    Contains,
    ContainsAny,
    ContainsPhrase,
    Count,
    Equals,
    Exists,
    In,
    InBox,
    InPolygon,
    IsEmpty,
    IsNull,
    Leaf,
    Prefix,
    Substring,
    Within,
    leaves,
)
from tasb_qdrant.filters.literals import write_literal
from tasb_qdrant.filters.nodes import Filter
from tasb_qdrant.filters.values import EXACT, Scalar, kind_of, parse_datetime
from tasb_qdrant.printable import escaped, listed, named
from tasb_qdrant.records.path import canonical_path, parse_path

if TYPE_CHECKING:  # settings imports pydantic, which takes longer than all of this package
    from tasb_qdrant.settings import IndexType
else:
    IndexType = str

_KIND_OF_INDEX: Final = {
    "keyword": "string",
    "text": "string",
    "uuid": "string",
    "integer": "number",
    "float": "number",
    "bool": "boolean",
    "datetime": "datetime",
    "geo": "object",
}
_CANONICAL_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII)
_ARTICLE: Final = {"string": "a string", "number": "a number", "boolean": "a boolean", "object": "a place"}
_JSON_KIND: Final = {"string": "string", "number": "number", "boolean": "boolean", "datetime": "string"}


def check_filter(
    where: Filter,
    *,
    indexes: Mapping[str, IndexType],
    seen: Mapping[str, frozenset[str]] | None = None,
    empty: Collection[str] = (),
) -> list[str]:
    """Warnings: unknown fields with the closest names, and values of a kind that the field doesn't hold.

    `indexes` are the collection's payload indexes; `seen` is `seen_kinds` of a sample of its payloads,
    or None if there is none, in which case only the indexes are checked. `empty` are the indexes that hold
    nothing, and so don't vouch for their fields. Raises FilterTypeError for a value that can't match the field's
    index, and for a condition that needs another index.
    """
    kinds = {canonical_path(field): kind for field, kind in indexes.items()}
    holding = {canonical_path(field): kind for field, kind in indexes.items() if field not in empty}
    sampled = {canonical_path(field): found for field, found in (seen or {}).items()}
    warnings: list[str] = []
    for leaf in leaves(where):
        kind = kinds.get(leaf.field)
        if kind is not None and leaf.field not in holding:
            _check_idle(leaf, kind)
        elif kind is not None:
            _check_indexed(leaf, kind)
        else:
            _check_unindexed(leaf)
        if sampled and leaf.field not in holding:
            warnings.extend(_warn(leaf, sampled, holding))
    return list(dict.fromkeys(warnings))


def check_phrases(where: Filter, without: Collection[str]) -> None:
    """Raises FilterTypeError for a phrase on one of these fields, whose text indexes don't support phrases."""
    for leaf in leaves(where) if without else ():
        if isinstance(leaf, ContainsPhrase) and leaf.field in map(canonical_path, without):
            raise FilterTypeError(
                field=leaf.field,
                indexed_as="text",
                value=leaf.text,
                problem="but that index was built without phrase matching",
                hint=f"write {leaf.field} contains for its words, or rebuild the index with phrase_matching",
            )


_TEXTS: Final = ("keyword", "text", "uuid", "datetime")
"""Indexes of fields that hold strings."""


def _check_indexed(leaf: Filter, kind: IndexType) -> None:
    match leaf:
        case Exists() | IsNull() | IsEmpty() | Count():
            return
        case Contains() | ContainsAny() | ContainsPhrase():
            if kind != "text":
                raise _no_text_index(leaf, kind)
        case Prefix(field, text) | Substring(field, text):
            if kind not in _TEXTS:
                raise FilterTypeError(
                    field=field, indexed_as=kind, value=text, hint="it holds no text; compare it with = or in"
                )
        case Within(field, lat, lon) | InBox(field, lat, lon) | InPolygon(field, ((lat, lon), *_)):
            if kind != "geo":
                hint = f"store {{lat, lon}} objects and index them with --index {field}:geo"
                raise FilterTypeError(field=field, indexed_as=kind, value=(lat, lon), hint=hint)
        case Equals(field, value):
            _check_equal(field, kind, value)
        case In(field, values):
            # All are of one kind, and of a long list each would be looked at for nothing.
            alike = kind not in ("uuid", "integer") or (kind == "integer" and set(map(type, values)) == {int})
            for value in values[:1] if alike else values:
                _check_equal(field, kind, value)
        case Compare(field, order, value):
            _check_range(field, kind, value, f"{field} {order} ")
        case Between(field, low, high):
            for value in (low, high):
                _check_range(field, kind, value, f"{field} between … ")


def _check_idle(leaf: Filter, kind: IndexType) -> None:
    """The same for an index that holds nothing: it may be the mistake."""
    try:
        _check_indexed(leaf, kind)
    except FilterTypeError as error:
        raise FilterTypeError(
            field=error.field,
            indexed_as=kind,
            value=error.value,
            hint="that index holds no passage; if it is a mistake, drop it: "
            f"tasb-qdrant collection index drop {error.field}",
        ) from None


def _check_equal(field: str, kind: IndexType, value: Scalar) -> None:
    if kind_of(value) != _KIND_OF_INDEX[kind]:
        raise FilterTypeError(field=field, indexed_as=kind, value=value, hint=_hint(field, kind, value, f"{field} = "))
    if kind == "uuid" and not _is_uuid(str(value)):
        raise FilterTypeError(field=field, indexed_as=kind, value=value, hint="it is not a UUID")
    if kind == "integer" and isinstance(value, float) and (not value.is_integer() or abs(value) > EXACT):
        raise FilterTypeError(field=field, indexed_as=kind, value=value, hint="write a whole number")


def _check_range(field: str, kind: IndexType, value: Scalar, written: str) -> None:
    if kind not in ("integer", "float", "datetime"):
        raise FilterTypeError(
            field=field,
            indexed_as=kind,
            value=value,
            hint="it has no order: compare it with = or in, or index numbers as integer or float, dates as datetime",
        )
    if kind_of(value) != _KIND_OF_INDEX[kind]:
        raise FilterTypeError(field=field, indexed_as=kind, value=value, hint=_hint(field, kind, value, written))
    if kind == "integer" and isinstance(value, float) and abs(value) > EXACT:
        raise FilterTypeError(field=field, indexed_as=kind, value=value, hint="write a whole number within ±2**63")


def _hint(field: str, kind: IndexType, value: Scalar, written: str) -> str:
    if isinstance(value, str):
        if (kind in ("integer", "float") and _is_number(value)) or (kind == "datetime" and parse_datetime(value)):
            return f"write {written}{value} without quotes"
        if kind == "bool" and value.lower() in ("true", "false"):
            return f"write {written}{value.lower()} without quotes"
        if kind == "datetime":
            return "write a date as 2020-01-31 or 2020-01-31T10:00:00Z"
    if kind in ("keyword", "text", "uuid"):
        quoted = f'"{value.isoformat()}"' if isinstance(value, datetime) else f'"{write_literal(value)}"'
        return f"write {written}{quoted} with quotes"
    if kind == "geo":
        return f"write {field} within 5 km of (lat, lon), {field} in box (lat, lon) to (lat, lon), or in polygon"
    return f"compare with a {_KIND_OF_INDEX[kind]}"


def _no_text_index(leaf: Contains | ContainsAny | ContainsPhrase, kind: IndexType | None) -> FilterTypeError:
    return FilterTypeError(
        field=leaf.field,
        indexed_as=kind,
        value=leaf.text,
        problem="and contains needs a text index: without one Qdrant matches substrings, not words",
        hint=f"create one with --index {leaf.field}:text",
    )


def _check_unindexed(leaf: Filter) -> None:
    match leaf:
        case Contains() | ContainsAny() | ContainsPhrase():
            raise _no_text_index(leaf, None)
        case Compare(field, _, str() as value) | Between(field, str() as value):
            raise FilterTypeError(
                field=field,
                indexed_as=None,
                value=value,
                hint="strings are not ordered in Qdrant; write numbers and dates without quotes",
            )


def _warn(leaf: Leaf, sampled: Mapping[str, frozenset[str]], indexes: Mapping[str, IndexType]) -> Iterator[str]:
    field = leaf.field
    found = _kinds_at(field, sampled)
    if found is None:
        if _place(field) in map(_place, indexes):
            return
        yield f"no field {_quoted(field)} in this collection; {_suggestion(field, [*indexes, *sampled])}"
        return
    wanted = _kind_asked_for(leaf)
    held = found - {"null"}
    if wanted is not None and held and wanted not in held:
        yield f"{named(field)} holds {' and '.join(sorted(held))}s, which {_ARTICLE[wanted]} never matches"


def _quoted(field: str) -> str:
    return repr(field) if escaped(field) != field or '"' in field else f'"{field}"'


def _suggestion(field: str, known: list[str]) -> str:
    same = [name for name in known if name.replace("[]", "") == field.replace("[]", "")]
    close = same or difflib.get_close_matches(field, known, n=3, cutoff=0.6)
    return f"closest: {listed(dict.fromkeys(close))}" if close else f"fields: {listed(sorted(set(known))[:8])}"


def _kinds_at(field: str, sampled: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """The kinds seen at the field; None if there is no such field. `tags[0]` and `tags[]` are part of `tags`."""
    wanted = _place(field)
    found = [kinds for name, kinds in sampled.items() if _place(name) == wanted]
    return frozenset().union(*found) if found else None


def _place(field: str) -> list[tuple[str, int]]:
    """Names, and how many arrays are entered after each: authors.name differs from authors[].name."""
    *parents, last = parse_path(field)
    return [*((segment.name, len(segment.elements)) for segment in parents), (last.name, 0)]


def _kind_asked_for(leaf: Filter) -> str | None:
    match leaf:
        case Equals(_, value) | In(_, (value, *_)) | Compare(_, _, value) | Between(_, value):
            return _JSON_KIND[kind_of(value)]
        case Prefix() | Substring():
            return "string"
        case Within() | InBox() | InPolygon():
            return "object"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_uuid(text: str) -> bool:
    if _CANONICAL_UUID.fullmatch(text):
        return True
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
