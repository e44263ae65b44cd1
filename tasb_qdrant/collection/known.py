"""The payload indexes of a server's collection, remembered: asking for them costs a search a second request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tasb_qdrant.filters import Filter
from tasb_qdrant.filters.conditions import leaves
from tasb_qdrant.filters.path import canonical_path
from tasb_qdrant.settings import IndexType

MAX_AGE: Final = 60.0
"""Seconds. Other programs may make and drop indexes, too."""


class KnownIndexes:
    """What `read` said last, if that is not too long ago. `clock` gives seconds."""

    def __init__(
        self, read: Callable[[], dict[str, IndexType]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._indexes: dict[str, IndexType] = {}
        self._answered: set[str] = set()
        self._until = float("-inf")

    def including(self, fields: Iterable[str]) -> Mapping[str, IndexType]:
        """The indexes. They are read again for a field never asked for that has none; paths are canonical."""
        wanted = set(fields)
        expired = self._clock() >= self._until
        if expired or not wanted <= self._answered:
            self._indexes = self._read()
            # A field without an index is looked for once, and not at each search.
            before = set() if expired else self._answered
            self._answered = before | wanted | {canonical_path(field) for field in self._indexes}
            self._until = self._clock() + MAX_AGE
        return self._indexes

    def forget(self) -> None:
        """Read them again when they are needed next."""
        self._until = float("-inf")


def fields_of(where: Filter) -> set[str]:
    """The fields that a filter names, in their canonical spelling."""
    return {leaf.field for leaf in leaves(where)}
