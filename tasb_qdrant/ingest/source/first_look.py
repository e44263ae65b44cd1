"""A source's first passages, checked before anything slow is begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tasb_qdrant.collection.index_types import TypeCheck
from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import InvalidPassageError, RejectedError
from tasb_qdrant.ingest.read.content import Stored, canonical
from tasb_qdrant.ingest.read.replacing import ReplaceGuard
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.source.ahead import Ahead
from tasb_qdrant.ingest.window import WINDOW_BYTES, WINDOW_SIZE
from tasb_qdrant.records import Passage, point_id
from tasb_qdrant.records.verification import Difference
from tasb_qdrant.settings import CollectionSettings, IndexType, PayloadKeys

MOST: Final = WINDOW_SIZE
"""Passages that are looked at, or WINDOW_BYTES of them."""


class FirstLook:
    """Reads the first passages ahead; they come again in the reader that it gives.

    With `all_must_fit`, the first of them that can't be stored is the end of the run: RejectedError, as later. A
    repeated id ends the look, since the run itself tells which of two passages is the reject.
    """

    def __init__(self, reader: PassageReader, settings: CollectionSettings, *, all_must_fit: bool) -> None:
        self._ahead = Ahead(reader)
        self._reader = reader
        self._settings = settings
        self._all_must_fit = all_must_fit

    def at_new(self) -> Ahead:
        """For a collection that is still to be made. Raises RejectedError."""
        self._first(self._settings.keys or PayloadKeys(), self._settings.indexes, point_id)
        return self._ahead

    def at_stored(self, collection: Collection, guard: ReplaceGuard) -> Ahead:
        """For a collection that is there. Raises RejectedError, ReplaceRefusedError."""
        indexes = {**collection.indexes(), **self._settings.indexes}
        first = self._first(collection.keys, indexes, collection.point_id)
        if guard.is_on and first:
            stored = Stored.under(list(first), collection)
            for each, passage in first.items():
                content = canonical(to_payload(passage, collection.keys))
                if stored.difference(passage, each, content, collection.keys) is Difference.TEXT:
                    guard.check(passage, stored.payloads[each])
        return self._ahead

    def _first(
        self, keys: PayloadKeys, indexes: dict[str, IndexType], id_of: Callable[[str], PointId]
    ) -> dict[PointId, Passage]:
        check = TypeCheck(indexes)
        first: dict[PointId, Passage] = {}
        ids: set[PointId] = set()
        for passage in self._ahead.read():
            if (point := id_of(passage.id)) in ids:
                return first
            try:
                check(to_payload(passage, keys))
                first[point] = passage
            except InvalidPassageError as error:
                if self._all_must_fit:
                    source, line = self._reader.source, self._reader.line
                    raise RejectedError(source=source, line=line, reason=error.reason) from None
            ids.add(point)
            if len(ids) == MOST or self._ahead.size >= WINDOW_BYTES:
                return first
        if isinstance(self._ahead.failure, RejectedError):
            raise self._ahead.failure
        return first
