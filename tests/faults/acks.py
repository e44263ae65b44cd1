"""The log of what an embedded collection has acknowledged, kept outside the process that may be killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from tests.faults.points import wrap


def log_embedded(file: str) -> None:
    """A hook: each point of a batch whose `upsert` returned stands in `file`, on disk, before anybody else knows."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    lock = threading.Lock()

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def upsert(collection: Any, batch: Any, *rest: Any, **options: Any) -> Any:
            result = original(collection, batch, *rest, **options)
            with lock:
                os.write(descriptor, "".join(f"{one.point_id}\n" for one in batch.passages).encode())
                os.fsync(descriptor)
            return result

        return upsert

    wrap("tasb_qdrant.collection.edge.collection:EdgeCollection.upsert", make)
