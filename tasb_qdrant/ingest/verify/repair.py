"""What a verification found, put right: encoded and stored again, or only given a new payload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.sieve import update_payloads
from tasb_qdrant.ingest.verify.findings import Findings
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records.verification import Difference, Repair


class RepairSieve:
    """Lets through what is missing or has another text or vector, on any replica.

    The collection itself isn't asked: its answer may come from an intact replica.
    """

    def __init__(self, findings: Findings, collection: Collection, counters: Counters) -> None:
        self._findings = findings
        self._collection = collection
        self._counters = counters
        self.replaced = 0
        self.updated: tuple[Sequence[PointId], Sequence[bytes]] = ((), ())

    def sift(self, window: Window) -> Window:
        """The window with only the passages that have to be encoded and stored."""
        ids = list(window.ids)
        encode = self._findings.among(Difference.mended_by(Repair.ENCODE), ids)
        payload = self._findings.among(Difference.mended_by(Repair.PAYLOAD), ids) - encode
        kept = [row for row, point_id in enumerate(ids) if point_id in encode]
        updates: dict[PointId, Mapping[str, Any]] = {
            point_id: to_payload(passage, self._collection.keys)
            for passage, point_id in zip(window.passages, ids, strict=True)
            if point_id in payload
        }
        update_payloads(updates, self._collection, self._counters)
        self._counters.add(skipped=len(ids) - len(kept) - len(updates))
        return window.only(kept)
