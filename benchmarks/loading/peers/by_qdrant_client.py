"""qdrant-client's `upload_collection` over gRPC, as its documentation shows it."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models


class Uploading:
    def __init__(self, *, variant: str) -> None:
        self._lists = variant == "lists"

    def prepare(self, *, folder: str, count: int) -> None:
        vectors = np.load(Path(folder) / "vectors.npy")[:count]
        self._vectors: Any = vectors.tolist() if self._lists else vectors
        with (Path(folder) / "payloads.jsonl").open(encoding="utf-8") as file:
            self._payloads = [json.loads(line) for line in islice(file, count)]

    def create(self, *, url: str, grpc_port: int, collection: str) -> None:
        self._client = QdrantClient(url=url, grpc_port=grpc_port, prefer_grpc=True, timeout=60)
        self._collection = collection
        self._client.create_collection(
            collection,
            vectors_config=models.VectorParams(size=len(self._vectors[0]), distance=models.Distance.DOT),
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
        )

    def load(self, *, batch: int, parallel: int) -> None:
        self._client.upload_collection(
            self._collection,
            vectors=self._vectors,
            payload=self._payloads,
            ids=range(len(self._payloads)),
            batch_size=batch or 64,
            parallel=parallel or 1,
        )

    def close(self) -> None:
        self._client.close()


CONTESTANT = Uploading
