"""Points that lack a vector: another program deleted it, or stored the payload alone. Every read says so, or leaves them
out, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant import Passage, Searcher, ingest
from tasb_qdrant.errors import RequestRefusedError, TasbQdrantError
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer
from tests.waiting import sooner_than

if TYPE_CHECKING:
    from tasb_qdrant.collection.edge.collection import EdgeCollection

TEXT: Final = "passage 1"
AT_ONCE: Final = 15.0
"""Seconds: a read that is tried again goes on for two minutes."""


SERVERS: Final = ("1.16 gRPC", "1.16 REST", "1.17 gRPC", "1.17 REST")


@pytest.fixture(
    scope="module", params=["embedded", *(pytest.param(each, marks=pytest.mark.server) for each in SERVERS)]
)
def searcher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    """Of ten passages with words the first has no dense vector, the second none at all, and a point no text either."""
    version, _, transport = request.param.partition(" ")
    name = fresh_name()
    passages = [Passage(f"p{n}", f"passage {n}", payload={"n": n}) for n in range(10)]
    if version == "embedded":
        place: dict[str, Any] = {"path": tmp_path_factory.mktemp("store")}
    else:
        server: QdrantServer = request.getfixturevalue(f"qdrant_{version.replace('.', '_')}")
        place = {"url": server.url, "grpc_port": server.grpc_port, "transport": transport.lower()}
    state = tmp_path_factory.mktemp("state")
    ingest(passages, collection=name, encoder=StubEncoder(), bm25=True, state=state, **place)
    patient = place if version == "embedded" else {**place, "read_timeout": 100.0}
    with Searcher(name, encoder=StubEncoder(), **patient) as opened:
        ids: list[Any] = [opened.collection.point_id(f"p{n}") for n in range(2)]
        if version == "embedded":
            import qdrant_edge as edge

            with cast("EdgeCollection", opened.collection)._shard.engine("for a test") as shard:
                shard.update(edge.UpdateOperation.delete_vectors(ids, [""]))
                shard.update(edge.UpdateOperation.delete_vectors(ids[1:], ["bm25"]))
                shard.update(edge.UpdateOperation.upsert_points([edge.Point(8888, {}, {"n": 1})]))
        else:
            with closing(QdrantClient(server.url, check_compatibility=False)) as client:
                client.delete_vectors(name, [""], ids, wait=True)
                client.delete_vectors(name, ["bm25"], ids[1:], wait=True)
                client.upsert(name, [models.PointStruct(id=8888, vector={}, payload={"n": 1})], wait=True)
        yield opened
    if version != "embedded":
        with closing(QdrantClient(server.url, check_compatibility=False)) as client:
            client.delete_collection(name)


def test_what_is_read_without_a_query_has_no_vector(searcher: Searcher) -> None:
    with sooner_than(AT_ONCE):
        walked = {hit.id: hit.vector is not None for hit in searcher.scroll(with_vectors=True)}
        got = searcher.get(["p0", "p1", "p2", "8888"], with_vectors=True)
    assert walked == {"p0": False, "p1": False, "8888": False, **{f"p{n}": True for n in range(2, 10)}}
    assert {name: hit.vector is not None for name, hit in got.items()} == {
        "p0": False,
        "p1": False,
        "p2": True,
        "8888": False,
    }


SEARCHES: Final[dict[str, Callable[[Searcher], Any]]] = {
    "dense": lambda s: s.search(TEXT, limit=20, with_vectors=True),
    "exact": lambda s: s.search(TEXT, limit=20, exact=True, with_vectors=True),
    "diverse": lambda s: s.search(TEXT, limit=20, diversity=0.5, with_vectors=True),
    "words": lambda s: s.search(TEXT, limit=20, mode="bm25", with_vectors=True),
    "hybrid": lambda s: s.search(TEXT, limit=20, mode="hybrid", with_vectors=True),
    "groups": lambda s: [
        hit for group in s.search_groups(TEXT, by="n", limit=20, with_vectors=True) for hit in group.hits
    ],
    "best_per": lambda s: s.search(TEXT, limit=20, best_per="n", with_vectors=True),
    "pages": lambda s: [hit for page in s.search_pages(TEXT, page_size=3, with_vectors=True) for hit in page],
    "recommend": lambda s: s.recommend(["p2", "p3"], ["p4"], limit=20, with_vectors=True),
}


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_finds_what_has_the_vector_that_it_compares(searcher: Searcher, search: str) -> None:
    with sooner_than(AT_ONCE):
        found = {hit.id: hit.vector is not None for hit in SEARCHES[search](searcher)}
    bare = {"p0"} if search in ("words", "hybrid") else set()
    examples = {"p2", "p3", "p4"} if search == "recommend" else set()
    assert found.keys() == {f"p{n}" for n in range(2, 10)} - examples | bare
    assert {name for name, has_vector in found.items() if not has_vector} == bare


@pytest.mark.parametrize("strategy", ["average_vector", "best_score", "sum_scores"])
@pytest.mark.parametrize("examples", [["p0"], ["p2", "p0"], ["8888"]])
def test_nothing_is_like_a_passage_without_a_vector(searcher: Searcher, examples: list[str], strategy: Any) -> None:
    missing = examples[-1]
    with sooner_than(AT_ONCE), pytest.raises(RequestRefusedError, match=f"'{missing}' is stored without its vector"):
        searcher.recommend(examples, strategy=strategy)
    with sooner_than(AT_ONCE), pytest.raises(RequestRefusedError, match=f"'{missing}' is stored without its vector"):
        searcher.recommend(["p3"], [missing], strategy=strategy)


def test_what_can_not_be_scored_is_named(searcher: Searcher) -> None:
    with sooner_than(AT_ONCE), pytest.raises(TasbQdrantError):
        searcher.rerank(TEXT, ["p2", "p0"])
