"""Every endpoint that this package asks for, over both transports: none of those that servers have given up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, get_args

from tasb_qdrant import F, Passage, Searcher, ingest, open_collection, verify
from tasb_qdrant.collection.open import open_store
from tasb_qdrant.search.options import Mode
from tasb_qdrant.settings import CollectionSettings
from tests.collection.faults import GrpcProxy, HttpProxy
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

REST: Final = {
    "GET /",
    "GET /cluster",
    "GET /aliases",
    "GET /collections",
    "GET /collections/NAME",
    "GET /collections/NAME/exists",
    "PUT /collections/NAME",
    "PATCH /collections/NAME",
    "DELETE /collections/NAME",
    "PUT /collections/NAME/index",
    "DELETE /collections/NAME/index/FIELD",
    "PUT /collections/NAME/points",
    "POST /collections/NAME/points",
    "POST /collections/NAME/points/batch",
    "POST /collections/NAME/points/count",
    "POST /collections/NAME/points/delete",
    "POST /collections/NAME/points/query/batch",
    "POST /collections/NAME/points/scroll",
    "POST /collections/NAME/facet",
}
GRPC: Final = {
    "/qdrant.Qdrant/HealthCheck",
    "/qdrant.Collections/CollectionExists",
    "/qdrant.Collections/Create",
    "/qdrant.Collections/Delete",
    "/qdrant.Collections/Get",
    "/qdrant.Collections/List",
    "/qdrant.Collections/ListAliases",
    "/qdrant.Collections/Update",
    "/qdrant.Points/Count",
    "/qdrant.Points/CreateFieldIndex",
    "/qdrant.Points/Delete",
    "/qdrant.Points/DeleteFieldIndex",
    "/qdrant.Points/Facet",
    "/qdrant.Points/Get",
    "/qdrant.Points/QueryBatch",
    "/qdrant.Points/Scroll",
    "/qdrant.Points/UpdateBatch",
    "/qdrant.Points/Upsert",
}
GONE: Final = re.compile(r"/(search|recommend|discover)", re.IGNORECASE)
"""Servers from 1.19 on have none of them (`/points/query` does what they did)."""


def _use_everything(folder: Path, **place: Any) -> None:
    """Load, search in every way, edit, compare, and delete."""
    name, encoder = fresh_name(), StubEncoder()
    passages = [Passage(str(n), f"bees dance {n}", payload={"n": n, "kind": "ab"[n % 2]}) for n in range(20)]
    options: Any = {"collection": name, "encoder": encoder, **place}
    indexes: Any = {"n": "integer", "kind": "keyword"}
    ingest(passages, settings=CollectionSettings(indexes=indexes), bm25=True, verify=True, **options)
    ingest([*passages[1:], Passage("new", "another")], sync=True, state=folder, **options)
    verify(
        [*passages[2:], Passage("1", "bees dance 1", payload={"n": 7, "kind": "b"})], repair=True, sample=2, **options
    )
    with Searcher(name, encoder=encoder, **place) as searcher:
        for mode in get_args(Mode):
            searcher.search("bees", mode=mode, where=F("n") > 3)
        searcher.search("bees", diversity=0.5)
        searcher.search("bees", best_per="kind")
        searcher.search_groups("bees", by="kind")
        searcher.search_batch(["bees", "dance"])
        searcher.more_like_this("3")
        searcher.recommend(["3"])
        searcher.facet("kind")
        searcher.count()
        assert len(list(searcher.scroll(order_by="n"))) == 19
        searcher.get(["3"])
    with open_collection(name, **place) as collection:
        collection.patch(["3"], {"n": 5})
        collection.delete_where("n = 4")
        collection.add_indexes({"text": "text"})
        collection.drop_indexes(["text"])
        collection.optimize()
        collection.info()
    store = open_store(**place)
    store.delete(name)
    store.close()


def test_over_rest(qdrant_1_17: QdrantServer, tmp_path: Path) -> None:
    asked: set[str] = set()

    def note(method: str, path: str) -> bool:
        plain = re.sub(r"^(/collections/)[^/?]+", r"\1NAME", path.partition("?")[0])
        plain = re.sub("(/index/).+", r"\1FIELD", plain)
        asked.add(f"{method} {plain}")
        return False

    with HttpProxy(qdrant_1_17) as proxy:
        proxy.when = note
        _use_everything(tmp_path, url=proxy.url, transport="rest")
    assert asked == REST
    assert not [one for one in asked if GONE.search(one)]


def test_over_grpc(qdrant_1_17: QdrantServer, tmp_path: Path) -> None:
    with GrpcProxy(qdrant_1_17) as proxy:
        _use_everything(tmp_path, url=qdrant_1_17.url, grpc_port=proxy.port, transport="grpc")
        assert proxy.called == GRPC
    assert not [one for one in proxy.called if GONE.search(one)]


def test_no_module_calls_a_method_of_the_client_that_is_gone() -> None:
    gone = re.compile(r"client\.(search|search_batch|search_groups|recommend\w*|discover\w*|upload_\w+)\(")
    modules = list(Path("tasb_qdrant").rglob("*.py"))
    assert len(modules) > 100
    assert not [path for path in modules if gone.search(path.read_text(encoding="utf-8"))]
