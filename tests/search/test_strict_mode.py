"""Under a server's strict mode: what this package chooses itself is cut to every limit, and what a person asks for beyond
one is an error that says which, how much is allowed, and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant import AsyncSearcher, CollectionSettings, F, Passage, Searcher, ingest, verify
from tasb_qdrant.errors import LimitExceededError
from tasb_qdrant.records import IngestReport
from tasb_qdrant.search.options import Mode
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

COUNT: Final = 60
TEXT: Final = "passage 7 bee"
TIGHT: Final[dict[str, Any]] = {
    "max_query_limit": 12,
    "max_timeout": 3,
    "search_max_hnsw_ef": 16,
    "search_allow_exact": False,
    "search_max_oversampling": 1.5,
    "upsert_max_batchsize": 7,
    "filter_max_conditions": 4,
    "condition_max_size": 5,
    "unindexed_filtering_retrieve": False,
    "unindexed_filtering_update": False,
    "read_rate_limit": 100_000,
    "write_rate_limit": 100_000,
    "max_points_count": 1_000,
    "max_payload_index_count": 3,
    "max_collection_vector_size_bytes": 10**6,
    "max_collection_payload_size_bytes": 10**7,
    "sparse_config": {"bm25": models.StrictModeSparse(max_length=20)},
}
"""Every limit that a server of 1.17 knows, each below what is chosen without it."""

CALLS: Final[dict[str, Callable[[Searcher], Any]]] = {
    "search": lambda s: s.search(TEXT),
    "search_batch": lambda s: s.search_batch([TEXT] * 30, limit=2),
    "filtered": lambda s: s.search(TEXT, where=F("group").in_(["g1", "g2"])),
    "bm25": lambda s: s.search(TEXT, mode="bm25"),
    "hybrid": lambda s: s.search(TEXT, mode="hybrid"),
    "dbsf": lambda s: s.search(TEXT, mode="hybrid", fusion="dbsf"),
    "diverse": lambda s: s.search(TEXT, diversity=0.5),
    "best_per": lambda s: s.search(TEXT, best_per="group"),
    "groups": lambda s: s.search_groups(TEXT, by="group", limit=12, group_size=2),
    "hybrid groups": lambda s: s.search_groups(TEXT, by="group", mode="hybrid", limit=5),
    "pages": lambda s: list(s.search_pages(TEXT)),
    "boosted": lambda s: s.search(TEXT, boost="n"),
    "boosted pages": lambda s: [hit for page in s.search_pages(TEXT, boost="n") for hit in page],
    "boosted groups": lambda s: s.search_groups(TEXT, by="group", limit=12, boost="n"),
    "recommend": lambda s: s.recommend(["p1", "p2"], ["p3"]),
    "rerank": lambda s: s.rerank(TEXT, [f"p{n}" for n in range(COUNT)]),
    "timeout": lambda s: s.search(TEXT, timeout=60.0),
}

REFUSED: Final[dict[str, tuple[str, Callable[[Searcher], Any]]]] = {
    "limit": ("max_query_limit", lambda s: s.search(TEXT, limit=13)),
    "limit of groups": ("max_query_limit", lambda s: s.search_groups(TEXT, by="group", limit=13)),
    "group_size": ("max_query_limit", lambda s: s.search_groups(TEXT, by="group", group_size=13)),
    "depth": ("max_query_limit", lambda s: s.search(TEXT, mode="hybrid", depth=13)),
    "depth of diversity": ("max_query_limit", lambda s: s.search(TEXT, diversity=0.5, depth=13)),
    "page_size": ("max_query_limit", lambda s: list(s.search_pages(TEXT, page_size=13))),
    "page_size of a walk": ("max_query_limit", lambda s: list(s.scroll(page_size=13))),
    "offset": ("max_query_limit", lambda s: s.search(TEXT, mode="hybrid", offset=5)),
    "limit of a boost": ("max_query_limit", lambda s: s.search(TEXT, boost="n", limit=13)),
    "limit of boosted groups": ("max_query_limit", lambda s: s.search_groups(TEXT, by="group", boost="n", limit=13)),
    "group_size of a boost": (
        "max_query_limit",
        lambda s: s.search_groups(TEXT, by="group", boost="n", group_size=13),
    ),
    "depth of a boost": ("max_query_limit", lambda s: s.search(TEXT, boost="n", depth=13)),
    "page_size of a boost": ("max_query_limit", lambda s: list(s.search_pages(TEXT, boost="n", page_size=13))),
    "limit of values": ("max_query_limit", lambda s: s.facet("group", limit=13)),
    "exact": ("search_allow_exact", lambda s: s.search(TEXT, exact=True)),
    "hnsw_ef": ("search_max_hnsw_ef", lambda s: s.search(TEXT, hnsw_ef=17)),
    "oversampling": ("search_max_oversampling", lambda s: s.search(TEXT, oversampling=2.0)),
    "conditions": (
        "filter_max_conditions",
        lambda s: s.search(TEXT, where=" or ".join(f'group = "g{n}"' for n in range(5))),
    ),
    "values": ("condition_max_size", lambda s: s.count(F("n").in_(range(6)))),
    "values of a client's filter": (
        "condition_max_size",
        lambda s: s.count(models.Filter(must=[models.HasIdCondition(has_id=list(range(6)))])),
    ),
    "field without an index": ("unindexed_filtering_retrieve", lambda s: s.search(TEXT, where="other = 1")),
    "groups of one": ("unindexed_filtering_retrieve", lambda s: s.search_groups(TEXT, by="other")),
}


@pytest.fixture(scope="module", params=["grpc", "rest"])
def place(request: pytest.FixtureRequest, qdrant_1_17: QdrantServer, tmp_path_factory: Any) -> Iterator[dict[str, Any]]:
    """A quantized collection with words, indexes and a field without one, under strict mode."""
    name = f"strict-{request.param}"
    place = {"url": qdrant_1_17.url, "grpc_port": qdrant_1_17.grpc_port, "transport": request.param}
    settings = CollectionSettings(indexes={"group": "keyword", "n": "integer"}, quantization="int8")
    state = tmp_path_factory.mktemp("state")
    ingest(_passages(), collection=name, encoder=StubEncoder(), settings=settings, bm25=True, state=state, **place)
    client = QdrantClient(qdrant_1_17.url, check_compatibility=False)
    yield {"collection": name, "client": client, "options": place}
    client.delete_collection(name)
    client.close()


def _passages(word: str = "bee") -> list[Passage]:
    return [
        Passage(f"p{n}", f"passage {n} {word}", payload={"n": n, "group": f"g{n % 14}", "other": n})
        for n in range(COUNT)
    ]


def _put(place: dict[str, Any], **limits: Any) -> None:
    strict = models.StrictModeConfig(enabled=bool(limits), **limits)
    place["client"].update_collection(place["collection"], strict_mode_config=strict)


@pytest.fixture(scope="module")
def tight(place: dict[str, Any]) -> Iterator[tuple[Searcher, dict[str, Any]]]:
    """A searcher under all of the limits, which came after it was opened."""
    with Searcher(place["collection"], encoder=StubEncoder(), **place["options"]) as searcher:
        free = {name: call(searcher) for name, call in CALLS.items()}
        free["values"] = searcher.facet("group", limit=12)
        free["values of some"] = searcher.facet("n", where="n < 5")
        _put(place, **TIGHT)
        yield searcher, free
    _put(place)


@pytest.mark.parametrize("call", CALLS)
def test_our_own_choices_keep_to_limits_that_came_since(tight: tuple[Searcher, dict[str, Any]], call: str) -> None:
    searcher, free = tight
    found = CALLS[call](searcher)
    assert len(found) == len(free[call])
    if call in ("bm25", "rerank"):
        assert [hit.id for hit in found] == [hit.id for hit in free[call]]


def test_every_walk_is_whole(tight: tuple[Searcher, dict[str, Any]]) -> None:
    searcher, _ = tight
    assert sorted(int(hit.id[1:]) for hit in searcher.scroll()) == list(range(COUNT))
    assert [hit.payload["n"] for hit in searcher.scroll(order_by="n")] == list(range(COUNT))
    assert len(list(searcher.scroll("n < 30", page_size=12))) == 30
    assert searcher.count() == COUNT
    assert len(searcher.get([f"p{n}" for n in range(COUNT)])) == COUNT


def test_a_boost_ranks_all_of_its_candidates(tight: tuple[Searcher, dict[str, Any]]) -> None:
    searcher, _ = tight
    best_first = list(reversed(range(COUNT)))
    modes: list[Mode] = ["dense", "hybrid"]
    for mode in modes:
        found = searcher.search(TEXT, mode=mode, boost="n", limit=12, offset=40)
        assert [hit.payload["n"] for hit in found] == best_first[40:52]
    pages = searcher.search_pages(TEXT, boost="n", page_size=9)
    assert [hit.payload["n"] for page in pages for hit in page] == best_first


def test_values_are_counted_exactly_where_that_is_forbidden(tight: tuple[Searcher, dict[str, Any]]) -> None:
    searcher, free = tight
    assert searcher.facet("group", limit=12) == free["values"]
    assert searcher.facet("n", where="n < 5") == free["values of some"]
    with pytest.raises(Exception, match="can be counted only where the field has an index"):
        searcher.facet("other")


@pytest.mark.parametrize("ask", REFUSED)
def test_what_a_person_asks_for_beyond_a_limit_is_named(tight: tuple[Searcher, dict[str, Any]], ask: str) -> None:
    searcher, _ = tight
    setting, call = REFUSED[ask]
    with pytest.raises(LimitExceededError, match=rf"strict mode (allows \S+|forbids it) \({setting}\)") as caught:
        call(searcher)
    assert caught.value.setting == setting
    assert caught.value.remedy.endswith("or have the limit raised")
    assert caught.value.most in (TIGHT[setting], None)


def test_awaited_it_is_the_same(place: dict[str, Any], tight: tuple[Searcher, dict[str, Any]]) -> None:
    _, free = tight

    async def ask() -> tuple[int, int, LimitExceededError]:
        async with AsyncSearcher(place["collection"], encoder=StubEncoder(), **place["options"]) as searcher:
            hybrid = await searcher.search(TEXT, mode="hybrid")
            walked = [hit async for hit in searcher.scroll(order_by="n")]
            with pytest.raises(LimitExceededError) as caught:
                await searcher.search(TEXT, limit=13)
            return len(hybrid), len(walked), caught.value

    hybrid, walked, error = asyncio.run(ask())
    assert (hybrid, walked, error.asked, error.most) == (len(free["hybrid"]), COUNT, 13, 12)


def test_loads_edits_and_comparisons_keep_to_them(
    place: dict[str, Any], tight: tuple[Searcher, dict[str, Any]], tmp_path: Path
) -> None:
    searcher, _ = tight
    options = {"encoder": StubEncoder(), **place["options"]}
    changed = ingest(_passages("owl"), collection=place["collection"], state=tmp_path, **options)
    assert (changed.stored, changed.rejected) == (COUNT, 0)
    compared = verify(_passages("owl"), collection=place["collection"], **options)
    assert compared.equal
    assert searcher.patch_where("n < 30", {"checked": True}).changed == 30
    replaced = [Passage(f"p{n}", f"passage {n} fox", payload={"n": n, "group": "g1"}) for n in range(20)]
    assert searcher.replace(replaced).changed == 20
    assert searcher.count("n >= 0") == COUNT
    long = Passage("long", " ".join(f"word{n}" for n in range(21)))
    with pytest.raises(LimitExceededError, match=r"passage 'long' has 21 different words .* allows 20 .*--split"):
        ingest([long], collection=place["collection"], state=tmp_path, **options)


@pytest.fixture(scope="module")
def loaded(place: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Another collection, with words."""
    loaded = {**place, "collection": fresh_name(), "state": tmp_path_factory.mktemp("state")}
    _load(loaded)
    yield loaded
    loaded["client"].delete_collection(loaded["collection"])


@pytest.fixture
def free(loaded: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same, as yet without strict mode."""
    yield loaded
    _put(loaded)


def _load(place: dict[str, Any]) -> IngestReport:
    options = {"collection": place["collection"], "state": place["state"], **place["options"]}
    return ingest(_passages(), encoder=StubEncoder(), bm25=True, **options)


def test_a_repeated_load_tells_lost_vectors_whatever_conditions_are_allowed(free: dict[str, Any]) -> None:
    with Searcher(free["collection"], encoder=StubEncoder(), **free["options"]) as searcher:
        lost: list[Any] = [searcher.collection.point_id(name) for name in ("p3", "p5")]
    for most in (1, 2, 3):
        free["client"].delete_vectors(free["collection"], [""], lost[:1], wait=True)
        free["client"].delete_vectors(free["collection"], ["bm25"], lost[1:], wait=True)
        _put(free, filter_max_conditions=most)
        again = _load(free)
        assert (again.stored, again.skipped) == (2, COUNT - 2)


def test_best_per_is_asked_once_more_by_limits_that_came_since(free: dict[str, Any]) -> None:
    for texts in ([TEXT], [TEXT, "passage 8 bee"]):
        with Searcher(free["collection"], encoder=StubEncoder(), **free["options"]) as searcher:
            before = searcher.search_batch(texts, best_per="group")
            _put(free, max_query_limit=12)
            found = searcher.search_batch(texts, best_per="group")
            assert [[hit.id for hit in hits] for hits in found] == [[hit.id for hit in hits] for hits in before]
        _put(free)
