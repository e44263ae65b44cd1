"""What is asked of a hostile server, and what a right one would say: every call of both searchers, edits, loads,
comparisons, and of whole collections."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from tests.faults.stub import DIM, NAME, Answer, described, right_answer
from tests.ingest.fakes import StubEncoder

_MOST: Final = 50
"""Items that are taken of what a walk gives."""

ASKED: Final[dict[str, Callable[[Any, float], Any]]] = {
    "search": lambda s, t: s.search("bee", timeout=t),
    "search with a filter": lambda s, t: s.search("bee", where="year > 3", with_vectors=True, timeout=t),
    "some fields": lambda s, t: s.search("bee", with_payload=["year"], offset=3, score_threshold=0.1, timeout=t),
    "bm25": lambda s, t: s.search("bee", mode="bm25", timeout=t),
    "hybrid": lambda s, t: s.search("bee", mode="hybrid", timeout=t),
    "dbsf": lambda s, t: s.search("bee", mode="hybrid", fusion="dbsf", timeout=t),
    "diverse": lambda s, t: s.search("bee", diversity=0.5, timeout=t),
    "boost": lambda s, t: s.search("bee", boost="score * year", timeout=t),
    "best_per": lambda s, t: s.search("bee", best_per="year", timeout=t),
    "search_batch": lambda s, t: s.search_batch(["bee", "owl"], timeout=t),
    "search_pages": lambda s, t: s.search_pages("bee", timeout=t),
    "search_groups": lambda s, t: s.search_groups("bee", by="year", timeout=t),
    "hybrid groups": lambda s, t: s.search_groups("bee", by="year", mode="hybrid", timeout=t),
    "count": lambda s, t: s.count(timeout=t),
    "count with a filter": lambda s, t: s.count("year > 3", timeout=t),
    "get": lambda s, t: s.get(["1"], with_vectors=True, timeout=t),
    "rerank": lambda s, t: s.rerank("bee", ["1"], timeout=t),
    "scroll": lambda s, t: s.scroll(timeout=t),
    "scroll by a field": lambda s, t: s.scroll(order_by="year", timeout=t),
    "scroll by a date": lambda s, t: s.scroll(order_by="when", timeout=t),
    "facet": lambda s, t: s.facet("year", timeout=t),
    "more_like_this": lambda s, t: s.more_like_this("1", timeout=t),
    "recommend": lambda s, t: s.recommend(["1"], ["1"], strategy="best_score", timeout=t),
    "info": lambda s, _: s.info(),
    "delete": lambda s, _: s.delete(["1"]),
    "delete_where": lambda s, _: s.delete_where("year > 3"),
    "patch": lambda s, _: s.patch(["1"], {"year": 4}),
    "patch_where": lambda s, _: s.patch_where("year > 3", {"year": 4}),
    "replace": lambda s, _: s.replace(_passages()[:1]),
}
"""Calls of either searcher, in so many seconds where a call takes them."""


def elsewhere(state: str) -> dict[str, Callable[[dict[str, Any]], object]]:
    """Calls that open a server by themselves, by the options that say where it is. Loads keep their checkpoints in the
    folder `state`."""
    from tasb_qdrant import ingest, open_collection, open_store, verify
    from tasb_qdrant.collection.open import open_existing
    from tasb_qdrant.manage.listing import collection_names, list_collections
    from tasb_qdrant.settings import store_settings

    stub: dict[str, Any] = {"encoder": StubEncoder(), "collection": NAME}

    def load(where: dict[str, Any], **more: Any) -> object:
        return ingest(_passages(), state=state, restart=True, **stub, **where, **more)

    def optimize(where: dict[str, Any]) -> None:
        with open_existing(NAME, store_settings(**where), patient=True) as opened:
            opened.ensure_indexes({"lang": "keyword"})
            opened.remove_index("lang")
            opened.optimize()

    def delete(where: dict[str, Any]) -> None:
        store = open_store(**where)
        try:
            store.aliases()
            store.delete(NAME)
        finally:
            store.close()

    def change(where: dict[str, Any]) -> None:
        with open_collection(NAME, **where) as opened:
            opened.delete(["1"])
            opened.patch_where("year > 3", {"year": 4})

    return {
        "ingest": load,
        "ingest unindexed": lambda where: load(where, optimize=False, overwrite=True),
        "ingest in sync": lambda where: load(where, sync=True, delete_anyway=True),
        "verify": lambda where: verify(_passages(), sample=2, **stub, **where),
        "repair": lambda where: verify(_passages(), sample=2, repair=True, **stub, **where),
        "list": lambda where: list_collections(store_settings(**where)),
        "names": lambda where: collection_names(store_settings(**where)),
        "optimize": optimize,
        "delete the collection": delete,
        "change": change,
    }


def _passages() -> list[Any]:
    from tasb_qdrant import Passage

    return [Passage("1", "t"), Passage("2", "bee owl", payload={"year": 4})]


def taken(answer: Any) -> Any:
    """The answer; of a walk its first items."""
    return list(islice(answer, _MOST)) if isinstance(answer, Iterator) else answer


async def awaited(answer: Any) -> Any:
    """The same of an AsyncSearcher's."""
    if not inspect.isasyncgen(answer):
        return await answer
    items: list[Any] = []
    try:
        async for item in answer:
            items.append(item)
            if len(items) == _MOST:
                break
    finally:
        await answer.aclose()
    return items


def ask_async(call: Callable[[Any], Any], searcher: Any, spoil: Callable[[], None]) -> Any:
    """What the call of an AsyncSearcher gives, whose server is spoiled once the searcher is open."""

    async def ask() -> Any:
        async with searcher:
            spoil()
            return await awaited(call(searcher))

    return asyncio.run(ask())


def right(handler: Any, path: str, body: bytes) -> Answer:
    """As a server with one point would, in a cluster, with BM25 and strict mode. It takes every change."""
    asked = json.loads(body) if body else {}
    if path == "/cluster":
        return _ok(_cluster(f"http://{handler.headers['host']}/"))
    if path == f"/collections/{NAME}/cluster":
        return _ok(_placement())
    if path == f"/collections/{NAME}":
        return _ok(_described() if handler.command == "GET" else True)
    if path.endswith("/points/batch"):
        return _ok([_UPDATED] * len(asked.get("operations", ())))
    if "/index" in path or path.endswith("/points/delete"):
        return _ok(_UPDATED)
    answer = right_answer(path, body)
    if "/points" in path and answer is not None:
        for point in _points(answer[1]):
            point["payload"] |= {"year": 4, "when": "2020-01-01T00:00:00Z"}
            point["vector"] = {"": [0.5] * DIM, "bm25": {"indices": [7], "values": [1.5]}}
            if asked.get("order_by"):
                point["order_value"] = 4
    return answer


_UPDATED: Final = {"operation_id": 1, "status": "completed"}


def _points(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and "payload" in value:
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _points(each)


def _described() -> dict[str, Any]:
    made: dict[str, Any] = described()
    made["config"]["metadata"]["tasb_qdrant"]["bm25"] = {"avg_len": 12.5}
    made["config"]["metadata"]["tasb_qdrant_edited"] = "x"
    mark = {"checkpoint": 1, "phase": "stopped", "beat": 3, "host": "h", "boot": "b", "pid": 7}
    made["config"]["metadata"]["tasb_qdrant_load_x"] = mark
    made["config"]["params"]["sparse_vectors"] = {"bm25": {"modifier": "idf"}}
    strict = {"max_query_limit": 5000, "read_rate_limit": 60_000, "filter_max_conditions": 100, "max_timeout": 50}
    made["config"]["strict_mode_config"] = {"enabled": True, **strict}
    made["update_queue"] = {"length": 0}
    made["payload_schema"] |= {
        "when": {"data_type": "datetime", "points": 1},
        "text": {"data_type": "text", "points": 1, "params": {"type": "text", "phrase_matching": True}},
    }
    return made


def _cluster(uri: str) -> dict[str, Any]:
    return {
        "status": "enabled",
        "peer_id": 1,
        "peers": {"1": {"uri": uri}, "2": {"uri": "http://127.0.0.1:1/"}},
        "raft_info": {"term": 1, "commit": 1, "pending_operations": 0, "leader": 1, "role": "Leader", "is_voter": True},
        "consensus_thread_status": {"consensus_thread_status": "working", "last_update": "2025-01-01T00:00:00Z"},
        "message_send_failures": {},
    }


def _placement() -> dict[str, Any]:
    here = {"shard_id": 0, "points_count": 1, "state": "Active"}
    there = {"shard_id": 1, "peer_id": 2, "state": "Dead"}
    return {
        "peer_id": 1,
        "shard_count": 2,
        "local_shards": [here],
        "remote_shards": [there],
        "shard_transfers": [],
    }


def _ok(result: Any) -> Answer:
    return 200, {"result": result, "status": "ok", "time": 0.0}
