"""What a collection says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tasb_qdrant.records import ModelContract
from tasb_qdrant.records.html import facts
from tasb_qdrant.settings import Bm25Settings, IndexType, PayloadKeys, VectorType


@dataclass(frozen=True, slots=True)
class OptimizeProgress:
    """How far the vector index is. `indexed` of `points` vectors; `waiting_for` says what is pending."""

    points: int
    indexed: int
    waiting_for: str


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What a collection is and holds. `points` is an exact count, `indexed` the store's own estimate.

    `index_deferred` says that a load which is under way, or did not finish, keeps the vector index from
    being built; `vectors` how the vectors are stored; `bm25` how the sparse vectors were made, if there are any.
    """

    name: str
    location: str
    store: str
    points: int
    indexed: int
    status: str
    index_deferred: bool
    indexes: Mapping[str, IndexType]
    quantization: str
    vectors: VectorType
    keys: PayloadKeys
    contract: ModelContract
    bm25: Bm25Settings | None = None

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return {
            **{name: getattr(self, name) for name in ("name", "location", "store", "points", "indexed")},
            "status": self.status,
            "index_deferred": self.index_deferred,
            "indexes": dict(self.indexes),
            "quantization": self.quantization,
            "vectors": self.vectors,
            "keys": self.keys.model_dump(),
            "contract": asdict(self.contract),
            "bm25": None if self.bm25 is None else self.bm25.model_dump(),
        }

    def _repr_html_(self) -> str:
        """For notebooks."""
        told = ("name", "location", "store", "status", "points", "indexed", "vectors", "quantization")
        values = {name: getattr(self, name) for name in told}
        values["indexes"] = ", ".join(f"{field}:{kind}" for field, kind in self.indexes.items())
        values["model"] = f"{self.contract.model}, {self.contract.dim} numbers, {self.contract.precision}"
        return facts("CollectionInfo", values)


def dense_indexed(indexed: int | None, points: int | None) -> int:
    """How many of the indexed vectors of a collection with BM25 are dense: a sparse one is in its index as soon as it
    is stored."""
    return max(0, (indexed or 0) - (points or 0))
