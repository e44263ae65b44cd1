"""What the tests of the stores share: a contract, passages, vectors, and opening a collection for them."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.protocol import Collection, Store
from tasb_qdrant.collection.reads.questions import Nearest, QueryOptions
from tasb_qdrant.records import Hit, ModelContract, Passage
from tasb_qdrant.records.sparse import SparseVector
from tasb_qdrant.search.hits import HitMaker
from tasb_qdrant.settings import CollectionSettings, StoreOptions, StoreSettings
from tests.ranking import Ranking

Vectors = NDArray[np.float32]

CONTRACT = ModelContract(
    model="some/model",
    weights="a1" * 32,
    pooling="cls",
    normalized=False,
    distance="Dot",
    dim=4,
    max_length=512,
    precision="fp32",
    query_prompt="",
    passage_prompt="passage: ",
    version="0.1.0",
)


@dataclass(frozen=True)
class Place:
    """Where the contract suite runs: a store, and how to look at it from outside."""

    kind: str
    settings: StoreSettings
    store: Store

    @property
    def embedded(self) -> bool:
        return self.settings.path is not None

    @contextmanager
    def collection(
        self, name: str = "", *, dim: int = 4, contract: ModelContract | None = None, **options: Any
    ) -> Iterator[Collection]:
        """A collection open for writing, made if it isn't there."""
        opened = open_for_writing(
            name or fresh_name(),
            self.store,
            contract=contract or replace(CONTRACT, dim=dim),
            settings=CollectionSettings(**options),
        )
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def client(self) -> Iterator[QdrantClient]:
        """A plain qdrant-client, as any other program would use."""
        key = self.settings.api_key
        client = QdrantClient(
            url=self.settings.url,
            api_key=None if key is None else key.get_secret_value(),
            check_compatibility=False,
        )
        try:
            yield client
        finally:
            client.close()


def options_of(place: Place) -> StoreOptions:
    """The options that open the store once more."""
    settings = place.settings
    if settings.path is not None:
        return {"path": settings.path}
    return {
        "url": settings.url,
        "grpc_port": settings.grpc_port,
        "api_key": settings.api_key,
        "transport": settings.transport,
    }


def fresh_name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def passages(ids: Sequence[object]) -> list[Passage]:
    return [Passage(str(each), f"text of {each}", payload={"n": index}) for index, each in enumerate(ids)]


def random_vectors(count: int, dim: int = 4, *, seed: int = 0) -> Vectors:
    """Of very different lengths, so that cosine and dot product rank them differently."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.1, 10, (count, 1))
    return (rng.standard_normal((count, dim)) * lengths).astype(np.float32)


def search(collection: Collection, vectors: Vectors, options: QueryOptions) -> list[list[Hit]]:
    """For each row its hits, best first."""
    maker: HitMaker[dict[str, Any]] = HitMaker(collection.keys, model=None, on_invalid="raise")
    found = collection.reads.query([Nearest(vector) for vector in vectors], options)
    return [list(maker.hits(points)) for points in found]


def payloads_of(collection: Collection, ids: Sequence[PointId]) -> dict[PointId, Mapping[str, Any]]:
    """The whole payload of each of these points that is there."""
    return {point.id: point.payload or {} for point in collection.reads.retrieve(ids)}


def vectors_of(collection: Collection, ids: Sequence[PointId]) -> dict[PointId, Vectors]:
    """The vector of each of these points that is there."""
    found = collection.reads.retrieve(ids, payload=False, vectors=True)
    return {point.id: point.vector for point in found if point.vector is not None}


def sparse_of(collection: Collection, ids: Sequence[PointId]) -> dict[PointId, SparseVector]:
    """The sparse vector of each of these points that has one."""
    found = collection.reads.retrieve(ids, payload=False, sparse=True)
    return {point.id: point.sparse for point in found if point.sparse is not None}


def delete_vectors(collection: Collection, ids: Sequence[PointId], name: str = "") -> None:
    """Delete the points' vectors of this name, as another program may: their payloads stay."""
    if isinstance(collection, EdgeCollection):
        with collection._shard.engine("deleting vectors") as shard:
            shard.update(edge.UpdateOperation.delete_vectors(list(ids), [name]))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # client and server versions differ on purpose
        client = QdrantClient(url=collection.location, check_compatibility=False)
    client.delete_vectors(collection.name, vectors=[name], points=list(ids))
    client.close()


def store_one(collection: Collection, passage: Passage, vector: Sequence[float] = (1, 0, 0, 0)) -> Hit:
    """What comes back for the passage after it was stored."""
    vectors = np.array([vector], dtype=np.float32)
    collection.upsert(PointBatch([passage], vectors))
    hits = search(collection, vectors, QueryOptions(limit=10_000))[0]
    (hit,) = [hit for hit in hits if hit.id == passage.id]
    return hit


def fill(collection: Collection, count: int, *, seed: int = 0) -> Vectors:
    """`count` passages with ids "0", "1", …; returns their vectors."""
    vectors = random_vectors(count, collection.contract.dim, seed=seed)
    stored = passages(range(count))
    for start in range(0, count, 1000):
        part = slice(start, start + 1000)
        collection.upsert(PointBatch(stored[part], vectors[part]))
    return vectors


def ranking_of(vectors: Vectors, query: Vectors) -> Ranking[str]:
    """Of passages with ids "0", "1", …, by dot product."""
    return Ranking.of([str(row) for row in range(len(vectors))], vectors, query)


def ids_of(hits: Sequence[Hit]) -> list[str]:
    return [hit.id for hit in hits]
