"""Which payload indexes would suit a collection, judged by its first passages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from tasb_qdrant.collection.index_types import is_datetime, is_geo, is_uuid, values_at
from tasb_qdrant.errors import FilterError
from tasb_qdrant.records.path import parse_path
from tasb_qdrant.settings import IndexType

SAMPLE_SIZE: Final = 1_000
_KEYWORD_CHARS: Final = 64
_MOST_FIELDS: Final = 20

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*", re.ASCII)
"""Names that mean the same to a shell, to --index, and as a path in a payload."""


class IndexProposal:
    """Looks at payloads, and proposes an index for each field whose values all suit one type.

    Of the fields that are `indexed` it keeps in mind which ones no payload has had yet.
    """

    def __init__(self, indexed: Iterable[str] = ()) -> None:
        self._unseen = {name: parse_path(name) for name in indexed if _is_path(name)}
        self._looked_at = 0
        self._kinds: dict[str, set[IndexType | None]] = {}

    def see(self, stored: Mapping[str, Any]) -> None:
        """Take the fields of one more payload, with its id, text and title, off those that are unseen."""
        if self._unseen:
            seen = [name for name, path in self._unseen.items() if values_at(stored, path, field=name)]
            for name in seen:
                del self._unseen[name]

    def seen_elsewhere(self, unseen: Collection[str]) -> None:
        """The same of many payloads: whoever saw them has not seen these so far."""
        for name in [name for name in self._unseen if name not in unseen]:
            del self._unseen[name]

    @property
    def wants_more(self) -> bool:
        """Whether another payload would count."""
        return self._looked_at < SAMPLE_SIZE

    @property
    def unseen(self) -> tuple[str, ...]:
        """The indexed fields that no payload had a value for."""
        return tuple(self._unseen)

    def look_at(self, payload: Mapping[str, Any]) -> None:
        """Take one more payload into account; only the first SAMPLE_SIZE count."""
        if self._looked_at >= SAMPLE_SIZE:
            return
        self._looked_at += 1
        for field, value in payload.items():
            if _PLAIN_NAME.fullmatch(field):
                self._kinds.setdefault(field, set()).update(_kinds(value))

    def indexes(self) -> dict[str, IndexType]:
        """Field -> type, at most twenty: the first by their names, since payloads that other processes have read come
        with sorted fields."""
        suited = [(field, kind) for field, kinds in sorted(self._kinds.items()) if (kind := _common(kinds)) is not None]
        return dict(suited[:_MOST_FIELDS])


def _is_path(name: str) -> bool:
    try:
        parse_path(name)
    except FilterError:  # another program's index, in a spelling that our filters don't have
        return False
    return True


def _common(kinds: set[IndexType | None]) -> IndexType | None:
    """The one type that suits them all; None if there isn't one, or nothing to judge by."""
    if None in kinds or not kinds:
        return None
    if kinds <= {"integer", "float"}:
        return "float" if "float" in kinds else "integer"
    if len(kinds) > 1 and kinds <= {"keyword", "text", "datetime", "uuid"}:
        return "text" if "text" in kinds else "keyword"
    return next(iter(kinds)) if len(kinds) == 1 else None


def _kinds(value: Any) -> set[IndexType | None]:
    """The types of a field's values: none for null, those of its elements for an array."""
    if isinstance(value, list | tuple):
        return {_kind(item) for item in value if item is not None}
    return set() if value is None else {_kind(value)}


def _kind(value: Any) -> IndexType | None:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        if is_datetime(value):
            return "datetime"
        if is_uuid(value):
            return "uuid"
        return "keyword" if len(value) <= _KEYWORD_CHARS else "text"
    # An array in an array is indexed by no store.
    return "geo" if isinstance(value, Mapping) and is_geo(value) else None
