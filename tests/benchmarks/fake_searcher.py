"""A contestant without a model and a server: what `benchmarks.searching.peers.answering` runs."""

from __future__ import annotations

from typing import Any


class Fake:
    def __init__(self, *, variant: str) -> None:
        self._variant = variant

    def open(self, **place: Any) -> None:
        print("a library says hello")
        self._limit = place["limit"]

    def search(self, query: str, *, filtered: bool) -> list[int]:
        if query == "broken":
            raise OSError("first line\nno server here")
        return [len(query) + (100 if filtered else 0)] * self._limit

    def batch(self, queries: list[str]) -> list[list[int]]:
        return [self.search(query, filtered=False) for query in queries]

    def together(self, *, texts: list[str], at_once: int) -> dict[str, Any]:
        return {"seconds": len(texts) / at_once}

    def ids(self, found: list[int]) -> list[int]:
        return found

    def vector(self, query: str) -> list[float]:
        return [float(len(query)), 1.0]

    def close(self) -> None:
        pass


CONTESTANT = Fake
