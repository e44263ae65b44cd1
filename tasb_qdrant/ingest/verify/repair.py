"""What a verification found, put right: encoded and stored again, or given another payload alone."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Lets through what is missing or has another text or vector, on whichever replica.

    What the collection itself says isn't asked for: it may come from a replica that is whole.
    """

    def __init__(self, findings: Findings, collection: Collection, counters: Counters) -> None:
        self._findings = findings
        self._collection = collection
        self._counters = counters
        self.replaced = 0

    def sift(self, window: Window) -> Window:
        """The window with the passages that are to be encoded and stored."""
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
