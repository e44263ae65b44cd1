"""Sparse vectors: the terms of a text and their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasb_qdrant.records.arrays import Float32s, Int64s, UInt32s


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """The non-zero elements of one vector: `indices` uint32 (n,), ascending, and `values` float32 (n,)."""

    indices: UInt32s
    values: Float32s


@dataclass(frozen=True, slots=True, eq=False)
class SparseVectors:
    """Several sparse vectors, concatenated: vector i is `indices[offsets[i]:offsets[i + 1]]` with its values.

    `indices` is uint32 (total,), ascending in each vector, `values` float32 (total,), `offsets` int64 (count + 1,).
    """

    indices: UInt32s
    values: Float32s
    offsets: Int64s

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> SparseVector:
        """One of the vectors, as a view."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, end = self.offsets[index], self.offsets[index + 1]
        return SparseVector(self.indices[start:end], self.values[start:end])

    def __iter__(self) -> Iterator[SparseVector]:
        return (self[index] for index in range(len(self)))

    def part(self, start: int, end: int) -> SparseVectors:
        """The vectors from `start` up to but not including `end`, as a view."""
        offsets = self.offsets[start : end + 1]
        first, last = offsets[0], offsets[-1]
        return SparseVectors(self.indices[first:last], self.values[first:last], offsets - first)

    def only(self, rows: Sequence[int]) -> SparseVectors:
        """These vectors, in this order."""
        import numpy as np

        if len(rows) == len(self):
            return self
        lengths = (self.offsets[1:] - self.offsets[:-1])[rows]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        kept = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return SparseVectors(self.indices[kept], self.values[kept], offsets)

    @classmethod
    def joined(cls, several: Sequence[SparseVectors]) -> SparseVectors:
        """The vectors of `several`, at least one, in their order."""
        import numpy as np

        if len(several) == 1:
            return several[0]
        lengths = np.concatenate([each.offsets[1:] - each.offsets[:-1] for each in several])
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(
            np.concatenate([each.indices for each in several]),
            np.concatenate([each.values for each in several]),
            offsets,
        )
