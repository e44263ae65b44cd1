"""What a collection promises, whichever store holds it, and the nouns that it takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.errors import EncodingError, RequestRefusedError, SettingsError
from tasb_qdrant.filters import Filter
from tasb_qdrant.records import Hit, ModelContract, Passage
from tasb_qdrant.settings import Bm25Settings, CollectionSettings, IndexType, PayloadKeys, Quantization, VectorType
from tasb_qdrant.sparse import SparseVector, SparseVectors

if TYPE_CHECKING:
    from qdrant_client import models  # 0.6 s to import: only the stores that need it do so

    from tasb_qdrant.collection.reads.questions import AsyncReads, Reads

Where: TypeAlias = "Filter | models.Filter"
"""A filter of ours, or one of qdrant-client's."""

PointId = int | str

OVERSAMPLING: Final[Mapping[Quantization, float]] = {"int8": 2.0, "binary": 4.0, "turbo4": 2.0}
"""Candidates for each hit wanted that quantized vectors choose, before the real vectors score them: else
scores would be approximations (off by 4% with int8), and with binary the best passage is often missed."""


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Passages and their vectors, float32 (n, dim), row for row; `sparse` are those of their words, for collections
    with BM25.

    `ids` are the passages' point ids, where somebody has made them already: most take a hash.
    A batch that can't be stored can't be made: EncodingError for a wrong shape, another dtype, or a
    vector that is not finite (both stores would accept NaN, and rank it first).
    """

    passages: Sequence[Passage]
    vectors: NDArray[np.float32]
    ids: Sequence[PointId] | None = None
    sparse: SparseVectors | None = None

    @property
    def point_ids(self) -> Sequence[PointId]:
        """The passages' point ids."""
        return self.ids if self.ids is not None else [passage.point_id for passage in self.passages]

    def part(self, start: int, end: int) -> PointBatch:
        """The rows from `start` to before `end`."""
        return PointBatch(
            self.passages[start:end],
            self.vectors[start:end],
            None if self.ids is None else self.ids[start:end],
            None if self.sparse is None else self.sparse.part(start, end),
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


MAX_COUNT: Final = 2**31 - 1
"""The largest limit, offset and hnsw_ef that both stores take over each way to them."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What to find. `exact` compares with every vector; `hnsw_ef` trades time for recall.

    Raises SettingsError for numbers that no store takes.
    """

    limit: int = 10
    offset: int = 0
    where: Where | None = None
    score_threshold: float | None = None
    exact: bool = False
    hnsw_ef: int | None = None

    def __post_init__(self) -> None:
        check_count("limit", self.limit, least=1)
        check_count("offset", self.offset, least=0)
        if self.hnsw_ef is not None:
            check_count("hnsw_ef", self.hnsw_ef, least=1)


def check_count(name: str, value: object, *, least: int) -> None:
    # True would pass for 1, and a float or a string fail deep inside a client.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_COUNT:
        raise SettingsError(
            f"{name} must be a whole number, at least {least} and at most {MAX_COUNT}, got {repr(value)[:100]}"
        )


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point at rest. `payload` and `vector`, float32 (dim,), are None where they weren't asked for."""

    id: PointId
    payload: Mapping[str, Any] | None = None
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Points in the order of their ids: numbers first, then UUIDs. `following` is where the next page starts."""

    points: Sequence[StoredPoint]
    following: PointId | None


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
    being built; `vectors` how the vectors are stored; `bm25` how the words became vectors, if they did.
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


class Collection(Protocol):
    """Vectors and payload at rest. Every method raises CollectionError or one of its kinds."""

    @property
    def name(self) -> str: ...

    @property
    def location(self) -> str:
        """The server's url or the embedded store's folder."""
        ...

    @property
    def identity(self) -> str:
        """Random, and made with the collection: one of the same name made later has another. May be "" (unknown)."""
        ...

    @property
    def contract(self) -> ModelContract: ...

    @property
    def keys(self) -> PayloadKeys: ...

    @property
    def bm25(self) -> Bm25Settings | None:
        """How the words of each passage become its sparse vector; None where passages have none."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        ...

    @property
    def limits(self) -> StoreLimits:
        """What may be stored, and how much at once."""
        ...

    def upsert(self, batch: PointBatch) -> None:
        """Store, or replace, each passage of the batch. Returning means stored, not merely accepted."""
        ...

    def search(self, vectors: NDArray[np.float32], options: SearchOptions) -> list[list[Hit]]:
        """For each row of float32 (n, dim) its hits, best first."""
        ...

    def payloads(self, ids: Sequence[PointId]) -> dict[PointId, Mapping[str, Any]]:
        """The whole payload of each of these points that is there."""
        ...

    def vectors(self, ids: Sequence[PointId]) -> dict[PointId, NDArray[np.float32]]:
        """The vector, float32 (dim,), of each of these points that is there."""
        ...

    def sparse_vectors(self, ids: Sequence[PointId]) -> dict[PointId, SparseVector]:
        """The sparse vector of each of these points that is there and has one."""
        ...

    def sample(self, limit: int) -> list[Mapping[str, Any]]:
        """The whole payloads of up to `limit` points, no matter which."""
        ...

    def page(
        self, start: PointId | None = None, *, limit: int = 1_000, payloads: bool = False, vectors: bool = False
    ) -> Page:
        """The first `limit` points whose ids don't come before `start`. Where there are replicas: what all hold."""
        ...

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete these points; those that aren't there don't matter. Returning means deleted."""
        ...

    def replace_payloads(self, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Give each of these points another payload as a whole, and leave its vector. Returning means stored."""
        ...

    def count(self, where: Where | None = None) -> int:
        """The exact number of points that match."""
        ...

    def indexes(self) -> dict[str, IndexType]:
        """The payload indexes there are."""
        ...

    def ensure_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        """Make the payload indexes that are missing. RequestRefusedError when one has another type."""
        ...

    def index_deferred(self) -> bool:
        """Whether `defer_indexing` is in force: for a load that is under way, or that did not finish."""
        ...

    def defer_indexing(self) -> None:
        """Build no vector index until `optimize`, for a bulk load."""
        ...

    def settle_index(self, *, changed: bool, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """Return when the wanted settings are in force, and the vector index is as they want it.

        After a deferred load that is `optimize`; where nothing is to be done it costs one look.
        `changed` says that something was stored since the collection was opened.
        """
        ...

    def optimize(self, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """Build the vector index over every point, and return when it is built and settings are restored."""
        ...

    def info(self) -> CollectionInfo: ...

    def queued_updates(self) -> int | None:
        """Updates, of anybody, that the store has taken and not yet applied; None where it doesn't say."""
        ...

    def flush(self) -> None:
        """Return when everything acknowledged so far is on disk."""
        ...

    def close(self) -> None: ...


class OpenCollection(Collection, Protocol):
    """A collection as its store opens it: closed at the end of a `with` block, and quick to know its indexes."""

    @property
    def reads(self) -> Reads:
        """The read path."""
        ...

    def async_reads(self) -> AsyncReads:
        """The read path, awaited, for one event loop; whoever has it closes it there."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Store(Protocol):
    """A place that holds collections: a server, or a folder."""

    @property
    def location(self) -> str: ...

    def names(self) -> list[str]:
        """All collections there, sorted; on a server also those that others made."""
        ...

    def exists(self, name: str) -> bool: ...

    def open(
        self, name: str, *, own_store: bool = False, lock_wait: float = 0.0, wanted: CollectionSettings | None = None
    ) -> OpenCollection:
        """The collection; with `own_store`, closing it closes this store too.

        Where only one may have a collection open, wait `lock_wait` seconds for it. The notes of the
        collection say what it does not take over of the `wanted` settings.
        Raises CollectionNotFoundError, NotOurCollectionError, StoreLockedError.
        """
        ...

    def create(self, name: str, schema: CollectionSchema, settings: CollectionSettings) -> None:
        """Make an empty collection, whole or not at all."""
        ...

    def delete(self, name: str) -> None: ...

    def discard_new(self, name: str) -> None:
        """Delete the collection if `create` made it here and it holds nothing; nothing is tried twice."""
        ...

    def close(self) -> None:
        """Close the connection that the collections opened here share."""
        ...


def index_conflicts(
    there: Mapping[str, IndexType], wanted: Mapping[str, IndexType]
) -> Iterable[tuple[str, IndexType, IndexType]]:
    """(field, type there, type wanted) where they differ."""
    return [(field, there[field], kind) for field, kind in wanted.items() if there.get(field, kind) != kind]


def dense_indexed(indexed: int | None, points: int | None) -> int:
    """Of the vectors in the indexes of a collection with BM25, how many are dense: a sparse one is in its index as
    soon as it is stored."""
    return max(0, (indexed or 0) - (points or 0))


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


def check_queries(vectors: NDArray[np.float32], *, name: str, dim: int) -> None:
    """`check_size`, and every number finite: the embedded engine finds nothing for NaN, and says nothing."""
    check_size(vectors, name=name, dim=dim)
    if not np.isfinite(vectors).all():
        raise EncodingError("a query's vector is not finite; try --precision fp32, or check the model")
