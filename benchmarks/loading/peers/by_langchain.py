"""LangChain's QdrantVectorStore, with an embedding that returns prepared vectors."""

from __future__ import annotations

import json
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient, models


class LangChain:
    def __init__(self, *, variant: str) -> None:
        self._at = 0

    def prepare(self, *, folder: str, count: int) -> None:
        self._vectors: list[list[float]] = np.load(Path(folder) / "vectors.npy")[:count].tolist()
        with (Path(folder) / "payloads.jsonl").open(encoding="utf-8") as file:
            self._payloads = [json.loads(line) for line in islice(file, count)]
        self._texts = [payload.pop("text") for payload in self._payloads]

    def create(self, *, url: str, grpc_port: int, collection: str) -> None:
        self._client = QdrantClient(url=url, grpc_port=grpc_port, prefer_grpc=True, timeout=60)
        self._client.create_collection(
            collection,
            vectors_config=models.VectorParams(size=len(self._vectors[0]), distance=models.Distance.DOT),
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
        )
        base = import_module("langchain_core.embeddings").Embeddings
        ready = type("Ready", (base,), {"embed_documents": self._next, "embed_query": None})
        self._store = import_module("langchain_qdrant").QdrantVectorStore(
            self._client,
            collection,
            embedding=ready(),
            distance=models.Distance.DOT,
            validate_collection_config=False,
        )

    def _next(self, texts: list[str]) -> list[list[float]]:
        start, self._at = self._at, self._at + len(texts)
        return self._vectors[start : self._at]

    def load(self, *, batch: int, parallel: int) -> None:
        self._at = 0
        ids = list(range(len(self._texts)))
        self._store.add_texts(self._texts, metadatas=self._payloads, ids=ids, batch_size=batch or 64)

    def close(self) -> None:
        self._client.close()


CONTESTANT = LangChain
