"""This project's `Searcher` and `AsyncSearcher`, and the parts that a search is made of."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

PARTS = ("search", "encode", "query")
WARMING = 16
HNSW_EF = 128


class TasbQdrant:
    def __init__(self, *, variant: str) -> None:
        pass

    def open(self, *, url: str, grpc_port: int, collection: str, model: str, year: int, lang: str, limit: int) -> None:
        ours = import_module("tasb_qdrant")
        self._place = {"url": url, "grpc_port": grpc_port, "transport": "grpc", "model": model}
        self._collection, self._limit = collection, limit
        self._searcher = ours.Searcher(collection, **self._place)
        self._searcher.warm_up()
        self._where = (ours.F("year") >= year) & (ours.F("lang") == lang)
        self._stub = import_module("stub").Stub(  # a file of this folder
            grpc_port=grpc_port, collection=collection, year=year, lang=lang, limit=limit
        )

    def search(self, query: str, *, filtered: bool) -> Any:
        return self._searcher.search(query, limit=self._limit, where=self._where if filtered else None)

    def batch(self, queries: list[str]) -> Any:
        return self._searcher.search_batch(queries, limit=self._limit)

    def parts(self, *, texts: list[str], filtered: bool) -> dict[str, Any]:
        """Milliseconds of each query: the whole search, its encoding alone, and a bare stub's request for the same,
        as thorough as the search's own.

        Their order varies, so that none of them always profits from caches that another has warmed.
        """
        messages = import_module("qdrant_client.grpc")
        # What `Searcher` asks a server to do: compare every point if few pass the filter.
        params = messages.SearchParams(exact=True) if filtered else messages.SearchParams(hnsw_ef=HNSW_EF)
        orders = itertools.cycle(itertools.permutations(PARTS))
        taken: dict[str, list[float]] = {part: [] for part in PARTS}
        for text in texts:
            request = self._stub.request(self.vector(text), filtered=filtered, params=params)
            runs: dict[str, Callable[[], Any]] = {
                "search": lambda text=text: self.search(text, filtered=filtered),  # type: ignore[misc]
                "encode": lambda text=text: self._searcher.encoder.encode_queries([text]),  # type: ignore[misc]
                "query": lambda request=request: self._stub.send(request),  # type: ignore[misc]
            }
            for part in next(orders):
                start = time.perf_counter()
                runs[part]()
                taken[part].append(1e3 * (time.perf_counter() - start))
        return taken

    def together(self, *, texts: list[str], at_once: int) -> dict[str, Any]:
        """Seconds for all of them through one AsyncSearcher, `at_once` at a time."""
        return {"seconds": asyncio.run(self._together(texts, at_once))}

    async def _together(self, texts: list[str], at_once: int) -> float:
        kind = import_module("tasb_qdrant").AsyncSearcher
        async with kind(self._collection, encoder=self._searcher.encoder, **self._place) as searcher:
            waiting = iter(texts[:WARMING])

            async def work() -> None:
                for text in waiting:
                    await searcher.search(text, limit=self._limit)

            await asyncio.gather(*(work() for _ in range(at_once)))
            waiting = iter(texts)
            start = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(at_once)))
            return time.perf_counter() - start

    def encode(self, *, texts: list[str], at_once: int) -> dict[str, Any]:
        """Seconds to encode all of them, `at_once` per batch."""
        start = time.perf_counter()
        for row in range(0, len(texts), at_once):
            self._searcher.encoder.encode_queries(texts[row : row + at_once])
        return {"seconds": time.perf_counter() - start}

    def ids(self, found: Any) -> list[int]:
        return [int(hit.id) for hit in found]

    def vector(self, query: str) -> Any:
        return self._searcher.encoder.encode_queries([query])[0]

    def close(self) -> None:
        self._stub.close()
        self._searcher.close()


CONTESTANT = TasbQdrant
