"""What a search costs by itself: CPU of this process and of the server, for one query, in each way to search.

    python -m benchmarks.search_cost                  # 20,000 points, a few minutes
    python -m benchmarks.search_cost --points 5000 --queries 500

The encoder is a table of vectors, so that all CPU of this process is the client's: making requests, gRPC, reading the
answers, making hits. CPU depends less on what else the machine does than time; the lowest of the rounds is shown.
Whichever is less is the limit: the queries that one core answers in this process, which has one interpreter lock, or
those that all cores answer in the server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.loading.points import made_up_payloads
from benchmarks.searching.points import LANG, YEAR, scattered
from tasb_qdrant import AsyncSearcher, CollectionSettings, F, Searcher
from tasb_qdrant.collection.open import open_for_writing, open_store_at
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import store_settings
from tests.ingest.fakes import stub_contract
from tests.qdrant_servers import QdrantServer

VERSION: Final = "1.17.0"
COLLECTION: Final = "searched"
DIM: Final = 768
AROUND: Final = 100
MORE_SINCE: Final = 1989
"""29% of the points are of that year or later."""

_BATCH: Final = 512
_CONTRACT: Final = stub_contract(DIM)


class Table:
    """An encoder whose queries are numbers of rows: what encoding costs is measured elsewhere."""

    contract: Final = _CONTRACT
    device: Final = "cpu"
    notes: tuple[str, ...] = ()

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._vectors[[int(text) for text in texts]]

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        raise NotImplementedError

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        raise NotImplementedError

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one query: seconds by the clock, and of CPU in this process and in the server."""

    wall: float
    client: float
    server: float

    def least(self, other: Cost) -> Cost:
        """The lowest of each."""
        return Cost(min(self.wall, other.wall), min(self.client, other.client), min(self.server, other.server))


@dataclass(frozen=True, slots=True)
class Way:
    """One way to ask `queries` queries."""

    name: str
    queries: int
    ask: Callable[[list[str]], object]


def main() -> int:
    options = _parse()
    rng = np.random.default_rng(5)
    around = rng.standard_normal((max(2, options.points // AROUND), DIM), dtype=np.float32)
    vectors = scattered(around, options.points, rng)
    table = Table(scattered(around, options.queries, rng))
    with tempfile.TemporaryDirectory() as folder, QdrantServer.start(VERSION, Path(folder)) as server:
        place: dict[str, Any] = {"url": server.url, "grpc_port": server.grpc_port, "transport": "grpc"}
        _fill(place, vectors)
        if server.process is None:
            raise ValueError("the server runs in a process of ours")
        with Searcher(COLLECTION, encoder=table, **place) as searcher, _crowds(table, place) as crowd:
            ways = _ways(searcher, crowd, options.queries)
            rows = measured(ways, server.process.pid, rounds=options.rounds)
    print(report(rows))
    return 0


def measured(ways: Sequence[Way], server: int, *, rounds: int) -> dict[str, Cost]:
    """Each way's cost, in turns: the lowest of the rounds."""
    best: dict[str, Cost] = {}
    for number in range(rounds + 1):
        for way in ways:
            texts = [str(row) for row in range(way.queries)]
            with _taking(server) as took:
                way.ask(texts)
            wall, client, served = (seconds / way.queries for seconds in took)
            if number:  # the first one warms up
                cost = Cost(wall, client, served)
                best[way.name] = best[way.name].least(cost) if way.name in best else cost
    return best


def report(rows: dict[str, Cost]) -> str:
    """A table for docs/performance.md."""
    lines = [
        "|  | queries/s here | client CPU, µs | queries/s of its one core | server CPU, µs | queries/s of 16 cores |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, cost in rows.items():
        lines.append(
            f"| {name} | {1 / cost.wall:,.0f} | {1e6 * cost.client:,.0f} | {1 / cost.client:,.0f} "
            f"| {1e6 * cost.server:,.0f} | {16 / cost.server:,.0f} |"
        )
    return "\n".join(lines)


Crowd: TypeAlias = Callable[[int], Callable[[list[str]], object]]
"""Has so many queries under way at once."""


def _ways(searcher: Searcher[Any], crowd: Crowd, queries: int) -> list[Way]:
    few, more = (F("year") >= YEAR) & (F("lang") == LANG), F("year") >= MORE_SINCE
    some = min(queries, 500)
    return [
        Way("`search`", some, lambda texts: [searcher.search(text) for text in texts]),
        Way("`search`, 7% pass", some, lambda texts: [searcher.search(text, where=few) for text in texts]),
        Way("`search`, 29% pass", some, lambda texts: [searcher.search(text, where=more) for text in texts]),
        Way("`search_batch`", queries, searcher.search_batch),
        Way("`AsyncSearcher.search`, one at a time", some, crowd(1)),
        Way("`AsyncSearcher.search`, 64 at once", queries, crowd(64)),
        Way("`AsyncSearcher.search`, 256 at once", queries, crowd(256)),
    ]


@contextmanager
def _crowds(table: Table, place: dict[str, Any]) -> Iterator[Crowd]:
    """Over one AsyncSearcher, which is opened beforehand."""
    with asyncio.Runner() as runner:
        searcher = runner.run(AsyncSearcher(COLLECTION, encoder=table, **place).__aenter__())

        async def ask(texts: list[str], at_once: int) -> None:
            waiting = iter(texts)

            async def work() -> None:
                for text in waiting:
                    await searcher.search(text)

            await asyncio.gather(*(work() for _ in range(at_once)))

        try:
            yield lambda at_once: lambda texts: runner.run(ask(texts, at_once))
        finally:
            runner.run(searcher.aclose())


@contextmanager
def _taking(server: int) -> Iterator[list[float]]:
    """Seconds that the block takes: by the clock, of CPU here, of CPU in the server."""
    took: list[float] = []
    began = time.perf_counter(), time.process_time(), cpu_of(server)
    yield took
    ended = time.perf_counter(), time.process_time(), cpu_of(server)
    took += [end - begin for begin, end in zip(began, ended, strict=True)]


def cpu_of(process: int) -> float:
    """Seconds, threads that have ended included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fill(place: dict[str, Any], vectors: NDArray[np.float32]) -> None:
    store = open_store_at(store_settings(**place))
    settings = CollectionSettings(indexes={"year": "integer", "lang": "keyword"})
    collection = open_for_writing(COLLECTION, store, contract=_CONTRACT, settings=settings)
    try:
        collection.defer_indexing()
        payloads = list(made_up_payloads(len(vectors)))
        for start in range(0, len(vectors), _BATCH):
            passages = [
                Passage(str(start + number), made["text"], made["title"], payload=_fields(made))
                for number, made in enumerate(payloads[start : start + _BATCH])
            ]
            collection.upsert(PointBatch(passages, vectors[start : start + _BATCH]))
        collection.optimize()
    finally:
        collection.close()
        store.close()


def _fields(made: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name not in ("text", "title")}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20_000, help="points in the collection")
    parser.add_argument("--queries", type=int, default=1_000, help="queries of a batch and of a crowd")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
