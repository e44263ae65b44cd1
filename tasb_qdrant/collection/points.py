"""Points on their way into a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.errors import EncodingError, RequestRefusedError, SettingsError
from tasb_qdrant.records import Passage
from tasb_qdrant.records.sparse import SparseVectors
from tasb_qdrant.settings import Bm25Settings

PointId = int | str


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Passages and their vectors, float32 (n, dim), row for row; `sparse` their sparse vectors, in collections
    with BM25.

    `ids` are the passages' point ids, if they have been made already: most take a hash. So it is with `entries`, their
    payloads as Collection.payload_entries makes them.
    A batch that can't be stored can't be made: EncodingError for a wrong shape, another dtype, or a
    vector that is not finite (both stores would accept NaN, and rank it first).
    """

    passages: Sequence[Passage]
    vectors: NDArray[np.float32]
    ids: Sequence[PointId] | None = None
    sparse: SparseVectors | None = None
    entries: Sequence[bytes] | None = None

    @property
    def point_ids(self) -> Sequence[PointId]:
        """The passages' point ids, unless they were made already those of a new collection."""
        return self.ids if self.ids is not None else [passage.point_id for passage in self.passages]

    def identified(self, point_id: Callable[[str], PointId]) -> PointBatch:
        """The same, with the ids that `point_id` gives, unless it has ids."""
        return self if self.ids is not None else replace(self, ids=[point_id(one.id) for one in self.passages])

    def part(self, start: int, end: int) -> PointBatch:
        """The rows from `start` to before `end`."""
        return PointBatch(
            self.passages[start:end],
            self.vectors[start:end],
            None if self.ids is None else self.ids[start:end],
            None if self.sparse is None else self.sparse.part(start, end),
            None if self.entries is None else self.entries[start:end],
        )

    def __post_init__(self) -> None:
        shape = self.vectors.shape
        if len(shape) != 2 or shape[0] != len(self.passages):
            raise EncodingError(
                f"expected one vector for each of {len(self.passages)} passages, got an array of shape {shape}"
            )
        if self.sparse is not None and len(self.sparse) != shape[0]:
            raise EncodingError(f"expected one sparse vector for each of {shape[0]} passages, got {len(self.sparse)}")
        if self.vectors.dtype != np.float32:
            raise EncodingError(f"vectors must be float32, got {self.vectors.dtype}")
        finite = np.isfinite(self.vectors).all(axis=1)
        if not finite.all():
            bad = self.passages[int(np.argmin(finite))]
            raise EncodingError(
                f"the vector of passage {bad.id!r} is not finite; try --precision fp32, or check the model"
            )


def checked_ids(ids: Iterable[str]) -> list[str]:
    """The ids as a list. Raises SettingsError for anything but passage ids."""
    if isinstance(ids, str):
        raise SettingsError(f"expected a list of passage ids, got the string {ids!r}; write [{ids!r}]")
    return [_checked_id(name) for name in ids]


def _checked_id(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise SettingsError(f"passage ids are strings, got {name!r}")
    return name


def check_size(vectors: NDArray[np.float32], *, name: str, dim: int) -> None:
    """Refuse vectors that the collection can't hold or compare. Raises RequestRefusedError."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise RequestRefusedError(
            f"collection {name!r} holds vectors of {dim} numbers, got an array of shape {vectors.shape}; "
            "use the model that the collection was made with"
        )


def check_sparse(batch: PointBatch, bm25: Bm25Settings | None, *, name: str) -> None:
    """Refuse passages without the sparse vectors that the others have, or with some. Raises RequestRefusedError."""
    if (batch.sparse is None) == (bm25 is None):
        return
    wanted, found = ("with", "without") if batch.sparse is None else ("without", "with")
    raise RequestRefusedError(f"collection {name!r} holds passages {wanted} BM25 vectors, got some {found} them")
