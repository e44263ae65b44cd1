"""Which payload indexes would suit a collection, judged by its first passages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tasb_qdrant.ingest.typecheck import is_datetime, is_geo, is_uuid
from tasb_qdrant.settings import IndexType

SAMPLE_SIZE: Final = 1_000
_KEYWORD_CHARS: Final = 64
_MOST_FIELDS: Final = 20


class IndexProposal:
    """Looks at payloads, and proposes an index for each field whose values all suit one type."""

    def __init__(self) -> None:
        self._looked_at = 0
        self._kinds: dict[str, set[IndexType | None]] = {}

    def look_at(self, payload: Mapping[str, Any]) -> None:
        """Take one more payload into account; the first SAMPLE_SIZE count."""
        if self._looked_at >= SAMPLE_SIZE:
            return
        self._looked_at += 1
        for field, value in payload.items():
            if value is not None and value != []:
                self._kinds.setdefault(field, set()).add(_kind(value))

    def indexes(self) -> dict[str, IndexType]:
        """Field -> type, at most twenty, in the order of the fields."""
        proposal: dict[str, IndexType] = {}
        for field, kinds in self._kinds.items():
            kind = _common(kinds)
            if kind is not None and len(proposal) < _MOST_FIELDS:
                proposal[field] = kind
        return proposal


def _common(kinds: set[IndexType | None]) -> IndexType | None:
    if None in kinds:
        return None
    if kinds <= {"integer", "float"}:
        return "float" if "float" in kinds else "integer"
    if kinds <= {"keyword", "text", "datetime", "uuid"}:
        return next(iter(kinds)) if len(kinds) == 1 else ("text" if "text" in kinds else "keyword")
    return next(iter(kinds)) if len(kinds) == 1 else None


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
    if isinstance(value, Mapping):
        return "geo" if is_geo(value) else None
    return _common({_kind(item) for item in value})
