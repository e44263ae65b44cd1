"""Around a load: what the store allows, and when the vector index is built."""

from __future__ import annotations

from collections.abc import Sequence

from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.records import Passage


class IndexDeferral:
    """Defers the vector index when building it once, at the end, is less work than building it during the load.

    That is so for an empty collection, for one whose load did not finish, and once a load has more than doubled a
    collection. Until then the index is built as passages come, so that searches of a collection in use stay fast.
    """

    def __init__(self, collection: Collection, *, points_before: int) -> None:
        self._collection = collection
        self._points_before = points_before
        self._deferred = self._begun = False
        if not points_before or collection.index_deferred():
            self._defer()

    def begin(self) -> None:
        """The first passages are about to be stored."""
        if not self._begun:
            self._begun = True
            self._collection.begin_load()

    def stored(self, passages: int) -> None:
        """Note how many passages this load has stored by now."""
        if not self._deferred and passages > self._points_before:
            self._defer()

    def _defer(self) -> None:
        self._collection.defer_indexing()
        self._deferred = True


def build_index(collection: Collection, counters: Counters) -> None:
    """Have the index as the collection's settings want it; where nothing was stored, that is only a look."""
    counters.phase("building the vector index")
    collection.flush()
    collection.settle_index(
        changed=counters.snapshot().stored > 0,
        on_progress=lambda index: counters.phase("building the vector index", index),
    )


def check_limits(collection: Collection, reader: PassageReader, given: object) -> tuple[str, ...]:
    """The limits of the store that this load may reach, a sentence each. `given` is what the reader was made from.

    Raises RequestRefusedError if the load can't fit, which is only known for passages in memory.
    """
    limits = collection.limits
    if limits == StoreLimits():
        return ()
    stored = collection.reads.count()
    coming = _distinct(given, limits.points)
    limits.check_room(stored, coming, place=f"{collection.location}, collection {collection.name!r}")
    return limits.notes(stored, payload_bytes=reader.bytes_total, indexed=bool(collection.indexes()))


def _distinct(given: object, most: int | None) -> int | None:
    """How many different passages a list has; None if that isn't known, or doesn't matter."""
    if most is None or not isinstance(given, Sequence) or len(given) <= most:
        return None
    if not all(isinstance(each, Passage) for each in given):
        return None
    return len({passage.id for passage in given})
