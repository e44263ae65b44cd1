"""Waiting for a server's vector index."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from qdrant_client import models

from tasb_qdrant.collection.info import OptimizeProgress
from tasb_qdrant.collection.server.visibility import Backlog
from tasb_qdrant.errors import ServerBusyError
from tasb_qdrant.printable import logger

log: Final = logger(__name__)

POLL_SECONDS: Final = 0.25

QUIET_POLLS: Final = 40
"""Polls without any change, all green, after which an index that counts fewer vectors is taken as built:
the server's counts are estimates, which deleted and replaced points change."""

SMALL_QUIET_POLLS: Final = 4
"""The same, where no more are missing than the server leaves out of any index: see `_unindexable`."""

REPLICA_QUIET_POLLS: Final = 20
"""The same, at the least, where there are replicas: a node tells of what it has itself, and another may be slower."""

NUDGE_POLLS: Final = 20
NUDGES: Final = 24
"""GREY is pending work that nothing has triggered, as after a restart: it is triggered every NUDGE_POLLS polls,
and reported after NUDGES attempts in vain. So are points that stay hidden although nothing goes on."""

FULL_INDEXING_KB: Final = 1
"""The threshold that makes the optimizers index every segment but the smallest."""


def wait_until_indexed(
    describe: Callable[[], models.CollectionInfo],
    *,
    vector_bytes: int,
    threshold_kb: int,
    nudge: Callable[[], None],
    on_progress: Callable[[OptimizeProgress], None] | None,
    sleep: Callable[[float], None],
) -> None:
    """Return when nothing is pending and every vector is in the index that can be, with this threshold.

    Raises ServerBusyError.
    """
    quiet, nudges, last = 0, 0, None
    began, told = time.monotonic(), None
    while True:
        described = describe()
        points, indexed = described.points_count or 0, described.indexed_vectors_count or 0
        waiting_for = _pending(described)
        if waiting_for and (state := waiting_for.lstrip("0123456789")) != told:
            told = state
            log.info("waiting for the server: %s; %d of %d vectors are indexed", waiting_for, indexed, points)
        if on_progress is not None:
            on_progress(OptimizeProgress(points, min(indexed, points), waiting_for))
        # One look is never enough: there is a moment between the update and the optimizers' start.
        quiet = quiet + 1 if (now := (points, indexed, waiting_for)) == last else 0
        last = now
        if not waiting_for and quiet >= _enough(described, vector_bytes, threshold_kb):
            log.info("the vector index is built: %d of %d, in %.1f s", indexed, points, time.monotonic() - began)
            return
        if quiet >= NUDGE_POLLS and (described.status == models.CollectionStatus.GREY or Backlog.of(described).hidden):
            if nudges == NUDGES:
                raise ServerBusyError(
                    f"the server has work pending on its vector index and doesn't begin it ({points - indexed} of "
                    f"{points} vectors are missing); look into its log"
                )
            log.warning("the server has work pending and doesn't begin: asking it to (%d of %d)", nudges + 1, NUDGES)
            nudge()
            quiet, nudges = 0, nudges + 1
        sleep(POLL_SECONDS)


def is_indexed(described: models.CollectionInfo, vector_bytes: int, threshold_kb: int) -> bool:
    """Whether nothing is pending, and no more is missing in the index than the threshold leaves out.

    One look is enough where nothing was stored since.
    """
    return not _pending(described) and _missing(described) <= _unindexable(described, vector_bytes, threshold_kb)


def _missing(described: models.CollectionInfo) -> int:
    return (described.points_count or 0) - (described.indexed_vectors_count or 0)


def _enough(described: models.CollectionInfo, vector_bytes: int, threshold_kb: int) -> int:
    """How many quiet polls it takes to believe that the index is built."""
    least = REPLICA_QUIET_POLLS if (described.config.params.replication_factor or 1) > 1 else 1
    missing = _missing(described)
    if missing <= 0:
        return least
    few = missing <= _unindexable(described, vector_bytes, threshold_kb)
    return max(least, SMALL_QUIET_POLLS if few else QUIET_POLLS)


def _unindexable(described: models.CollectionInfo, vector_bytes: int, threshold_kb: int) -> int:
    """The most vectors that the segments can hold without passing the threshold: a search scans them faster."""
    return described.segments_count * (threshold_kb * 1024 // vector_bytes + 1)


def _pending(described: models.CollectionInfo) -> str:
    """What the server is still doing, in words, or an empty string. Raises ServerBusyError."""
    problem = described.optimizer_status
    if isinstance(problem, models.OptimizersStatusOneOf1) or described.status == models.CollectionStatus.RED:
        what = problem.error if isinstance(problem, models.OptimizersStatusOneOf1) else "status red"
        raise ServerBusyError(f"the server's optimizer failed ({what}); look into its log")
    if any(backlog := Backlog.of(described)):
        return str(backlog)
    if described.status != models.CollectionStatus.GREEN:
        return "the vector index"
    return ""
