"""Haystack's QdrantEmbeddingRetriever over gRPC, after its sentence-transformers text embedder.

The components are called one after the other, as their documentation first shows; a Pipeline would add to the time.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"


class Haystack:
    def __init__(self, *, variant: str) -> None:
        pass

    def open(self, *, url: str, grpc_port: int, collection: str, model: str, year: int, lang: str, limit: int) -> None:
        embedders = import_module("haystack_integrations.components.embedders.sentence_transformers")
        device = import_module("haystack.utils").ComponentDevice.from_str("cpu")
        self._embedder = embedders.SentenceTransformersTextEmbedder(model=model, device=device, progress_bar=False)
        self._embedder.warm_up()
        store = import_module("haystack_integrations.document_stores.qdrant").QdrantDocumentStore(
            url=url,
            grpc_port=grpc_port,
            prefer_grpc=True,
            timeout=60,
            index=collection,
            embedding_dim=768,
            similarity="dot_product",
        )
        retrievers = import_module("haystack_integrations.components.retrievers.qdrant")
        self._retriever = retrievers.QdrantEmbeddingRetriever(store, top_k=limit)
        # `meta.year` in its own collections, where documents keep their fields in an object.
        self._filter = {
            "operator": "AND",
            "conditions": [
                {"field": "year", "operator": ">=", "value": year},
                {"field": "lang", "operator": "==", "value": lang},
            ],
        }

    def search(self, query: str, *, filtered: bool) -> Any:
        embedding = self._embedder.run(text=query)["embedding"]
        return self._retriever.run(query_embedding=embedding, filters=self._filter if filtered else None)["documents"]

    def ids(self, found: Any) -> list[int]:
        return [int(document.id) for document in found]

    def vector(self, query: str) -> Any:
        return self._embedder.run(text=query)["embedding"]

    def close(self) -> None:
        pass


CONTESTANT = Haystack
