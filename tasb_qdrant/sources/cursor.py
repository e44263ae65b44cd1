"""Where reading stands, and what becomes of input that can't be stored."""

from __future__ import annotations

from collections.abc import Callable

from tasb_qdrant.errors import RejectedError
from tasb_qdrant.records import Reject


class Cursor:
    """The file and line of the last passage, and the counts of rejects and of values that became null.

    Formats write it, readers show it.
    """

    __slots__ = ("_on_reject", "line", "nulled", "rejected", "source")

    def __init__(self, on_reject: Callable[[Reject], None] | None) -> None:
        self.source = ""
        self.line = 0
        self.rejected = 0
        self.nulled = 0
        self._on_reject = on_reject

    def reject(self, line: int, reason: str) -> None:
        """Count and hand on the reject. Raises RejectedError where nobody takes rejects."""
        self.rejected += 1
        if self._on_reject is None:
            raise RejectedError(source=self.source, line=line, reason=reason)
        self._on_reject(Reject(source=self.source, line=line, reason=reason))
