"""Around a load: what the store allows, and when the vector index is built."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.upload.idle import IdleShare
from tasb_qdrant.records import Passage

LOOK_SECONDS: Final = 30.0
"""Between two looks at whether the load leaves cores idle; one that is over before isn't worth it."""

IDLE_ENOUGH: Final = 0.5
"""The share of idle cores with which the index is built along with the load. It takes a fifth more of the server's time
than at the end (docs/performance.md), which must not come out of the encoder's."""


class IndexDeferral:
    """Defers the vector index when building it once, at the end, is less work than building it during the load.

    That is so for an empty collection, for one whose load did not finish, and once a load has more than doubled a
    collection. Until then the index is built as passages come, so that searches of a collection in use stay fast.

    Where the load turns out to leave the server's cores idle, since the encoder has others or a GPU, the index is built
    along with it from then on, and a `note` says so. `along` is the person's own choice: from the beginning, or never.
    """

    def __init__(
        self,
        collection: Collection,
        *,
        points_before: int,
        along: bool | None = None,
        note: Callable[[Sequence[str]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        idle: Callable[[], float] | None = None,
    ) -> None:
        self._collection = collection
        self._points_before = points_before
        self._along = along
        self._note = note
        self._clock = clock
        self._idle = IdleShare().look if idle is None else idle
        self._deferred = self._begun = False
        self._look_at = clock() + LOOK_SECONDS
        self.notes: tuple[str, ...] = ()
        self._bulk = not points_before or collection.index_deferred()
        if self._bulk and not along:
            self._defer()

    def begin(self) -> None:
        """The first passages are about to be stored."""
        if not self._begun:
            self._begun = True
            self._collection.begin_load()
            if self._bulk and self._along:
                self._collection.resume_indexing()
            self._idle()
            self._look_at = self._clock() + LOOK_SECONDS

    def stored(self, passages: int) -> None:
        """Note how many passages this load has stored by now."""
        if self._along:
            return
        if not self._deferred and passages > self._points_before:
            self._defer()
        elif self._deferred and self._along is None and self._clock() >= self._look_at:
            self._look()

    def _defer(self) -> None:
        self._collection.defer_indexing()
        self._deferred = True

    def _look(self) -> None:
        """Begin to build the index, if the server has cores for it."""
        idle, self._look_at = self._idle(), self._clock() + LOOK_SECONDS
        if idle < IDLE_ENOUGH and self._collection.shares_machine:
            return
        self._along = True
        if not self._collection.index_deferred():  # the store builds none before the end, or another load has begun it
            return
        self._collection.resume_indexing()
        why = f"{idle:.0%} of this machine is idle" if idle >= IDLE_ENOUGH else "the server is elsewhere"
        self.notes = (f"The vector index is built along with the load from now on: {why} (--index-at-end: never).",)
        self._note(self.notes)


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
