"""The last stage: batches to the collection, several in flight, in threads of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.limits import UpsertLimits
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import EncodingError
from tasb_qdrant.ingest.flow import Channel, Flow
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.upload.pace import MOST, Pace
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records.sparse import SparseVectors

BATCH_BYTES: Final = 8 * 2**20
"""The server refuses REST bodies over 32 MiB, and gRPC has no limit of its own; 8 MiB is kind to both."""

REST_BYTES: Final = 24 * 2**20
"""The most in JSON, where each number of a vector takes up to _JSON_FLOAT bytes instead of four."""

_JSON_FLOAT: Final = 24

_WORD: Final = 9
"""Bytes of a word in a sparse vector: its index and its value."""

_JSON_WORD: Final = 34
"""The same in JSON."""

READY: Final = 2
"""Batches that wait for one of the uploader's threads."""

QUEUE_SECONDS: Final = 5.0
"""Between two questions about the server's update queue, each of which takes it up to 50 ms."""

FLUSH_EVERY: Final = 25_000
"""Passages between two flushes. Without flushes, the embedded engine takes 360 MB for a million vectors of 8 numbers
(with them: 160 MB), and replays them all from its log after a kill. Flushing takes 4% of its time."""


class Uploader:
    """Stores what comes through `batches`; a passage counts as stored when the collection says so.

    `on_stored` is then called with its batch, in another thread. The pace decides how many requests are under way;
    none is begun once the flow has ended.
    """

    def __init__(
        self, collection: Collection, flow: Flow, counters: Counters, *, on_stored: Callable[[PointBatch], None]
    ) -> None:
        self._collection = collection
        self._counters = counters
        self._on_stored = on_stored
        self._flow = flow
        self._pace = Pace()
        self._unflushed = 0
        self._asked = time.monotonic()
        self._lock = threading.Lock()
        self.batches: Channel[PointBatch] = flow.channel(READY)
        counters.watch.on_failure = self._pace.refused
        for number in range(MOST):
            flow.spawn(f"upload {number}", self._run)

    def _run(self) -> None:
        for batch in self.batches:
            self._store(batch)
            self._on_stored(batch)
            self._counters.add(stored=len(batch.passages))
            if self._question_is_due() and (queued := self._collection.queued_updates()) is not None:
                self._pace.queued(queued)
            if self._flush_is_due(len(batch.passages)):
                with self._counters.busy("upload"):
                    self._collection.flush()

    def _store(self, batch: PointBatch) -> None:
        failures = self._counters.watch.failures
        entered = self._pace.enter(self._flow.check)
        try:
            with self._counters.busy("upload"):
                self._collection.upsert(batch)
        finally:
            answered = self._counters.watch.failures == failures
            self._pace.leave(entered, batch.vectors.nbytes, answered=answered)

    def _question_is_due(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now - self._asked < QUEUE_SECONDS:
                return False
            self._asked = now
            return True

    def _flush_is_due(self, passages: int) -> bool:
        with self._lock:
            self._unflushed += passages
            if self._unflushed < FLUSH_EVERY:
                return False
            self._unflushed = 0
            return True


def batches_of(
    window: Window,
    vectors: NDArray[np.float32],
    *,
    dim: int,
    sparse: SparseVectors | None = None,
    limits: UpsertLimits | None = None,
) -> Iterator[PointBatch]:
    """The window, cut so that no request exceeds the store's limits, BATCH_BYTES or REST_BYTES.

    A single passage may have more bytes.

    Raises EncodingError before the first batch unless the vectors are finite float32 (n, dim).
    """
    whole = PointBatch(window.passages, vectors, window.ids, sparse, window.made.entries)
    if vectors.shape[1] != dim:
        raise EncodingError(
            f"expected vectors of {dim} numbers, as the collection holds, the model gave {vectors.shape[1]}; "
            "use another --model"
        )
    starts = _starts(window, dim, sparse, (limits and limits.points) or len(window.passages))
    if len(starts) == 1:
        yield whole
        return
    for start, end in zip(starts, [*starts[1:], len(window.passages)], strict=True):
        yield whole.part(start, end)


def _starts(window: Window, dim: int, sparse: SparseVectors | None, most: int) -> list[int]:
    """The row at which each request begins, which has `most` points at most."""
    words = [0] * len(window.contents) if sparse is None else np.diff(sparse.offsets).tolist()
    starts = [0]
    size = in_json = 0
    for row, (content, count) in enumerate(zip(window.contents, words, strict=True)):
        row_size = len(content) + 4 * dim + _WORD * count
        row_in_json = len(content) + _JSON_FLOAT * dim + _JSON_WORD * count
        size, in_json = size + row_size, in_json + row_in_json
        if row > starts[-1] and (size > BATCH_BYTES or in_json > REST_BYTES or row - starts[-1] == most):
            starts.append(row)
            size, in_json = row_size, row_in_json
    return starts
