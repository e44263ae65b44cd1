"""qdrant-client's local mode in memory: NumPy in this process, and sentence-transformers for text queries."""

from __future__ import annotations

import json
import time
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

BATCH = 1_000


class LocalMode:
    def __init__(self, *, variant: str) -> None:
        pass

    def open(
        self, *, points: str, count: int, path: str, collection: str, model: str, year: int, lang: str, limit: int
    ) -> None:
        """`path` is where the others' points are; here they are loaded into memory."""
        self._model = import_module("sentence_transformers").SentenceTransformer(model, device="cpu")
        self._client = QdrantClient(":memory:")
        self._collection, self._limit = collection, limit
        vectors = np.load(Path(points) / "vectors.npy", mmap_mode="r")
        self._client.create_collection(
            collection, vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
        )
        with (Path(points) / "payloads.jsonl").open(encoding="utf-8") as file:
            for start in range(0, count, BATCH):
                payloads = [json.loads(line) for line in islice(file, min(BATCH, count - start))]
                ids = range(start, start + len(payloads))
                part = np.array(vectors[start : start + len(payloads)])
                self._client.upload_collection(collection, vectors=part, payload=payloads, ids=ids)
        self._filter = models.Filter(
            must=[
                models.FieldCondition(key="year", range=models.Range(gte=year)),
                models.FieldCondition(key="lang", match=models.MatchValue(value=lang)),
            ]
        )

    def search(self, query: str, *, filtered: bool) -> Any:
        return self._query(self._model.encode(query), filtered)

    def given(self, *, vectors: str, start: int, count: int, filtered: bool, ef: int) -> dict[str, Any]:
        """Milliseconds and ids for the vectors in a file; there is no index for `ef` to apply to."""
        milliseconds, ids = [], []
        for vector in np.load(vectors)[start : start + count]:
            begin = time.perf_counter()
            found = self._query(vector, filtered)
            milliseconds.append(1e3 * (time.perf_counter() - begin))
            ids.append(self.ids(found))
        return {"milliseconds": milliseconds, "ids": ids}

    def _query(self, vector: Any, filtered: bool) -> Any:
        return self._client.query_points(
            self._collection,
            query=vector,
            query_filter=self._filter if filtered else None,
            limit=self._limit,
            with_payload=True,
        ).points

    def ids(self, found: Any) -> list[int]:
        return [point.id for point in found]

    def vector(self, query: str) -> Any:
        return self._model.encode(query)

    def close(self) -> None:
        self._client.close()


CONTESTANT = LocalMode
