"""From what a person wrote as a filter to one that the collection can answer, checked against its fields."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

from tasb_qdrant.collection.protocol import Collection, Where
from tasb_qdrant.filters import Filter, check_filter, parse_filter, seen_kinds

SAMPLE_SIZE: Final = 200
"""Payloads looked at to learn which fields there are beside the indexed ones."""


class FilterWarning(UserWarning):
    """A filter that can be answered, but looks like a slip: an unknown field, or one of another type."""


class WhereChecker:
    """Checks filters against one collection. What it learns of the fields is kept for later filters."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._seen: Mapping[str, frozenset[str]] | None = None

    def resolve(self, where: str | Where | None) -> Where | None:
        """The filter to send. One of qdrant-client's own is passed on as it is.

        Raises FilterSyntaxError, FilterTypeError; warns with FilterWarning.
        """
        if where is None:
            return None
        parsed = parse_filter(where) if isinstance(where, str) else where
        if isinstance(parsed, Filter):
            indexes = self._collection.indexes()
            for message in check_filter(parsed, indexes=indexes, seen=self._fields()):
                warnings.warn(message, FilterWarning, stacklevel=4)
        return parsed

    def _fields(self) -> Mapping[str, frozenset[str]]:
        """Field -> kinds of JSON values seen in a sample of the payloads."""
        if self._seen is None:
            keys = self._collection.keys
            every: dict[str, Any] = {keys.id: "", keys.text: "", keys.title: ""}
            self._seen = seen_kinds([every, *self._collection.sample(SAMPLE_SIZE)])
        return self._seen
