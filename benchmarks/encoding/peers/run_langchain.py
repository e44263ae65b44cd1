"""LangChain's HuggingFaceEmbeddings, with the keywords of its own example."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LangChain:
    def __init__(self, *, model: str, device: str, exports: str, variant: str) -> None:
        self._model, self._device = model, device

    def load(self, *, threads: int) -> None:
        if threads:
            import_module("torch").set_num_threads(threads)
        self._loaded = import_module("langchain_huggingface").HuggingFaceEmbeddings(
            model_name=self._model,
            model_kwargs={"device": self._device},
            encode_kwargs={"normalize_embeddings": False},
        )

    def passages(self, texts: list[str], *, batch: int) -> Any:
        self._loaded.encode_kwargs = {"normalize_embeddings": False, "batch_size": batch or 32}
        return self._loaded.embed_documents(texts)

    def query(self, text: str) -> Any:
        return self._loaded.embed_query(text)


CONTESTANT = LangChain
