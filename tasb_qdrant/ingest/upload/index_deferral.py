"""Around a load: what the store allows, and when the vector index is built."""

from __future__ import annotations

from collections.abc import Sequence

from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.records import Passage


class IndexDeferral:
    """Puts the vector index off where building it once, at the end, is less work than building it along.

    That is so for an empty collection, for one whose load did not finish, and once a load has more than
    doubled a collection. Before, the index is built along, so that searches stay fast in a collection
    that is in use.
    """

    def __init__(self, collection: Collection, *, points_before: int) -> None:
        self._collection = collection
        self._points_before = points_before
        self._deferred = False
        if not points_before or collection.index_deferred():
            self._defer()

    def stored(self, passages: int) -> None:
        """So many are stored by now."""
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


def check_limits(collection: Collection, source: PassageReader, given: object) -> tuple[str, ...]:
    """What limits of the store this load may meet, a sentence each. `given` is what `source` was made from.

    Raises RequestRefusedError when it can't fit, which is known of passages in memory alone.
    """
    limits = collection.limits
    if limits == StoreLimits():
        return ()
    stored = collection.count()
    coming = _distinct(given, limits.points)
    limits.check_room(stored, coming, place=f"{collection.location}, collection {collection.name!r}")
    return limits.notes(stored, payload_bytes=source.bytes_total, indexed=bool(collection.indexes()))


def _distinct(given: object, most: int | None) -> int | None:
    """How many passages a list has, repeats left out; None where nobody can tell, or needs to."""
    if most is None or not isinstance(given, Sequence) or len(given) <= most:
        return None
    if not all(isinstance(each, Passage) for each in given):
        return None
    return len({passage.id for passage in given})
