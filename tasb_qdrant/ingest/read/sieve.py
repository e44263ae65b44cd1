"""Between reading and encoding: what the collection holds already is left out, or only gets its new payload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.content import Stored
from tasb_qdrant.ingest.read.replacing import ReplaceGuard
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records.verification import Difference, Repair


class Sieve(Protocol):
    """Lets through what has to be encoded."""

    @property
    def replaced(self) -> int | None:
        """How many of these replace a stored passage; None if it wasn't looked at."""
        ...

    @property
    def updated(self) -> tuple[Sequence[PointId], Sequence[bytes]]:
        """The points of the last window that got another payload alone, and each one's canonical content."""
        ...

    def sift(self, window: Window) -> Window:
        """The window with only the passages that have to be encoded and stored."""
        ...


class ContentSieve:
    """Lets through what the collection doesn't hold with the same title and text, and with its vectors.

    A passage in which only other fields differ gets its payload replaced here. The `guard` is asked before a text is
    replaced. With `overwrite`, all are let through once it was asked, and nothing is looked at if it need not be.
    """

    def __init__(
        self,
        collection: Collection,
        counters: Counters,
        *,
        guard: ReplaceGuard | None = None,
        overwrite: bool = False,
    ) -> None:
        self._collection = collection
        self._counters = counters
        self._guard = guard
        self._overwrite = overwrite
        self._looked = True
        self._replaced = 0
        self._updated: tuple[Sequence[PointId], Sequence[bytes]] = ((), ())

    @property
    def replaced(self) -> int | None:
        """How many of these replace a stored passage; None if it wasn't looked at."""
        return self._replaced if self._looked else None

    @property
    def updated(self) -> tuple[Sequence[PointId], Sequence[bytes]]:
        """The points of the last window that got another payload alone, and each one's canonical content."""
        return self._updated

    def sift(self, window: Window) -> Window:
        """The window with only the passages that have to be encoded and stored."""
        # Asked here, and not before the first passage is read: of a program's records, it tells the fields.
        if self._overwrite and not (self._guard is not None and self._guard.is_on):
            self._looked = False
            return window
        kept: list[int] = []
        updates: dict[PointId, Mapping[str, Any]] = {}
        contents: list[bytes] = []
        with self._counters.busy("compare"):
            differences = self._differences(window)
            for row, differs in enumerate(differences):
                if self._overwrite or (differs is not None and differs.repair is Repair.ENCODE):
                    kept.append(row)
                    self._replaced += differs is not Difference.MISSING
                elif differs is Difference.PAYLOAD:
                    updates[window.ids[row]] = to_payload(window.passages[row], self._collection.keys)
                    contents.append(window.contents[row])
        self._updated = (list(updates), contents)
        update_payloads(updates, self._collection, self._counters)
        self._counters.add(skipped=len(window.ids) - len(kept) - len(updates))
        return window.only(kept)

    def _differences(self, window: Window) -> Sequence[Difference | None]:
        """From what is stored, row for row. Raises ReplaceRefusedError for the first text that may not be replaced."""
        found, stored = window.made.differences, None
        if found is None:
            stored = Stored.under(window.ids, self._collection)
            found = stored.differences(window.passages, window.ids, window.contents, self._collection.keys)
        texts = [row for row, differs in enumerate(found) if differs is Difference.TEXT]
        if texts and self._guard is not None and self._guard.is_on:
            stored = stored or Stored.under([window.ids[row] for row in texts], self._collection)
            for row in texts:
                self._guard.check(window.passages[row], stored.payloads.get(window.ids[row], {}))
        return found


def update_payloads(updates: Mapping[PointId, Mapping[str, Any]], collection: Collection, counters: Counters) -> None:
    """Replace these payloads, and count them."""
    if updates:
        with counters.busy("update"):
            collection.replace_payloads(updates)
        counters.add(updated=len(updates))
