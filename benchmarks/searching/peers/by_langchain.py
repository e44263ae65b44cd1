"""LangChain's QdrantVectorStore over gRPC, with HuggingFaceEmbeddings, as its documentation shows it.

The payload is flat, but LangChain reads metadata from a nested object: it gets the whole payload from the server, as
everyone does, and makes documents from the text and the point id alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qdrant_client import QdrantClient, models


class LangChain:
    def __init__(self, *, variant: str) -> None:
        pass

    def open(self, *, url: str, grpc_port: int, collection: str, model: str, year: int, lang: str, limit: int) -> None:
        embeddings = import_module("langchain_huggingface").HuggingFaceEmbeddings
        self._embeddings = embeddings(model_name=model, model_kwargs={"device": "cpu"})
        self._client = QdrantClient(url=url, grpc_port=grpc_port, prefer_grpc=True, timeout=60)
        self._store = import_module("langchain_qdrant").QdrantVectorStore(
            self._client,
            collection,
            embedding=self._embeddings,
            distance=models.Distance.DOT,
            content_payload_key="content",
        )
        self._limit = limit
        self._filter = models.Filter(
            must=[
                models.FieldCondition(key="year", range=models.Range(gte=year)),
                models.FieldCondition(key="lang", match=models.MatchValue(value=lang)),
            ]
        )

    def search(self, query: str, *, filtered: bool) -> Any:
        return self._store.similarity_search_with_score(query, k=self._limit, filter=self._filter if filtered else None)

    def ids(self, found: Any) -> list[int]:
        return [document.metadata["_id"] for document, _ in found]

    def vector(self, query: str) -> Any:
        return self._embeddings.embed_query(query)

    def close(self) -> None:
        self._client.close()


CONTESTANT = LangChain
