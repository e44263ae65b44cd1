"""The last stage: batches to the collection, several in flight, in threads of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.protocol import Collection, PointBatch
from tasb_qdrant.ingest.flow import Channel, Flow
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.window import Window

BATCH_BYTES: Final = 8 * 2**20
"""The server refuses REST bodies over 32 MiB, and gRPC has no limit of its own; 8 MiB is kind to both."""

IN_FLIGHT: Final = 3
"""Requests under way to a server. The embedded engine takes them one after the other anyway."""


class Uploader:
    """Stores what comes through `batches`; a passage counts as stored when the collection says so."""

    def __init__(self, collection: Collection, flow: Flow, counters: Counters) -> None:
        self._collection = collection
        self._counters = counters
        self.batches: Channel[PointBatch] = flow.channel(IN_FLIGHT)
        for number in range(IN_FLIGHT):
            flow.spawn(f"upload {number}", self._run)

    def _run(self) -> None:
        for batch in self.batches:
            with self._counters.busy("upload"):
                self._collection.upsert(batch)
            self._counters.add(stored=len(batch.passages))


def batches_of(window: Window, vectors: NDArray[np.float32]) -> Iterator[PointBatch]:
    """The window cut so that no request passes BATCH_BYTES, unless one passage alone does."""
    start, size = 0, 0
    row = vectors[0].nbytes if len(vectors) else 0
    for index, content in enumerate(window.contents):
        point = len(content) + row
        if index > start and size + point > BATCH_BYTES:
            yield PointBatch(window.passages[start:index], vectors[start:index])
            start, size = index, 0
        size += point
    if start < len(window.passages):
        yield PointBatch(window.passages[start:], vectors[start:])
