"""What the tests of the stores share: a contract, passages, vectors, and opening a collection for them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection, SearchOptions, Store
from tasb_qdrant.records import Hit, ModelContract, Passage
from tasb_qdrant.settings import CollectionSettings, StoreSettings
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


def fresh_name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def passages(ids: Sequence[object]) -> list[Passage]:
    return [Passage(str(each), f"text of {each}", payload={"n": index}) for index, each in enumerate(ids)]


def random_vectors(count: int, dim: int = 4, *, seed: int = 0) -> Vectors:
    """Of very different lengths, so that cosine and dot product rank them differently."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.1, 10, (count, 1))
    return (rng.standard_normal((count, dim)) * lengths).astype(np.float32)


def store_one(collection: Collection, passage: Passage, vector: Sequence[float] = (1, 0, 0, 0)) -> Hit:
    """What comes back for the passage after it was stored."""
    vectors = np.array([vector], dtype=np.float32)
    collection.upsert(PointBatch([passage], vectors))
    hits = collection.search(vectors, SearchOptions(limit=10_000))[0]
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
