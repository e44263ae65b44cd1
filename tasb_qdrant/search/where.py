"""From what a person wrote as a filter to one that the collection can answer, checked against its fields."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any, Final

from tasb_qdrant.collection.protocol import OpenCollection, Where
from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters import F, Filter, check_filter, parse_filter, seen_kinds
from tasb_qdrant.filters.conditions import leaves

SAMPLE_SIZE: Final = 200
"""Payloads looked at to learn which fields there are beside the indexed ones."""


class FilterWarning(UserWarning):
    """A filter that can be answered, but looks like a slip: an unknown field, or one of another type."""


class WhereChecker:
    """Checks filters against one collection. What it learns of the fields is kept for later filters."""

    def __init__(self, collection: OpenCollection) -> None:
        self._collection = collection
        self._seen: Mapping[str, frozenset[str]] | None = None

    def resolve(self, where: str | Where | None, *, stacklevel: int) -> Where | None:
        """The filter to send. One of qdrant-client's own is passed on as it is.

        Raises FilterError, for what is no filter too; warns with FilterWarning, `stacklevel` calls from here.
        """
        if where is None:
            return None
        parsed = parse_filter(where) if isinstance(where, str) else where
        if isinstance(parsed, Filter):
            indexes = self._collection.known_indexes({leaf.field for leaf in leaves(parsed)})
            for message in check_filter(parsed, indexes=indexes, seen=self._fields()):
                warnings.warn(message, FilterWarning, stacklevel=stacklevel)
        elif not _is_clients(parsed):
            raise FilterError(_no_filter(parsed))
        return parsed

    def _fields(self) -> Mapping[str, frozenset[str]]:
        """Field -> kinds of JSON values seen in a sample of the payloads."""
        if self._seen is None:
            keys = self._collection.keys
            every: dict[str, Any] = {keys.id: "", keys.text: "", keys.title: ""}
            self._seen = seen_kinds([every, *self._collection.sample(SAMPLE_SIZE)])
        return self._seen


def _is_clients(where: object) -> bool:
    # Not imported for this, which takes 0.6 s: who has one of its filters has it imported.
    client = sys.modules.get("qdrant_client.models")
    return client is not None and isinstance(where, client.Filter)


def _no_filter(where: object) -> str:
    if isinstance(where, F):
        named = f'F("{where.name}")'
        return f"{named} without a comparison is no filter; write {named} == VALUE, or {named}.exists()"
    kind = type(where).__name__
    return (
        f'a filter is F("year") >= 2020, the same as text, or a qdrant_client.models.Filter, got {kind}; '
        "write one of these"
    )
