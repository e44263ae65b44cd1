"""The stored points: on a Qdrant server and embedded. Made once and kept, because indexing takes minutes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.searching.points import ID_KEY, TEXT_KEY, Points
from tasb_qdrant.collection.open import open_for_writing, open_store_at
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import CollectionSettings, PayloadKeys, StoreSettings, store_settings
from tests.qdrant_servers import QdrantServer

VERSION: Final = "1.17.0"
COLLECTION: Final = "searched"
SETTINGS: Final = CollectionSettings(
    indexes={"year": "integer", "lang": "keyword"}, keys=PayloadKeys(id=ID_KEY, text=TEXT_KEY)
)
"""Everything else is as `ingest` creates it."""

_BATCH: Final = 512
_IN_FLIGHT: Final = 3


def ensure_server_store(build: Path, points: Points, *, fresh: bool = False) -> Path:
    """A server's folder that holds them, indexed."""
    folder = build / f"server-{VERSION}-{points.count}"
    done = folder / "indexed"
    if fresh or not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with QdrantServer.start(VERSION, folder) as server:
            _fill(store_settings(url=server.url, grpc_port=server.grpc_port, transport="grpc"), points, _IN_FLIGHT)
        done.touch()
    return folder


def ensure_embedded_store(build: Path, points: Points, *, fresh: bool = False) -> Path:
    """A folder of the embedded store that holds them, indexed."""
    folder = build / f"embedded-{points.count}"
    done = folder / "indexed"
    if fresh or not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _fill(store_settings(path=folder), points, 1)
        done.touch()
    return folder


@contextmanager
def running(folder: Path) -> Iterator[QdrantServer]:
    """The server over what `ensure_server_store` made."""
    with QdrantServer.start(VERSION, folder) as server:
        yield server


def _fill(place: StoreSettings, points: Points, at_once: int) -> None:
    store = open_store_at(place)
    collection = open_for_writing(COLLECTION, store, contract=points.contract, settings=SETTINGS)
    try:
        collection.defer_indexing()
        with ThreadPoolExecutor(at_once) as pool:
            pending = iter(_batches(points))
            while some := list(islice(pending, 4 * at_once)):
                list(pool.map(collection.upsert, some))
        collection.optimize()
        if (count := collection.count()) != points.count:
            raise ValueError(f"expected {points.count} points in {collection.location}, there are {count}")
    finally:
        collection.close()
        store.close()


def _batches(points: Points) -> Iterator[PointBatch]:
    vectors = points.vectors
    with (points.folder / "payloads.jsonl").open(encoding="utf-8") as file:
        for start in range(0, points.count, _BATCH):
            payloads: list[dict[str, Any]] = [json.loads(line) for line in islice(file, _BATCH)]
            passages = [
                Passage(each.pop(ID_KEY), each.pop(TEXT_KEY), each.pop("title"), payload=each) for each in payloads
            ]
            yield PointBatch(passages, vectors[start : start + len(passages)])
