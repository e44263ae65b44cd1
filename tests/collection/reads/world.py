"""A collection for the tests of the read path, made as any program could, and what it should answer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import qdrant_edge as edge
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.edge.files import SIDECAR, shard_folder
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.reads.questions import BM25, FoundPoint, Lexical, Nearest, Reads
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.collection.server.collection import ServerCollection
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.settings import CollectionSettings, IndexType, StoreSettings
from tests.collection.helpers import CONTRACT, Vectors, fresh_name
from tests.ranking import Ranking

POINTS: Final = 300
DIM: Final = 16
WORDS: Final = 40

INDEXES: Final[dict[str, IndexType]] = {
    "lang": "keyword",
    "year": "integer",
    "tags": "keyword",
    "draft": "bool",
    "day": "datetime",
    "price": "float",
}

PointId = int | str
Stored = EdgeCollection | ServerCollection


@dataclass(frozen=True)
class World:
    """What is stored: row for row an id, a vector, words with weights, and a payload."""

    ids: list[PointId]
    vectors: Vectors
    words: list[tuple[NDArray[np.uint32], NDArray[np.float32]]]
    payloads: list[dict[str, Any]]

    @classmethod
    def make(cls, seed: int = 7) -> World:
        rng = np.random.default_rng(seed)
        ids: list[PointId] = [n if n % 3 else str(uuid.UUID(int=int(rng.integers(2**62)))) for n in range(POINTS)]
        centres = rng.standard_normal((12, DIM))
        vectors = centres[rng.integers(12, size=POINTS)] + 0.5 * rng.standard_normal((POINTS, DIM))
        words = [
            (np.sort(rng.choice(WORDS, 6, replace=False)).astype(np.uint32), rng.uniform(0.1, 2, 6).astype(np.float32))
            for _ in range(POINTS)
        ]
        return cls(ids, vectors.astype(np.float32), words, [_payload(rng, n) for n in range(POINTS)])

    def question(self, seed: int = 0) -> Nearest:
        rng = np.random.default_rng(1_000 + seed)
        near = self.vectors[int(rng.integers(POINTS))]
        return Nearest((near + 0.3 * rng.standard_normal(DIM)).astype(np.float32))

    def words_asked(self, seed: int = 0) -> Lexical:
        rng = np.random.default_rng(2_000 + seed)
        chosen = np.sort(rng.choice(WORDS, 4, replace=False)).astype(np.uint32)
        return Lexical(chosen, np.ones(4, dtype=np.float32))

    def ranking(self, vector: Vectors, rows: list[int] | None = None) -> Ranking[PointId]:
        """By the dot products of all points, or of those in the rows."""
        whole = Ranking.of(self.ids, self.vectors, vector)
        return whole if rows is None else whole.among(self.ids[row] for row in rows)

    def values(self, by: str) -> dict[PointId, list[int | str]]:
        """The strings and integers of each point at the path, which name its groups."""
        return {each: _group_values(payload, by) for each, payload in zip(self.ids, self.payloads, strict=True)}

    def grouped(self, listed: list[PointId], by: str, limit: int, size: int) -> list[tuple[Any, list[PointId]]]:
        """The groups of points in this order, whatever their scores are."""
        values, groups = self.values(by), dict[int | str, list[PointId]]()
        for each in listed:
            for value in sorted(set(values[each]), key=lambda value: (isinstance(value, str), value)):
                groups.setdefault(value, []).append(each)
        return [(value, members[:size]) for value, members in list(groups.items())[:limit]]

    def part(self, count: int) -> World:
        """The first points."""
        return World(self.ids[:count], self.vectors[:count], self.words[:count], self.payloads[:count])

    def rows(self, **fields: Any) -> list[int]:
        """Those whose payload has these values."""
        return [n for n, p in enumerate(self.payloads) if all(p.get(key) == value for key, value in fields.items())]


def _group_values(payload: dict[str, Any], by: str) -> list[int | str]:
    found: Any = payload
    for key in by.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return [value for value in (found if isinstance(found, list) else [found]) if type(value) in (int, str)]


def _payload(rng: np.random.Generator, number: int) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "id": f"p{number}",
        "text": f"text {number}",
        "lang": ["en", "de", "fr", "el"][int(rng.choice(4, p=[0.6, 0.2, 0.15, 0.05]))],
        "tags": [f"t{tag}" for tag in rng.choice(8, int(rng.integers(0, 4)), replace=False)],
        "draft": bool(rng.integers(2)),
        "source": {"name": f"s{int(rng.integers(25))}"},
        "mixed": [1, "1", 2.5, True, None, ["a", 7]][int(rng.integers(6))],
        "number": number,
        "day": f"2024-03-{int(rng.integers(1, 32)):02}T06:00:00Z",
        "price": int(rng.integers(40)) / 4,
    }
    if rng.random() < 0.8:
        payload["year"] = int(rng.integers(1990, 2000))
    return payload


@contextmanager
def embedded(world: World, folder: Path) -> Iterator[EdgeCollection]:
    """The world in an embedded collection."""
    schema = _schema()
    home = folder / fresh_name()
    home.mkdir()
    (home / SIDECAR).write_bytes(orjson.dumps(schema.to_metadata()))
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=DIM, distance=edge.Distance.Dot),
        sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )
    shard = edge.EdgeShard.create(str(shard_folder(home)), config)
    points = [
        edge.Point(each, {"": vector, BM25: edge.SparseVector(words[0].tolist(), words[1].tolist())}, payload)
        for each, vector, words, payload in zip(
            world.ids, world.vectors.tolist(), world.words, world.payloads, strict=True
        )
    ]
    shard.update(edge.UpdateOperation.upsert_points(points))
    shard.close()
    with EdgeStore(folder).open(home.name) as collection:
        collection.ensure_indexes(INDEXES)
        yield collection


@contextmanager
def on_server(world: World, settings: StoreSettings, **options: Any) -> Iterator[ServerCollection]:
    """The world in a collection on a server; `options` are create_collection's."""
    name = fresh_name()
    key = settings.api_key
    client = QdrantClient(
        url=settings.url, api_key=None if key is None else key.get_secret_value(), check_compatibility=False
    )
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=DIM, distance=models.Distance.DOT),
        sparse_vectors_config={BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        metadata=_schema().to_metadata(),
        **options,
    )
    points = [
        models.PointStruct(
            id=each,
            vector={"": vector, BM25: models.SparseVector(indices=words[0].tolist(), values=words[1].tolist())},
            payload=payload,
        )
        for each, vector, words, payload in zip(
            world.ids, world.vectors.tolist(), world.words, world.payloads, strict=True
        )
    ]
    client.upsert(name, points, wait=True)
    store = ServerStore(settings)
    try:
        with store.open(name) as collection:
            collection.ensure_indexes(INDEXES)
            yield collection
    finally:
        store.close()
        client.delete_collection(name)
        client.close()


def _schema() -> CollectionSchema:
    return CollectionSchema.of(replace(CONTRACT, dim=DIM), CollectionSettings())


def pairs(points: list[FoundPoint]) -> list[tuple[PointId, float]]:
    return [(point.id, point.score) for point in points]


def reads_of(collection: Stored) -> Reads:
    """The read path; a line that a type checker reads: both stores keep to the protocol."""
    return collection.reads
