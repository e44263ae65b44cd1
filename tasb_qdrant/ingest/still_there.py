"""After a load: whether all that it stored is there, whatever else others have stored or deleted meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest.lease import Lease
from tasb_qdrant.ingest.read.seen import SeenIds
from tasb_qdrant.ingest.resume.journal import Journal
from tasb_qdrant.ingest.source.changes import SourceFiles

LOOKED_AT: Final = 40_000
"""Ids that are looked for at a time: four requests, of 160 kB and more."""


@dataclass(frozen=True, slots=True)
class StillThere:
    """What a look at the collection and the source found at the end of a load.

    `missing` of the run's own ids aren't there, and `altered` passages of a sample hold something else than was stored.
    `others` says whether other loads have been under way since, and `alone` that nothing else may be there. `changed`
    names the source's files that are not what they were when they were opened, each with what has changed. `hidden` is
    a sentence of what reads didn't show though the store has acknowledged it.
    """

    missing: int = 0
    altered: int = 0
    others: bool = False
    alone: bool = False
    changed: Sequence[str] = ()
    hidden: str = ""


def look_again(
    collection: Collection, seen: SeenIds, journal: Journal, lease: Lease, files: SourceFiles, *, alone: bool
) -> StillThere:
    """Look for every id that the run has read and should have stored, and at a sample of what it stored. A run that is
    to be `alone` has deleted everything else. Before either look the collection is flushed, and what it acknowledged is
    waited for: a server that was started anew a moment ago applies it once more.

    Raises CollectionReplacedError if it isn't the collection any more that the load began with.
    """
    lease.look()
    collection.flush()
    hidden = collection.wait_until_visible()
    missing = sum(len(collection.reads.missing(ids)) for ids in seen.own(LOOKED_AT))
    changed = tuple(f"{file} (its {what})" for file, what in files.changes(every=False))
    return StillThere(missing, journal.altered(), lease.met_others, alone, changed, hidden)
