"""How many shards a new collection gets: as asked, or as the server's cores and the passages make sensible."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import orjson
import pytest

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.server.shards import MOST_EACH, PASSAGES_EACH, Shards, choose_shards, segments_of
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.faults import HttpFault, HttpProxy
from tests.collection.helpers import CONTRACT, fresh_name
from tests.qdrant_servers import QdrantServer

MANY: Final = 1_000 * PASSAGES_EACH


def chosen(cores: int | None, *, passages: int | None = MANY, nodes: int | None = 1, replicas: int = 1) -> Shards:
    settings = CollectionSettings()
    return choose_shards(settings, passages=passages, nodes=lambda: nodes, cores=lambda: cores, replicas=replicas)


def never() -> int:
    raise AssertionError("asked in vain")


@pytest.mark.parametrize(("cores", "number"), [(1, None), (2, None), (4, None), (7, None), (8, 2), (16, 4), (32, 8)])
def test_there_is_a_shard_for_each_four_cores(cores: int, number: int | None) -> None:
    found = chosen(cores)
    assert found.number == number
    assert bool(found.notes) == (number is not None)
    assert all(f"{number} shards" in note and f"{cores} cores" in note and "--shards" in note for note in found.notes)


def test_there_are_no_more_than_were_measured() -> None:
    assert chosen(256).number == MOST_EACH


@pytest.mark.parametrize("cores", [8, 12, 16, 24, 64])
def test_searches_have_no_more_segments_to_look_at_than_with_one_shard(cores: int) -> None:
    found = chosen(cores)
    assert found.number is not None
    assert found.segments is not None
    assert found.number * found.segments <= segments_of(cores)


def test_every_node_of_a_cluster_gets_as_many() -> None:
    found = chosen(16, nodes=3)
    assert found.number == 12
    assert "each of its 3 nodes" in found.notes[0]


@pytest.mark.parametrize(("nodes", "replicas", "number"), [(3, 3, 4), (3, 2, 6), (4, 2, 8), (1, 3, 4), (5, 3, 6)])
def test_a_node_works_on_the_copies_of_others_shards_too(nodes: int, replicas: int, number: int) -> None:
    found = chosen(16, nodes=nodes, replicas=replicas)
    assert found.number == number
    assert number * min(nodes, replicas) <= 4 * nodes
    assert (f"{replicas} nodes keep each passage" in found.notes[0]) == (nodes > 1)


@pytest.mark.parametrize(("passages", "number"), [(2 * PASSAGES_EACH, 2), (3 * PASSAGES_EACH, 3)])
def test_few_passages_that_all_nodes_keep_get_few_shards(passages: int, number: int) -> None:
    assert chosen(16, passages=passages, nodes=3, replicas=3).number == number


@pytest.mark.parametrize(
    ("passages", "nodes", "number"),
    [
        (2 * PASSAGES_EACH, 1, 2),
        (3 * PASSAGES_EACH, 1, 3),
        (100 * PASSAGES_EACH, 1, 4),
        (3 * PASSAGES_EACH, 3, None),
        (6 * PASSAGES_EACH, 3, 6),
    ],
)
def test_few_passages_get_few_shards(passages: int | None, nodes: int, number: int | None) -> None:
    assert chosen(16, passages=passages, nodes=nodes).number == number


@pytest.mark.parametrize(
    ("settings", "passages"),
    [
        pytest.param(CollectionSettings(shards=3), None, id="a number that is given"),
        pytest.param(CollectionSettings(shards=1), 10**9, id="one, of many passages"),
        pytest.param(CollectionSettings(), None, id="nobody knows how many passages"),
        pytest.param(CollectionSettings(), 0, id="a small collection"),
        pytest.param(CollectionSettings(), 2 * PASSAGES_EACH - 1, id="one of not quite two shards"),
    ],
)
def test_where_it_would_not_matter_nobody_is_asked(settings: CollectionSettings, passages: int | None) -> None:
    assert choose_shards(settings, passages=passages, nodes=never, cores=never) == Shards(settings.shards)


@pytest.mark.parametrize(("cores", "nodes"), [(None, 1), (16, None)])
def test_of_a_server_that_says_nothing_the_choice_is_its_own(cores: int | None, nodes: int | None) -> None:
    assert chosen(cores, nodes=nodes) == Shards(None)


@pytest.fixture
def proxy(qdrant_server: QdrantServer) -> Iterator[HttpProxy]:
    with HttpProxy(qdrant_server) as proxy:
        proxy.when = lambda _, path: path.startswith("/telemetry")
        yield proxy


def made(proxy: HttpProxy, **options: Any) -> tuple[int, int, tuple[str, ...]]:
    """The shards of a new collection, the segments that each is to have (0: by the server), and its notes."""
    name = fresh_name()
    place = store_settings(url=proxy.url, transport="rest", retry_seconds=60.0)
    with closing(ServerStore(place)) as store:
        collection = open_for_writing(name, store, contract=CONTRACT, passages=MANY, **options)
        with closing(collection):
            config = store._client.get_collection(name).config
        assert store.open(name).notes == ()  # said once, when it is made
        store.delete(name)
    return config.params.shard_number or 0, config.optimizer_config.default_segment_number or 0, collection.notes


def of_cores(cores: object) -> Any:
    """Has the server say that it has so many."""

    def rewrite(method: str, path: str, sent: bytes, content: bytes) -> bytes:
        if not path.startswith("/telemetry"):
            return content
        told = orjson.loads(content)
        told["result"]["app"]["system"]["cores"] = cores
        return orjson.dumps(told)

    return rewrite


def test_a_server_tells_its_cores(proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    proxy.rewrite = of_cores(16)
    shards, segments, (note,) = made(proxy, settings=CollectionSettings())
    assert (shards, segments) == (4, 2)
    assert note == "The collection is made with 4 shards, as its server has 16 cores; --shards says how many otherwise."
    assert made(proxy, settings=CollectionSettings(shards=2)) == (2, 0, ())


def test_on_this_machine_it_has_no_more_than_we_have(proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    proxy.rewrite = of_cores(16)
    assert made(proxy, settings=CollectionSettings()) == (1, 0, ())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(HttpFault(403, body=b'{"status": {"error": "forbidden"}}'), id="forbidden"),
        pytest.param(HttpFault(404, body=b"nothing here"), id="a proxy that doesn't pass it on"),
        pytest.param(HttpFault(502, body=b"bad gateway"), id="a proxy that fails at it"),
        pytest.param(HttpFault(200, body=b'{"result": {"app": {}}}'), id="another kind of answer"),
        pytest.param(HttpFault(200, body=b"<html>"), id="a page"),
        pytest.param(None, id="no number"),
    ],
)
def test_one_that_does_not_is_loaded_all_the_same(
    proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch, said: HttpFault | None
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    proxy.always, proxy.rewrite = said, of_cores("many")
    assert made(proxy, settings=CollectionSettings()) == (1, 0, ())
    assert len(proxy.seen) == 1  # not again and again
