"""Searching by words where no passage has a BM25 vector: by the text index of the passages' texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import RestToGrpc

from tasb_qdrant import F, Passage, Searcher, ingest
from tasb_qdrant.collection.reads.questions import ReadOptions, Words
from tasb_qdrant.collection.reads.wire import QueryRequest, SearchParams
from tasb_qdrant.collection.server.grpc import GrpcWire
from tasb_qdrant.collection.server.rest import RestWire
from tasb_qdrant.errors import RequestRefusedError
from tasb_qdrant.settings import CollectionSettings, PayloadKeys
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

TEXTS: Final = {
    "1": "Bees dance to tell where food is.",
    "2": "A dance, a dance: a dance of bees!",
    "3": "Owls swallow mice whole",
    "4": "food food food food food and nothing but food for the bees that came late in the year",
    "5": "Mice eat FOOD",
    "6": "no word of it",
}


def bm25(query: str, *, k: float = 1.2, b: float = 0.75) -> dict[str, float]:
    """The scores of the texts that have a word of the query."""
    words = {each: Counter(re.findall(r"\w+", text.lower())) for each, text in TEXTS.items()}
    average = sum(map(Counter.total, words.values())) / len(words)
    scores: dict[str, float] = {}
    for term in set(re.findall(r"\w+", query.lower())):  # each word counts once, however often it is asked for
        having = [each for each, counts in words.items() if counts[term]]
        idf = math.log(1 + (len(words) - len(having) + 0.5) / (len(having) + 0.5))
        for each in having:
            count, length = words[each][term], words[each].total()
            part = idf * count * (k + 1) / (count + k * (1 - b + b * length / average))
            scores[each] = scores.get(each, 0.0) + part
    return scores


@pytest.fixture(scope="module", params=["text", "odd body"])
def searcher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    path = tmp_path_factory.mktemp("words")
    passages = [Passage(each, text, payload={"kind": len(text) % 2}) for each, text in TEXTS.items()]
    keys = PayloadKeys(text=request.param)
    settings = CollectionSettings(keys=keys, indexes={"kind": "integer"})
    ingest(passages, collection="c", encoder=StubEncoder(), path=path, settings=settings)
    with Searcher("c", encoder=StubEncoder(), path=path) as opened:
        with pytest.raises(RequestRefusedError, match=r"no bm25 vectors.*index add .*:text"):
            opened.search("bees", mode="hybrid")
        name = "text" if request.param == "text" else "`odd body`"
        opened.collection.add_indexes({name: "text"})
        yield opened


@pytest.mark.parametrize("query", ["food", "bees dance", "MICE and food", "late late year", "owl", "?!", "of bees"])
def test_scores_are_bm25s(searcher: Searcher, query: str) -> None:
    wanted = bm25(query)
    found = searcher.search(query, mode="bm25", limit=6)
    assert {hit.id: hit.score for hit in found} == pytest.approx(wanted, rel=0.01)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_it_goes_with_everything_that_a_search_takes(searcher: Searcher) -> None:
    dense = {hit.id for hit in searcher.search("bees dance", limit=6)}
    hybrid = searcher.search("bees dance", mode="hybrid", limit=6)
    assert {hit.id for hit in hybrid} == dense
    assert {hit.id for hit in hybrid[:3]} & set(bm25("bees dance"))
    with_filter = searcher.search("food bees", mode="bm25", where=F("kind") == 1)
    assert {hit.id for hit in with_filter} == {each for each in bm25("food bees") if len(TEXTS[each]) % 2}
    boosted = searcher.search("food", mode="bm25", boost="-score")
    assert [hit.id for hit in boosted] == [hit.id for hit in reversed(searcher.search("food", mode="bm25"))]
    pages = [hit.id for page in searcher.search_pages("food bees", mode="bm25", page_size=2) for hit in page]
    assert sorted(pages) == sorted(bm25("food bees"))
    groups = searcher.search_groups("food bees", by="kind", mode="bm25", group_size=9)
    assert sum(len(group.hits) for group in groups) == len(bm25("food bees"))


PLAIN: Final = QueryRequest(Words("bees dance", "text"), 5, None, SearchParams(False, None, None, None, False))


def test_requests_to_servers_are_those_of_qdrants_own_client() -> None:
    theirs = models.TextQuery(text="bees dance")
    (ours,) = grpc.QueryBatchPoints.FromString(GrpcWire("c", "").query([PLAIN], ReadOptions()).body).query_points
    assert ours.query == RestToGrpc.convert_query(theirs)
    assert ours.using == "text"
    (body,) = orjson.loads(RestWire("c", "").query([PLAIN], ReadOptions()).body)["searches"]
    assert (body["query"], body["using"]) == ({"text": "bees dance"}, "text")


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_an_older_server_has_no_index_that_ranks(qdrant_1_17: QdrantServer, transport: Any) -> None:
    name, place = fresh_name(), {"url": qdrant_1_17.url, "grpc_port": qdrant_1_17.grpc_port, "transport": transport}
    settings = CollectionSettings(indexes={"text": "text"})
    ingest([Passage("1", "bees")], collection=name, encoder=StubEncoder(), settings=settings, **place)
    with Searcher(name, encoder=StubEncoder(), **place) as opened:
        with pytest.raises(RequestRefusedError, match=r"on servers from 1\.20 on"):
            opened.search("bees", mode="bm25")
        assert opened.count('text contains "bees"') == 1
        collection = opened.collection
        collection._connection = _Claims(collection._connection)  # type: ignore[attr-defined]
        assert collection._text_index().scoring is True  # type: ignore[attr-defined]


class _Claims:
    """A connection that says that its server is newer."""

    version = (1, 20, 0)

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
