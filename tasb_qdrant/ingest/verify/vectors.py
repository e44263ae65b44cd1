"""A sample of the source, encoded again and compared with the vectors that are stored."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records import Passage
from tasb_qdrant.records.sparse import SparseVector, SparseVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasb_qdrant.collection.protocol import Collection

BATCH: Final = 500
"""Vectors read in one request: 1.5 MB of 768 numbers."""

# The lowest cosine and the largest relative difference in length between two encodings of a text, by the less
# exact of the two precisions. Vectors of different texts of one topic lie at 0.9 and below.
_LIMITS: Final = {"fp32": (0.9999, 0.005), "bf16": (0.999, 0.01), "fp16": (0.999, 0.01), "int8": (0.99, 0.05)}


class Sample:
    """Up to `size` passages of the source, each equally likely."""

    def __init__(self, size: int, *, seed: int) -> None:
        self._size = size
        self._random = random.Random(seed)  # noqa: S311  # a sample, not a secret
        self._seen = 0
        self.passages: list[Passage] = []

    def look_at(self, window: Window) -> None:
        """Take the window's passages into account."""
        if not self._size:
            return
        for passage in window.passages:
            self._seen += 1
            if len(self.passages) < self._size:
                self.passages.append(passage)
            elif (place := self._random.randrange(self._seen)) < self._size:
                self.passages[place] = passage


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many vectors could be compared, their lowest cosine, and the passages whose vectors differ."""

    compared: int
    lowest_cosine: float | None
    differing: Sequence[Passage]


def compare_vectors(
    passages: Sequence[Passage],
    vectors: NDArray[np.float32],
    collection: Collection,
    *,
    precision: str,
    sparse: SparseVectors | None = None,
) -> Comparison:
    """Compare the stored vectors with `vectors`, float32 (n, dim), row for row, encoded in `precision`.

    Sparse ones are compared with `sparse`, if it is given. Passages that aren't stored are left out.
    """
    cosine, length = _limits(precision, collection.contract.precision)
    compared, lowest, differing = 0, None, []
    for start in range(0, len(passages), BATCH):
        some = passages[start : start + BATCH]
        ids = [collection.point_id(passage.id) for passage in some]
        points = collection.reads.retrieve(ids, payload=False, vectors=True, sparse=sparse is not None)
        stored = {point.id: point for point in points}
        for row, (passage, point_id, vector) in enumerate(
            zip(some, ids, vectors[start : start + BATCH], strict=True), start
        ):
            if (there := stored.get(point_id)) is None or there.vector is None:
                continue
            compared += 1
            similarity, ratio = _similarity(there.vector.astype(np.float64), vector.astype(np.float64))
            lowest = similarity if lowest is None else min(lowest, similarity)
            alike = similarity >= cosine and abs(ratio - 1.0) <= length
            if not alike or (sparse is not None and not _same_words(there.sparse, sparse[row])):
                differing.append(passage)
    return Comparison(compared, lowest, differing)


def _limits(*precisions: str) -> tuple[float, float]:
    limits = [_LIMITS.get(precision, _LIMITS["int8"]) for precision in precisions]
    return min(cosine for cosine, _ in limits), max(length for _, length in limits)


def _same_words(stored: SparseVector | None, made: SparseVector) -> bool:
    """Sparse vectors don't depend on precision, but their values may be rounded on the way through JSON."""
    if stored is None or not np.array_equal(stored.indices, made.indices):
        return False
    return bool(np.allclose(stored.values, made.values, rtol=1e-5, atol=0.0))


def _similarity(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Cosine and ratio of lengths; (0, 0) if just one of them is all zeros, or their sizes differ."""
    if one.shape != other.shape:
        return 0.0, 0.0
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not all(lengths):
        return (1.0, 1.0) if not any(lengths) else (0.0, 0.0)
    return float(one @ other) / (lengths[0] * lengths[1]), lengths[0] / lengths[1]
