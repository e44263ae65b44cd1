"""What belongs to one process: a connection, an engine, a model's threads. A fork copies the memory of it alone.

A child that goes on with its parent's socket gets the answers to its parent's questions; one that waits for a thread
that was not copied waits for ever. So each of them asks its `Origin` before it does anything.
"""

from __future__ import annotations

import os
from typing import Any, Final

from tasb_qdrant.errors import ForkedError

REMEDY: Final = (
    'open what you need in each process, after the fork, or start processes with multiprocessing\'s "spawn" '
    "(docs/workers.md)"
)

_kept: Final[list[Any]] = []


class Origin:
    """The process that made something: this one, when it is made."""

    __slots__ = ("pid",)

    def __init__(self) -> None:
        self.pid: Final = os.getpid()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is another process: 0.1 µs."""
        return os.getpid() != self.pid

    def check(self, what: str, *, remedy: str = REMEDY) -> None:
        """Raises ForkedError in another process. `what` begins the message: "collection 'notes'"."""
        if self.is_elsewhere:
            raise ForkedError(what, pid=self.pid, here=os.getpid(), remedy=remedy)


class Started:
    """What the first use of a library starts once for its process, such as threads, and its children haven't got."""

    def __init__(self) -> None:
        self._origin: Origin | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it was used in a process from which this one was forked."""
        return self._origin is not None and self._origin.is_elsewhere

    def begin(self) -> None:
        """It is used in this process from now on, unless it was elsewhere."""
        self._origin = self._origin or Origin()

    def check(self, what: str, *, remedy: str) -> None:
        """Raises ForkedError if it was used elsewhere."""
        if self._origin is not None:
            self._origin.check(what, remedy=remedy)


def keep(abandoned: Any) -> None:
    """Never let go of what another process made: what cleans up after it would reach into that one."""
    _kept.append(abandoned)
