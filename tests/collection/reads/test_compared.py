"""Where a filter lets few points through, each of them is looked at, unless something speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.edge.wire import EdgeWire
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.reads import wire as read_wire
from tasb_qdrant.collection.reads.questions import Fused, Lexical, Nearest, QueryOptions, ReadOptions
from tasb_qdrant.collection.reads.wire import QueryRequest
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.filters import F, Filter
from tasb_qdrant.settings import Bm25Settings, CollectionSettings, store_settings
from tests.collection.faults import HttpProxy
from tests.collection.helpers import (
    CONTRACT,
    fill,
    fresh_name,
    random_vectors,
    search,
)
from tests.qdrant_servers import QdrantServer

MOST = 10
FEW = F("n").in_([1, 2, 3])
MANY = F("n") >= 0

Ask = Callable[..., tuple[list[str], dict[str, Any]]]
"""What was asked of the server, and how it was to search."""


@pytest.fixture(autouse=True)
def ten_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_wire, "MOST_COMPARED", MOST * CONTRACT.dim)


@pytest.fixture
def proxy(qdrant_1_17: QdrantServer) -> Iterator[HttpProxy]:
    with HttpProxy(qdrant_1_17) as proxy:
        yield proxy


@pytest.fixture
def asked(proxy: HttpProxy, qdrant_1_17: QdrantServer) -> Iterator[Callable[..., Ask]]:
    """A collection of 20 points, with these settings, to ask by its filters."""

    def make(change: Callable[[QdrantClient, str], object] = lambda *_: None, **settings: Any) -> Ask:
        store = opened.enter_context(closing(ServerStore(store_settings(url=proxy.url, transport="rest"))))
        name = fresh_name()
        made = CollectionSettings(indexes={"n": "integer"}, **settings)
        fill(open_for_writing(name, store, contract=CONTRACT, settings=made), 20)
        with closing(QdrantClient(qdrant_1_17.url, check_compatibility=False)) as client:
            change(client, name)
        collection = store.open(name)
        search(
            collection, random_vectors(1), QueryOptions(where=F("n") == 0)
        )  # learns the indexes, and how many there are
        proxy.when = lambda *_: True

        def ask(where: Filter | None, **options: Any) -> tuple[list[str], dict[str, Any]]:
            proxy.seen.clear()
            proxy.bodies.clear()
            search(collection, random_vectors(1), QueryOptions(where=where, **options))
            (sent,) = orjson.loads(proxy.bodies[-1])["searches"]
            return [path.split("?")[0].removeprefix(f"/collections/{name}/") for _, path in proxy.seen], sent["params"]

        return ask

    with ExitStack() as opened:
        yield make


@pytest.fixture
def twenty_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_wire, "MOST_COMPARED", 20 * CONTRACT.dim)


def test_few_points_are_counted_once_and_then_compared_with(asked: Callable[..., Ask]) -> None:
    ask = asked()
    for requests in (["points/count", "points/query/batch"], ["points/query/batch"]):
        seen, params = ask(FEW)
        assert seen == requests
        assert params["exact"]
        assert "acorn" not in params


def test_many_points_are_searched_by_the_index(asked: Callable[..., Ask]) -> None:
    ask = asked()
    for requests in (["points/count", "points/query/batch"], ["points/query/batch"]):
        seen, params = ask(MANY)
        assert seen == requests
        assert params["acorn"]["enable"]
        assert not params["exact"]


@pytest.mark.usefixtures("twenty_at_most")
def test_a_large_share_of_the_points_is_searched_by_the_index(asked: Callable[..., Ask]) -> None:
    assert not asked()(MANY)[1]["exact"]


@pytest.mark.parametrize(
    ("where", "options"),
    [
        pytest.param(None, {}, id="no filter"),
        pytest.param(FEW, {"hnsw_ef": 64}, id="thoroughness that the caller chose"),
        pytest.param(FEW & (F("text") == "passage 1"), {}, id="a field without an index"),
    ],
)
def test_where_it_would_not_help_nothing_is_counted(
    asked: Callable[..., Ask], where: Filter | None, options: dict[str, Any]
) -> None:
    seen, params = asked()(where, **options)
    assert seen[-1] == "points/query/batch"
    assert "points/count" not in seen
    assert not params["exact"]


def mapped(client: QdrantClient, name: str) -> None:
    client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(memmap_threshold=100_000))


def strictly(**rules: Any) -> Callable[[QdrantClient, str], object]:
    strict = models.StrictModeConfig(enabled=True, **rules)
    return lambda client, name: client.update_collection(name, strict_mode_config=strict)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"on_disk": True}, id="vectors on disk"),
        pytest.param({"quantization": "int8"}, id="quantized vectors"),
        pytest.param({"change": mapped}, id="large segments on disk"),
        pytest.param({"change": strictly(search_allow_exact=False)}, id="a server without exact searches"),
        pytest.param({"change": strictly(read_rate_limit=600)}, id="a server that allows few reads"),
    ],
)
def test_what_the_collection_is_not_fit_for_is_not_done(asked: Callable[..., Ask], settings: dict[str, Any]) -> None:
    seen, params = asked(**settings)(FEW)
    assert seen == ["points/query/batch"]
    assert not params["exact"]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[EdgeCollection, list[bool]]]:
    """An embedded collection of 20 points (none with BM25), and of each of its searches whether it compares with every match."""

    def make(**settings: Any) -> tuple[EdgeCollection, list[bool]]:
        store = EdgeStore(tmp_path)
        made = CollectionSettings(indexes={"n": "integer"}, **settings)
        with closing(open_for_writing("c", store, contract=CONTRACT, settings=made)) as collection:
            if collection.bm25 is None:
                fill(collection, 20)
        exact: list[bool] = []
        real = EdgeWire.query

        def query(wire: EdgeWire, queries: Sequence[QueryRequest], read: ReadOptions) -> Any:
            exact.extend(request.params.exact for request in queries)
            return real(wire, queries, read)

        monkeypatch.setattr(EdgeWire, "query", query)
        return store.open("c"), exact

    return make


WORDS = Lexical(np.array([3], dtype=np.uint32), np.ones(1, dtype=np.float32))
VECTOR = Nearest(random_vectors(1)[0])


@pytest.mark.parametrize(("settings", "expected"), [({}, True), ({"on_disk": True}, False)])
def test_the_embedded_store_does_so_in_memory(engine: Callable[..., Any], settings: Any, expected: bool) -> None:
    collection, exact = engine(**settings)
    with closing(collection):
        for where in (FEW, MANY):
            collection.reads.query([VECTOR], QueryOptions(where=where))
    assert exact == [expected, False]


def test_filters_that_share_a_hash_share_nothing_else(
    engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Filter, "__hash__", lambda _: 7)
    assert hash(FEW) == hash(MANY)
    collection, exact = engine()
    with closing(collection):
        found = [collection.reads.query([VECTOR], QueryOptions(limit=20, where=where)) for where in (FEW, MANY, FEW)]
    assert exact == [True, False, True]
    assert [len(points) for (points,) in found] == [3, 20, 3]


def test_groups_and_hybrid_searches_do_so_and_words_alone_do_not(engine: Callable[..., Any]) -> None:
    collection, exact = engine(bm25=Bm25Settings(avg_len=3.0))
    options = QueryOptions(where=FEW)
    with closing(collection):
        collection.reads.query_groups(VECTOR, options, by="n", size=1)
        assert exact
        assert all(exact)
        exact.clear()
        collection.reads.query([Fused((VECTOR, WORDS))], options)
        assert exact == [True, True]
        exact.clear()
        collection.reads.query([WORDS], options)
        assert exact == [False]
