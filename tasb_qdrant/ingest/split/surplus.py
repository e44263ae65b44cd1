"""What is left of a document's earlier, longer text."""

from __future__ import annotations

import re
from typing import Final

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest.window import Window

_NUMBER: Final = re.compile(r"[0-9]{1,9}")


class Surplus:
    """Counts documents that have more passages in the collection than in the source.

    A document's passages come in order and are numbered, so that the first surplus one is that after its last.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._found = 0
        self._suspect = ""
        """Stored, and the next passage of a document that the last window may not have ended."""

    def look_at(self, window: Window) -> None:
        """Take the next window."""
        here = {passage.id for passage in window.passages}
        if not here:
            return
        self._found += bool(self._suspect) and self._suspect not in here
        # Another process may have made the collection meanwhile, with a split: then these are whole documents.
        followers = {_following(passage.id) for passage in window.passages} - here - {""}
        if not followers:
            self._suspect = ""
            return
        points = {self._collection.point_id(each): each for each in followers}
        stored = self._collection.reads.retrieve(list(points), payload=False)
        last = _following(window.passages[-1].id)
        names = {points[point.id] for point in stored}
        self._suspect = last if last in names else ""
        self._found += len(names - {last})

    @property
    def documents(self) -> int:
        """How many there are."""
        return self._found + bool(self._suspect)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The same for people."""
        if not (count := self.documents):
            return ()
        have, their = ("document has", "its") if count == 1 else ("documents have", "their")
        warning = (
            f"{count:,} {have} become shorter since, and passages of {their} earlier text are still there; "
            "to delete what the source doesn't have, use: tasb-qdrant ingest --sync"
        )
        return (warning,)


def _following(passage: str) -> str:
    """The id of the document's next passage; "" for an id that no split gives."""
    document, _, number = passage.rpartition("#")
    return f"{document}#{int(number) + 1}" if _NUMBER.fullmatch(number) else ""
