"""Vectors as the embedded engine takes and gives them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import qdrant_edge as edge

from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.records.sparse import SparseVector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasb_qdrant.collection.points import PointBatch

DENSE: Final = [""]
"""To be given the vector without a name alone, as a list; all of a point's vectors come as a mapping."""


def edge_vectors(batch: PointBatch) -> Iterator[edge.Vector]:
    """The vector, or vectors, of each point; empty sparse ones too, as servers get them."""
    if batch.sparse is None:
        for vector in batch.vectors:
            yield sequence(vector)
        return
    for vector, words in zip(batch.vectors, batch.sparse, strict=True):
        yield {"": sequence(vector), BM25: edge.SparseVector(words.indices.tolist(), words.values.tolist())}


def sparse_of(vector: edge.Vector | None) -> SparseVector | None:
    """The sparse vector among those of a point."""
    found = vector.get(BM25) if isinstance(vector, dict) else None
    if not isinstance(found, edge.SparseVector):
        return None
    return SparseVector(np.array(found.indices, dtype=np.uint32), np.array(found.values, dtype=np.float32))


def sequence(vector: NDArray[np.float32]) -> list[float]:
    """For the engine, which reads any sequence number by number: an array of 768 in 10 µs, a numpy row in 32."""
    return array("f", vector.tobytes())  # type: ignore[return-value]  # as good as a list, says the engine
