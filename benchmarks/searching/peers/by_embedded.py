"""This project's `Searcher` over the embedded store: with its encoder, and with given vectors."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import numpy as np


class Given:
    """An Encoder: the real one, unless a vector was given."""

    def __init__(self, encoder: Any) -> None:
        self.contract, self.device, self.notes = encoder.contract, encoder.device, encoder.notes
        self.vector: Any = None
        self._encoder = encoder

    def encode_queries(self, texts: list[str]) -> Any:
        return self._encoder.encode_queries(texts) if self.vector is None else self.vector


class Embedded:
    def __init__(self, *, variant: str) -> None:
        pass

    def open(
        self, *, points: str, count: int, path: str, collection: str, model: str, year: int, lang: str, limit: int
    ) -> None:
        """`points` are in the store at `path` already."""
        ours = import_module("tasb_qdrant")
        self._encoder = Given(ours.load_encoder(model))
        self._searcher = ours.Searcher(collection, path=path, model=model, encoder=self._encoder)
        self._where = (ours.F("year") >= year) & (ours.F("lang") == lang)
        self._limit = limit

    def search(self, query: str, *, filtered: bool) -> Any:
        return self._search(query, filtered, ef=0)

    def given(self, *, vectors: str, start: int, count: int, filtered: bool, ef: int) -> dict[str, Any]:
        """Milliseconds and ids for the vectors in a file; with `ef` 0, `search` chooses."""
        milliseconds, ids = [], []
        for vector in np.load(vectors)[start : start + count]:
            self._encoder.vector = vector[np.newaxis]
            begin = time.perf_counter()
            found = self._search("given", filtered, ef=ef)
            milliseconds.append(1e3 * (time.perf_counter() - begin))
            ids.append(self.ids(found))
        self._encoder.vector = None
        return {"milliseconds": milliseconds, "ids": ids}

    def _search(self, query: str, filtered: bool, *, ef: int) -> Any:
        where = self._where if filtered else None
        return self._searcher.search(query, limit=self._limit, where=where, hnsw_ef=ef or None)

    def ids(self, found: Any) -> list[int]:
        return [int(hit.id) for hit in found]

    def vector(self, query: str) -> Any:
        return self._encoder.encode_queries([query])[0]

    def close(self) -> None:
        self._searcher.close()


CONTESTANT = Embedded
