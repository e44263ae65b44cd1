"""sentence-transformers, and qdrant-client's `upload_collection` over gRPC, as their documentation shows them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

PART = 20_000
"""Passages that are encoded before they are uploaded: the vectors of all may not fit into memory."""

UPLOADED = 256
FLASH = {"dtype": "float16", "attn_implementation": "flash_attention_2"}


class SentenceTransformers:
    def __init__(self, *, variant: str) -> None:
        self._options: dict[str, Any] = FLASH if variant == "flash" else {"dtype": variant}

    def prepare(self, *, model: str, device: str, source: str, count: int) -> None:
        kind = import_module("sentence_transformers").SentenceTransformer
        self._model = kind(model, device=device, model_kwargs=self._options)
        self._source, self._count = source, count

    def warm(self, *, texts: list[str], batch: int) -> None:
        self._model.encode(texts, batch_size=batch)

    def create(self, *, url: str, grpc_port: int, collection: str) -> None:
        self._client = QdrantClient(url=url, grpc_port=grpc_port, prefer_grpc=True, timeout=60)
        self._collection = collection
        self._client.create_collection(
            collection, vectors_config=models.VectorParams(size=768, distance=models.Distance.DOT)
        )

    def load(self, *, batch: int, parallel: int) -> None:
        reading = import_module("reading")  # a file of this folder
        for start, part in reading.parts(self._source, self._count, PART):
            texts = [text for _, text in part]
            vectors = self._model.encode(texts, batch_size=batch, convert_to_numpy=True).astype(np.float32)
            self._client.upload_collection(
                self._collection,
                vectors=vectors,
                payload=[{"text": text, "passage_id": name} for name, text in part],
                ids=range(start, start + len(part)),
                batch_size=UPLOADED,
                parallel=parallel,
            )

    def close(self) -> None:
        self._client.close()


CONTESTANT = SentenceTransformers
