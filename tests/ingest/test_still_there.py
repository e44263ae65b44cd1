"""The look at the end of a load, at a store that shows late what it has acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.reads.questions import ScoredPoint
from tasb_qdrant.collection.reads.run import Reads
from tasb_qdrant.ingest import ingest
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder


@pytest.mark.parametrize("left", ["", "the server has 3 queued updates"])
def test_what_is_acknowledged_is_waited_for_before_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """As a server that was started anew near the end of a load applies its log once more."""
    done: list[str] = []
    flush, retrieve, missing = EdgeCollection.flush, Reads.retrieve, Reads.missing

    def flushed(collection: EdgeCollection) -> None:
        done.append("flushed")
        flush(collection)

    def waited(_: EdgeCollection) -> str:
        done.append("waited")
        return left

    def looked(reads: Reads, ids: Sequence[Any], **options: Any) -> list[Any]:
        done.append("looked")
        return missing(reads, ids, **options) if "waited" in done else list(ids)

    def read(reads: Reads, ids: Sequence[Any], **options: Any) -> list[ScoredPoint]:
        return retrieve(reads, ids, **options) if "waited" in done else []

    monkeypatch.setattr(EdgeCollection, "flush", flushed)
    monkeypatch.setattr(EdgeCollection, "wait_until_visible", waited)
    monkeypatch.setattr(Reads, "missing", looked)
    monkeypatch.setattr(Reads, "retrieve", read)
    report = ingest(stored.numbered(20), collection="c", path=tmp_path, encoder=StubEncoder())
    assert (report.missing, report.altered, report.points, report.verified) == (0, 0, 20, True)
    assert done[-3:] == ["flushed", "waited", "looked"]
    assert report.warnings == tuple(filter(None, [left]))
