"""Waiting until reads show what a server has acknowledged.

They don't always: from 1.17.1 on `prevent_unoptimized` hides points from search, scroll and count until they are
indexed; up to 1.18.3 acknowledged writes may be missing right after a restart (qdrant#9930), while the update queue is
worked off; and from 1.17 on an update answers `wait_timeout` where that takes longer than the caller said it would
wait, from 1.18 on after a minute at the latest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from qdrant_client import models

from tasb_qdrant.printable import logger

log: Final = logger(__name__)

POLL_SECONDS: Final = 0.25


class Backlog(NamedTuple):
    """What a server has acknowledged and reads don't show yet."""

    queued: int = 0
    hidden: int = 0

    @classmethod
    def of(cls, described: models.CollectionInfo) -> Backlog:
        """As the collection says; servers before 1.17 say nothing."""
        queue = described.update_queue
        return cls() if queue is None else cls(queue.length, queue.deferred_points or 0)

    def __str__(self) -> str:
        parts = [f"{self.queued} queued updates"] if self.queued else []
        parts += [f"{self.hidden} points that are hidden until they are indexed"] if self.hidden else []
        return " and ".join(parts)


def wait_until_visible(
    describe: Callable[[], models.CollectionInfo], *, sleep: Callable[[float], None], patience: float
) -> Backlog:
    """Return when there is no backlog, or when it hasn't become smaller for `patience` seconds: what is left then.

    Other clients may write all the time: a queue that was empty once has applied all that came before.
    """
    least = Backlog.of(describe())
    idle, told = 0.0, False
    while any(least) and idle < patience:
        if not told:
            log.info("waiting for the server: %s", least)
            told = True
        sleep(POLL_SECONDS)
        idle += POLL_SECONDS
        now = Backlog.of(describe())
        nearer = Backlog(min(least.queued, now.queued), min(least.hidden, now.hidden))
        if nearer != least:
            least, idle = nearer, 0.0
    return least
