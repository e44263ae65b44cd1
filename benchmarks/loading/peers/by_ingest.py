"""This project, starting from passages: `ingest`, with an encoder that returns prepared vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

OURS: Any = import_module("ours")  # a file of this folder


class Ready:
    """An Encoder. Its texts come in the order of the vectors, and have one token each."""

    device, notes = "cpu", ()

    def __init__(self, vectors: Any) -> None:
        self.contract = OURS.contract()
        self._vectors, self._at = vectors, 0
        self._batch = import_module("tasb_qdrant.encoder").TokenBatch

    def tokenize_passages(self, texts: Sequence[str]) -> Any:
        return self._batch(np.zeros(len(texts), np.int32), np.arange(len(texts) + 1), 0)

    def encode_tokens(self, tokens: Any, *, on_progress: Callable[[int], None] | None = None) -> Any:
        start, self._at = self._at, self._at + len(tokens)
        return self._vectors[start : self._at]


class Ingesting:
    def __init__(self, *, variant: str) -> None:
        pass

    def prepare(self, *, folder: str, count: int) -> None:
        self._passages, self._vectors = OURS.read_passages(folder, count)
        self._ingest = import_module("tasb_qdrant").ingest
        import_module("tasb_qdrant.ingest.pipeline")  # and with it what takes seconds to import

    def create(self, *, url: str, grpc_port: int, collection: str) -> None:
        """`ingest` creates the collection itself, with the same settings."""
        self._place = {"url": url, "grpc_port": grpc_port, "collection": collection}

    def load(self, *, batch: int, parallel: int) -> None:
        encoder = Ready(self._vectors)
        self._ingest(self._passages, encoder=encoder, optimize=False, transport="grpc", **self._place)

    def close(self) -> None:
        pass


CONTESTANT = Ingesting
