"""The current position in the sources, and what happens to input that can't be stored."""

from __future__ import annotations

from collections.abc import Callable

from tasb_qdrant.errors import RejectedError
from tasb_qdrant.records import Reject


class Cursor:
    """The file and line of the last passage, and the numbers of rejects, of values that became null, and of ids that
    were floats.

    Formats update it, readers expose it.
    """

    __slots__ = ("_on_reject", "line", "nulled", "rejected", "source", "whole_ids")

    def __init__(self, on_reject: Callable[[Reject], None] | None) -> None:
        self.source = ""
        self.line = 0
        self.rejected = 0
        self.nulled = 0
        self.whole_ids = 0
        self._on_reject = on_reject

    def reject(self, line: int, reason: str) -> None:
        """Count the reject and pass it on. Raises RejectedError if there is no rejects handler."""
        self.rejected += 1
        if self._on_reject is None:
            raise RejectedError(source=self.source, line=line, reason=reason)
        self._on_reject(Reject(source=self.source, line=line, reason=reason))
