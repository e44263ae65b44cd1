"""Writes that a server took without having them visible in time: waited for, and looked at.

Such an answer, `wait_timeout`, means that the write is in the server's log and that nobody waits for it any more. To
send it again would make the server do it twice: with `prevent_unoptimized` each time would wait as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.reads.run import Reads
from tasb_qdrant.collection.server.failure import NotVisibleError, UnconfirmedError
from tasb_qdrant.collection.server.visibility import Backlog
from tasb_qdrant.records.path import parse_path
from tasb_qdrant.settings import VectorType

Send = Callable[[], None]


class Confirmations:
    """Of one collection: `reads` shows what is stored, `wait` returns once all is visible, or what isn't."""

    def __init__(self, reads: Reads, wait: Callable[[], Backlog], vectors: VectorType) -> None:
        self._reads = reads
        self._wait = wait
        self._dtype = np.dtype(vectors)

    def stored(self, send: Send, batch: PointBatch, payloads: Callable[[], Sequence[Mapping[str, Any]]]) -> Send:
        """`send`, and these passages looked at where that doesn't tell: their payloads and vectors."""

        def look() -> bool:
            found = {point.id: point for point in self._reads.retrieve(batch.point_ids, vectors=True)}
            rows = zip(batch.point_ids, payloads(), batch.vectors, strict=True)
            return all(
                one in found and found[one].payload == payload and self._same(found[one].vector, vector)
                for one, payload, vector in rows
            )

        return self._looking(send, look)

    def deleted(self, send: Send, ids: Sequence[PointId]) -> Send:
        """`send`, and whether these points are gone."""
        return self._looking(send, lambda: not self._reads.retrieve(ids, payload=False))

    def replaced(self, send: Send, payloads: Mapping[PointId, Mapping[str, Any]]) -> Send:
        """`send`, and whether those of these points that are there have these payloads."""
        return self._looking(
            send, lambda: all(point.payload == payloads[point.id] for point in self._reads.retrieve(list(payloads)))
        )

    def patched(self, send: Send, ids: Sequence[PointId], fields: Mapping[str, Any], removed: Sequence[str]) -> Send:
        """`send`, and whether those of these points that are there have the fields, and not those at `removed`."""
        gone = {parse_path(path)[0].name for path in removed}

        def look() -> bool:
            stored = [point.payload or {} for point in self._reads.retrieve(ids)]
            return all(
                gone.isdisjoint(payload) and all(payload.get(name) == value for name, value in fields.items())
                for payload in stored
            )

        return self._looking(send, look)

    def _looking(self, send: Send, look: Callable[[], bool]) -> Send:
        def confirmed() -> None:
            try:
                send()
            except NotVisibleError as error:
                left = self._wait()
                if not look():
                    raise UnconfirmedError(f"{error}{f'; it has {left}' if any(left) else ''}") from error

        return confirmed

    def _same(self, stored: NDArray[np.float32] | None, sent: NDArray[np.float32]) -> bool:
        return stored is not None and np.array_equal(stored.astype(self._dtype), sent.astype(self._dtype))
