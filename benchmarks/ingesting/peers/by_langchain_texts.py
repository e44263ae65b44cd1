"""LangChain's `QdrantVectorStore.from_texts` over gRPC with HuggingFaceEmbeddings, as its documentation shows it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qdrant_client import models


class LangChain:
    def __init__(self, *, variant: str) -> None:
        pass

    def prepare(self, *, model: str, device: str, source: str, count: int) -> None:
        self._embeddings = import_module("langchain_huggingface").HuggingFaceEmbeddings(
            model_name=model, model_kwargs={"device": device}, encode_kwargs={"normalize_embeddings": False}
        )
        self._source, self._count = source, count

    def warm(self, *, texts: list[str], batch: int) -> None:
        self._embeddings.encode_kwargs = {"normalize_embeddings": False, "batch_size": batch}
        self._embeddings.embed_documents(texts)

    def create(self, *, url: str, grpc_port: int, collection: str) -> None:
        """`from_texts` creates the collection itself."""
        self._place: dict[str, Any] = {"url": url, "grpc_port": grpc_port, "collection_name": collection}

    def load(self, *, batch: int, parallel: int) -> None:
        reading = import_module("reading")  # a file of this folder
        _, passages = next(reading.parts(self._source, self._count, self._count))
        self._store = import_module("langchain_qdrant").QdrantVectorStore.from_texts(
            [text for _, text in passages],
            self._embeddings,
            metadatas=[{"passage_id": name} for name, _ in passages],
            ids=list(range(len(passages))),
            distance=models.Distance.DOT,
            prefer_grpc=True,
            timeout=60,
            batch_size=max(64, batch),  # of both: it hands a batch to the model, and then to the server
            **self._place,
        )

    def close(self) -> None:
        self._store.client.close()


CONTESTANT = LangChain
