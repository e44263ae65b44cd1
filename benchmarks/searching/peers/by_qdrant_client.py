"""sentence-transformers, and qdrant-client's `query_points` over gRPC, as their documentation shows them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qdrant_client import QdrantClient, models


class SentenceTransformers:
    def __init__(self, *, variant: str) -> None:
        self._options: dict[str, Any] = {"model_kwargs": {"dtype": "bfloat16"}} if variant == "bf16" else {}

    def open(self, *, url: str, grpc_port: int, collection: str, model: str, year: int, lang: str, limit: int) -> None:
        kind = import_module("sentence_transformers").SentenceTransformer
        self._model = kind(model, device="cpu", **self._options)
        self._client = QdrantClient(url=url, grpc_port=grpc_port, prefer_grpc=True, timeout=60)
        self._collection, self._limit = collection, limit
        self._filter = models.Filter(
            must=[
                models.FieldCondition(key="year", range=models.Range(gte=year)),
                models.FieldCondition(key="lang", match=models.MatchValue(value=lang)),
            ]
        )

    def search(self, query: str, *, filtered: bool) -> Any:
        return self._client.query_points(
            self._collection,
            query=self._model.encode(query),
            query_filter=self._filter if filtered else None,
            limit=self._limit,
            with_payload=True,
        ).points

    def batch(self, queries: list[str]) -> Any:
        requests = [
            models.QueryRequest(query=vector.tolist(), limit=self._limit, with_payload=True)
            for vector in self._model.encode(queries)
        ]
        return self._client.query_batch_points(self._collection, requests)

    def ids(self, found: Any) -> list[int]:
        return [point.id for point in found]

    def vector(self, query: str) -> Any:
        return self._model.encode(query)

    def close(self) -> None:
        self._client.close()


CONTESTANT = SentenceTransformers
