"""Not a contestant: prepared requests, sent through the bare stub, to measure what the server itself takes."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import numpy as np


class Replaying:
    def __init__(self, *, variant: str) -> None:
        pass

    def open(self, *, model: str, url: str, vectors: str, **place: Any) -> None:
        """`vectors` are the queries' own: nothing is encoded here, and a query is its row."""
        self._stub = import_module("stub").Stub(**place)  # a file of this folder
        self._vectors = np.load(vectors)
        self._plain = [self._stub.request(vector, filtered=False) for vector in self._vectors]
        self._filtered = [self._stub.request(vector, filtered=True) for vector in self._vectors]

    def search(self, query: str, *, filtered: bool) -> Any:
        return self._stub.send((self._filtered if filtered else self._plain)[int(query)])

    def together(self, *, texts: list[str], at_once: int) -> dict[str, Any]:
        """Seconds for all of them, with `at_once` in flight."""
        requests = [self._plain[int(text)] for text in texts]
        start = time.perf_counter()
        self._stub.send_all(requests, at_once=at_once)
        return {"seconds": time.perf_counter() - start}

    def ids(self, found: Any) -> list[int]:
        return [point.id.num for point in found.result]

    def vector(self, query: str) -> Any:
        return self._vectors[int(query)]

    def close(self) -> None:
        self._stub.close()


CONTESTANT = Replaying
