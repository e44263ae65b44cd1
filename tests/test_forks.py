"""What was opened before a fork opens anew in the child, or says at once that it can't: it never hangs, and never gives
the answer to another process's question."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant import Passage, ingest
from tasb_qdrant.errors import ForkedError
from tasb_qdrant.forks import Origin
from tests.forking import run_program
from tests.ingest.fakes import StubEncoder
from tests.models import minilm_folder
from tests.qdrant_servers import QdrantServer

PASSAGES = [Passage(f"p{n}", f"passage number {n}", payload={"n": n}) for n in range(60)]

OPENED = """
import asyncio, json, os, random
from tasb_qdrant import AsyncSearcher, Passage, Searcher, ingest, open_collection
from tasb_qdrant.collection.open import open_store
from tests.forking import in_children
from tests.ingest.fakes import StubEncoder

right = {}

def nearest(searcher, n):
    hits = searcher.search(f"passage number {n}", limit=3, exact=True, timeout=30)
    return [(hit.id, round(hit.score, 4)) for hit in hits]

def many(searcher):
    draw = random.Random(os.getpid())
    asked = [draw.randrange(60) for _ in range(40)]
    return all(nearest(searcher, n) == right.setdefault(n, nearest(searcher, n)) for n in asked)
"""

SERVER = (
    OPENED
    + """
searcher = Searcher(name, encoder=StubEncoder(), cache_size=10, **where)
right |= {n: nearest(searcher, n) for n in range(60)}
assert len({str(found) for found in right.values()}) > 50
walk = searcher.scroll(page_size=10)
first = next(walk)
collection = open_collection(name, **where)
store = open_store(**where)
shared = Searcher(name, encoder=StubEncoder(), store=store)
closed = Searcher(name, encoder=StubEncoder(), **where)
closed.close()
loop = asyncio.new_event_loop()
awaited = AsyncSearcher(name, encoder=StubEncoder(), **where)
loop.run_until_complete(awaited.__aenter__())
loop.run_until_complete(awaited.count())
waiting = AsyncSearcher(name, encoder=StubEncoder(), **where)

def leave():
    with collection, shared, searcher:
        store.close()
    asyncio.run(awaited.aclose())
    return "left"

async def open_waiting():
    async with waiting:
        return await waiting.count()

outcomes = {
    "searches": in_children(lambda: many(searcher), count=4),
    "walks": in_children(lambda: len(list(walk))),
    "edits": in_children(lambda: searcher.patch(["p1"], {"n": 1}).changed),
    "children's children": in_children(lambda: in_children(lambda: many(searcher))),
    "collection": in_children(collection.info),
    "store": in_children(store.names),
    "shared": in_children(lambda: many(shared)),
    "closed": in_children(lambda: many(closed)),
    "awaited": in_children(lambda: asyncio.run(awaited.count())),
    "not opened yet": in_children(lambda: asyncio.run(open_waiting())),
    "leaves": in_children(leave),
    "parent": [many(searcher), many(shared), len(list(walk)), collection.info().points, len(store.names()) > 0],
    "parent awaits": loop.run_until_complete(awaited.count()),
}
loop.run_until_complete(awaited.aclose())
print(json.dumps(outcomes))
"""
)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_child_of_a_servers_reader(qdrant_1_17: QdrantServer, collection_name: str, transport: str) -> None:
    where: dict[str, Any] = {"url": qdrant_1_17.url, "grpc_port": qdrant_1_17.grpc_port, "transport": transport}
    ingest(PASSAGES, collection=collection_name, encoder=StubEncoder(), **where)
    ended = run_program(SERVER, name=collection_name, where=where)
    assert ended["searches"] == [True] * 4
    assert ended["walks"] == [59]
    assert ended["edits"] == [1]
    assert ended["children's children"] == [[True]]
    for refused in ("collection", "store", "shared", "awaited"):
        assert ended[refused][0].startswith("ForkedError"), refused
        assert "after the fork" in ended[refused][0]
    assert ended["closed"][0].startswith("CollectionError")
    assert ended["not opened yet"] == [60]  # though nothing wakes its event loop for gRPC
    assert ended["leaves"] == ["left"]
    assert ended["parent"] == [True, True, 59, 60, True]
    assert ended["parent awaits"] == 60


EMBEDDED = (
    OPENED
    + """
where = {"path": folder}
ingest([Passage(f"p{n}", f"passage number {n}", payload={"n": n}) for n in range(60)], collection="a",
       encoder=StubEncoder(), **where)
ingest([Passage(f"p{n}", f"passage number {n}") for n in range(60)], collection="b", encoder=StubEncoder(), **where)
store = open_store(**where)
searcher = Searcher("a", encoder=StubEncoder(), store=store)
collection = store.open("a")
right |= {n: nearest(searcher, n) for n in range(60)}

def leave():
    with collection, searcher:
        store.close()
    return "left"

def open_another():
    with Searcher("b", encoder=StubEncoder(), **where) as other:
        return many(other)

outcomes = {
    "searches": in_children(lambda: many(searcher), count=2),
    "reads": in_children(lambda: searcher.get(["p1"])),
    "edits": in_children(lambda: searcher.delete(["p1"])),
    "collection": in_children(collection.info),
    "builds": in_children(collection.optimize),
    "flushes": in_children(collection.flush),
    "store": in_children(lambda: store.open("b")),
    "leaves": in_children(leave),
    "another": in_children(open_another, count=2)[:1],
    "still locked": in_children(lambda: __import__("tasb_qdrant.collection.open").collection.open.open_existing(
        "a", store.settings, lock_wait=0.0)),
    "parent": [many(searcher), collection.info().points],
}
searcher.close()
collection.close()
alone = Searcher("a", encoder=StubEncoder(), **where)
outcomes["alone"] = in_children(lambda: many(alone))
alone.close()
outcomes["closed before the fork"] = in_children(lambda: many(Searcher("a", encoder=StubEncoder(), **where)))
print(json.dumps(outcomes))
"""
)


def test_a_child_of_an_embedded_reader(tmp_path: Path) -> None:
    ended = run_program(EMBEDDED, folder=str(tmp_path))
    for refused in ("searches", "reads", "edits", "collection", "builds", "flushes", "store", "alone"):
        for outcome in ended[refused]:
            assert outcome.startswith("ForkedError"), f"{refused}: {outcome}"
    assert "close it before the fork" in ended["searches"][0]
    assert ended["leaves"] == ["left"]
    assert ended["another"] == [True]
    assert ended["still locked"][0].startswith("StoreLockedError")
    assert ended["parent"] == [True, 60]
    assert ended["closed before the fork"] == [True]


MODEL = (
    OPENED
    + """
from tasb_qdrant import load_encoder
from tasb_qdrant.encoder.lazy import LazyEncoder

def shape(encoder):
    return list(encoder.encode_queries(["how do bees find food"]).shape)

lazy = LazyEncoder(StubEncoder().contract, lambda: load_encoder(model))
outcomes = {"not loaded yet": in_children(lambda: shape(lazy))}
encoder = lazy.loaded()
assert shape(encoder) == [1, 384]
outcomes |= {
    "queries": in_children(lambda: shape(encoder)),
    "lazily": in_children(lambda: shape(lazy)),
    "passages": in_children(lambda: encoder.encode_passages(["a"])),
    "tokens": in_children(lambda: encoder.tokenize_passages(["a"])),
    "loads": in_children(lambda: shape(load_encoder(model))),
    "ingests": in_children(lambda: ingest([Passage("a", "b")], collection="c", encoder=encoder, path=folder)),
    "parent": shape(encoder),
}
print(json.dumps(outcomes))
"""
)


@pytest.mark.model
def test_a_child_of_one_that_encodes(tmp_path: Path) -> None:
    ended = run_program(MODEL, model=str(minilm_folder()), folder=str(tmp_path / "store"))
    assert ended["not loaded yet"] == [[1, 384]]
    for refused in ("queries", "lazily", "passages", "tokens", "loads", "ingests"):
        assert ended[refused][0].startswith("ForkedError"), f"{refused}: {ended[refused]}"
        assert "spawn" in ended[refused][0]
    assert ended["parent"] == [1, 384]


WORKERS = """
import json, sys
from tasb_qdrant.processes.pool import WorkerPool
from tests.encoder.workers.worker_tasks import Obeying
from tests.forking import in_children

pool = WorkerPool([("a worker", Obeying())], fewer="devices", elsewhere="load the encoder in each process")
pool.opened()

def ask():
    return [result for _, result in pool.run([lambda: 4])]

outcomes = {"asks": in_children(ask, count=2), "closes": in_children(pool.close), "parent": ask()}
pool.close()
print(json.dumps(outcomes))
"""


def test_a_child_leaves_its_parents_worker_processes_alone() -> None:
    ended = run_program(WORKERS)
    assert [outcome.partition(":")[0] for outcome in ended["asks"]] == ["ForkedError"] * 2
    assert ended["closes"] == [None]
    assert ended["parent"] == [[4]]  # all that the worker has done


def test_an_origin_knows_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    origin = Origin()
    origin.check("a thing")
    monkeypatch.setattr(os, "getpid", lambda: origin.pid + 1)
    with pytest.raises(ForkedError, match="a thing was opened in process") as caught:
        origin.check("a thing")
    assert caught.value.pid == origin.pid
    assert "spawn" in caught.value.remedy
