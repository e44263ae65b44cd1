"""Vectors as the embedded engine takes and gives them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import qdrant_edge as edge

from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.records.sparse import SparseVector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasb_qdrant.collection.points import PointBatch


def edge_vectors(batch: PointBatch) -> Iterator[edge.Vector]:
    """The vector, or vectors, of each point; empty sparse ones too, as on servers."""
    if batch.sparse is None:
        for vector in batch.vectors:
            yield sequence(vector)
        return
    for vector, sparse in zip(batch.vectors, batch.sparse, strict=True):
        yield {"": sequence(vector), BM25: edge.SparseVector(sparse.indices.tolist(), sparse.values.tolist())}


def read_vectors(given: edge.Vector | None) -> tuple[NDArray[np.float32] | None, SparseVector | None]:
    """The dense vector of a point, float32 (dim,), and its sparse one, if they were asked for.

    The dense one alone comes as a list, both as a mapping.
    """
    if not isinstance(given, dict):
        return (np.asarray(given, dtype=np.float32) if given else None), None
    dense, found = given.get(""), given.get(BM25)
    sparse = None
    if isinstance(found, edge.SparseVector):
        sparse = SparseVector(np.array(found.indices, dtype=np.uint32), np.array(found.values, dtype=np.float32))
    return (None if dense is None else np.asarray(dense, dtype=np.float32)), sparse


def sequence(vector: NDArray[np.float32]) -> list[float]:
    """For the engine, which reads any sequence number by number: an array of 768 in 10 µs, a numpy row in 32."""
    return array("f", vector.tobytes())  # type: ignore[return-value]  # the engine takes it like a list
