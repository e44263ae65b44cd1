"""Where a filter lets few points through, each of them is looked at, unless something speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection import read_wire
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.protocol import SearchOptions
from tasb_qdrant.collection.server_store import ServerStore
from tasb_qdrant.filters import F, Filter
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.faults import HttpProxy
from tests.collection.helpers import CONTRACT, fill, fresh_name, random_vectors
from tests.qdrant_servers import QdrantServer

MOST = 10
FEW = F("n").in_([1, 2, 3])
COUNTED = ["points/count", "points/count", "points/query/batch"]
"""What match, and all."""
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
def asked(proxy: HttpProxy, qdrant_1_17: QdrantServer) -> Callable[..., Ask]:
    """A collection of 20 points, with these settings, to ask by its filters."""

    def make(change: Callable[[QdrantClient, str], object] = lambda *_: None, **settings: Any) -> Ask:
        store = ServerStore(store_settings(url=proxy.url, transport="rest"))
        name = fresh_name()
        made = CollectionSettings(indexes={"n": "integer"}, **settings)
        fill(open_for_writing(name, store, contract=CONTRACT, settings=made), 20)
        change(QdrantClient(qdrant_1_17.url, check_compatibility=False), name)
        collection = store.open(name)
        collection.search(random_vectors(1), SearchOptions(where=F("n") == 0))  # learns the indexes
        proxy.when = lambda *_: True

        def ask(where: Filter | None, **options: Any) -> tuple[list[str], dict[str, Any]]:
            proxy.seen.clear()
            proxy.bodies.clear()
            collection.search(random_vectors(1), SearchOptions(where=where, **options))
            (search,) = orjson.loads(proxy.bodies[-1])["searches"]
            return [path.split("?")[0].removeprefix(f"/collections/{name}/") for _, path in proxy.seen], search[
                "params"
            ]

        return ask

    return make


@pytest.fixture
def twenty_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_wire, "MOST_COMPARED", 20 * CONTRACT.dim)


def test_few_points_are_counted_once_and_then_compared_with(asked: Callable[..., Ask]) -> None:
    ask = asked()
    for requests in (COUNTED, ["points/query/batch"]):
        seen, params = ask(FEW)
        assert seen == requests
        assert params["exact"]
        assert "acorn" not in params


def test_many_points_are_searched_by_the_index(asked: Callable[..., Ask]) -> None:
    ask = asked()
    for requests in (COUNTED, ["points/query/batch"]):
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


def strictly(client: QdrantClient, name: str) -> None:
    strict = models.StrictModeConfig(enabled=True, search_allow_exact=False)
    client.update_collection(name, strict_mode_config=strict)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"on_disk": True}, id="vectors on disk"),
        pytest.param({"quantization": "int8"}, id="quantized vectors"),
        pytest.param({"change": strictly}, id="a strict server"),
    ],
)
def test_what_the_collection_is_not_fit_for_is_not_done(asked: Callable[..., Ask], settings: dict[str, Any]) -> None:
    seen, params = asked(**settings)(FEW)
    assert seen == ["points/query/batch"]
    assert not params["exact"]
