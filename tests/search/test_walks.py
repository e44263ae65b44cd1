"""Every walk gives what a plain computation gives: each passage once, by value or score and then by id, on every store."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasb_qdrant import AsyncSearcher, F, Passage, Searcher, ingest
from tasb_qdrant.collection.reads import ranked
from tasb_qdrant.search import query as plans
from tests.qdrant_servers import QdrantServer
from tests.search.walks import ORDERS, SETTINGS, WORDS, Counting, Ranked, World

FUZZ: Final = not settings().derandomize
WALKS: Final = settings(
    max_examples=40 if FUZZ else 3, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
COUNT: Final = 150 if FUZZ else 60
SEEDS: Final = range(4) if FUZZ else range(1)
ENCODER: Final = Counting()
SIZES: Final = st.sampled_from([1, 2, 3, 7, 31, 256] if FUZZ else [3, 7, 256])
STORES: Final[dict[str, tuple[str, str]]] = {
    "server 1.16.3 gRPC": ("qdrant_1_16", "grpc"),
    "server 1.17.0 gRPC": ("qdrant_1_17", "grpc"),
    "server 1.17.0 REST": ("qdrant_1_17", "rest"),
}


@dataclass(frozen=True, repr=False)
class Walked:
    """A world in a store."""

    world: World
    searcher: Searcher
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.world} in {self.options['collection']}"

    def words(self, text: str) -> Ranked:
        """By BM25, for a query of one word: by its weight in each passage. The scores are the store's."""
        [term] = self.searcher._session.lexical.query(text).indices.tolist()
        names = [one.id for one in self.world.passages]
        ids = [self.world.points[each] for each in names]
        stored = self.searcher.collection.reads.retrieve(ids, payload=False, sparse=True)
        weights = {
            name: dict(zip(one.sparse.indices.tolist(), one.sparse.values.tolist(), strict=True)).get(term)
            for name, one in zip(names, stored, strict=True)
            if one.sparse is not None
        }
        order = self.world.ranked({name: weight for name, weight in weights.items() if weight})
        scores = {hit.id: hit.score for hit in self.searcher.search(text, mode="bm25", limit=10_000)}
        return [(name, scores[name]) for name, _ in order]


@pytest.fixture(scope="module", params=["embedded", *(pytest.param(one, marks=pytest.mark.server) for one in STORES)])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if request.param == "embedded":
        return {"path": tmp_path_factory.mktemp("walks")}
    fixture, transport = STORES[request.param]
    server: QdrantServer = request.getfixturevalue(fixture)
    return {"url": server.url, "grpc_port": server.grpc_port, "transport": transport}


@pytest.fixture(scope="module", params=SEEDS)
def walked(request: pytest.FixtureRequest, store: dict[str, Any]) -> Iterator[Walked]:
    with filled(World.make(request.param, COUNT), store, f"walks-{request.param}") as opened:
        yield opened


@contextmanager
def filled(world: World, store: dict[str, Any], name: str) -> Iterator[Walked]:
    name = f"{name}-{store.get('transport', 'path')}"
    ingest(world.passages, collection=name, encoder=ENCODER, settings=SETTINGS, **store)
    with Searcher(name, encoder=ENCODER, **store) as searcher:
        world.points.update({one.id: searcher.collection.point_id(one.id) for one in world.passages})
        yield Walked(world, searcher, {"collection": name, "encoder": ENCODER, **store})


def query(words: list[str]) -> tuple[str, list[float]]:
    return " ".join(words), [float(words.count(word)) for word in WORDS]


@contextmanager
def narrow(searcher: Searcher, *, through_ids: bool, page: int | None) -> Iterator[None]:
    """Ties are gone through by ids at once, and a server allows `page` points in an answer."""
    with ExitStack() as stack:
        if through_ids:
            stack.enter_context(mock.patch.object(ranked, "_WIDER", ()))
            stack.enter_context(mock.patch.object(ranked, "_IDS", 17))
        steps = searcher._session.reads
        stack.enter_context(mock.patch.object(steps, "_limits", replace(steps._limits, page=page)))
        stack.enter_context(mock.patch.object(plans, "WALK", 40))
        yield


CUTS: Final = st.fixed_dictionaries({"through_ids": st.booleans(), "page": st.sampled_from([None, None, 12, 100])})
QUERIES: Final = st.lists(st.sampled_from(WORDS[:5]), min_size=1, max_size=4).map(query)


@given(order=st.sampled_from([None, *ORDERS]), descending=st.booleans(), size=SIZES, shown=st.booleans())
@WALKS
def test_scrolling_gives_each_passage_once_in_order(
    walked: Walked, order: str | None, descending: bool, size: int, shown: bool
) -> None:
    world = walked.world
    expected = world.ids() if order is None else world.in_order(order, descending=descending)
    hits = walked.searcher.scroll(order_by=order, descending=descending, page_size=size, with_payload=shown)
    assert [hit.id for hit in islice(hits, 2 * len(expected))] == expected


@given(order=st.sampled_from([None, *ORDERS]), least=st.integers(0, COUNT // 2), size=SIZES)
@WALKS
def test_scrolling_matches_gives_each_of_them_once(walked: Walked, order: str | None, least: int, size: int) -> None:
    world = walked.world
    matching = {one.id for one in world.passages if one.payload["i"] >= least}
    expected = world.ids() if order is None else world.in_order(order, descending=True)
    hits = walked.searcher.scroll(F("i") >= least, order_by=order, descending=True, page_size=size)
    assert [hit.id for hit in islice(hits, 500)] == [each for each in expected if each in matching]


@given(asked=QUERIES, size=SIZES, exact=st.booleans(), cuts=CUTS)
@WALKS
def test_pages_and_offsets_are_parts_of_the_ranking(
    walked: Walked, asked: tuple[str, list[float]], size: int, exact: bool, cuts: dict[str, Any]
) -> None:
    text, vector = asked
    expected = walked.world.dense(vector)
    with narrow(walked.searcher, **cuts):
        pages = [*walked.searcher.search_pages(text, page_size=size, exact=exact)]
        parts = [walked.searcher.search(text, limit=size, offset=at, exact=exact) for at in (0, size, 2 * size, 40)]
    assert [(hit.id, hit.score) for page in pages for hit in page] == expected
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    for at, part in zip((0, size, 2 * size, 40), parts, strict=True):
        assert [(hit.id, hit.score) for hit in part] == expected[at : at + size]
        assert all(hit.text for hit in part)


@given(word=st.sampled_from(WORDS[:5]), size=SIZES, cuts=CUTS)
@WALKS
def test_so_are_those_of_words(walked: Walked, word: str, size: int, cuts: dict[str, Any]) -> None:
    expected = [each for each, _ in walked.words(word)]
    with narrow(walked.searcher, **cuts):
        pages = walked.searcher.search_pages(word, page_size=size, mode="bm25")
        assert [hit.id for page in pages for hit in page] == expected
        part = walked.searcher.search(word, limit=size, offset=5, mode="bm25")
        assert [hit.id for hit in part] == expected[5 : 5 + size]


@given(
    word=st.sampled_from(WORDS[:5]),
    method=st.sampled_from(["rrf", "dbsf"]),
    depth=st.sampled_from([2, 5, 40, None]),
    size=st.sampled_from([2, 3, 7, 31]),
    cuts=CUTS,
)
@WALKS
def test_so_are_those_of_hybrid_searches(
    walked: Walked, word: str, method: Any, depth: int | None, size: int, cuts: dict[str, Any]
) -> None:
    _, vector = query([word])
    lists = [walked.world.dense(vector), walked.words(word)]
    options: dict[str, Any] = {"mode": "hybrid", "fusion": method, "depth": depth}
    with narrow(walked.searcher, **cuts):
        pages = walked.searcher.search_pages(word, page_size=size, **options)
        walk = [hit.id for page in pages for hit in page]
        find = partial(walked.searcher.search, word, limit=size, **options)
        parts = {at: [hit.id for hit in find(offset=at)] for at in (0, size, 3 * size, 40)}
    assert walk == walked.world.fused(lists, method=method, depth=max(depth or max(40, 5 * size), size))
    listed = walked.world.fused(lists, method=method, depth=max(depth or max(100, 5 * size), size))
    assert parts == {at: listed[at : at + size] for at in parts}


@given(asked=QUERIES, depth=st.sampled_from([4, 30, None]), size=st.sampled_from([7, 31]), cuts=CUTS)
@WALKS
def test_so_are_those_of_diverse_searches(
    walked: Walked, asked: tuple[str, list[float]], depth: int | None, size: int, cuts: dict[str, Any]
) -> None:
    text, vector = asked
    expected = walked.world.diverse(vector, diversity=0.5, depth=max(depth or max(100, 5 * size), size))
    with narrow(walked.searcher, **cuts):
        find = partial(walked.searcher.search, text, limit=size, diversity=0.5, depth=depth)
        parts = {at: [hit.id for hit in find(offset=at)] for at in (0, size, 2 * size, 40)}
    assert parts == {at: expected[at : at + size] for at in parts}


@given(picks=st.lists(st.integers(0, COUNT - 1), min_size=2, max_size=3, unique=True), size=SIZES, cuts=CUTS)
@WALKS
def test_so_are_those_of_recommendations(walked: Walked, picks: list[int], size: int, cuts: dict[str, Any]) -> None:
    one, *others = [walked.world.passages[at] for at in picks]
    (_, liked), (_, disliked) = query(one.text.split()), query(others[0].text.split())
    vector = [2 * a - b for a, b in zip(liked, disliked, strict=True)]
    expected = [found for found in walked.world.dense(vector) if found[0] not in (one.id, others[0].id)]
    with narrow(walked.searcher, **cuts):
        for at in (0, size, 40):
            found = walked.searcher.recommend([one.id], [others[0].id], limit=size, offset=at)
            assert [(hit.id, hit.score) for hit in found] == expected[at : at + size]


@given(asked=QUERIES, limit=st.integers(1, 40), size=st.integers(1, 4), page=SIZES, cuts=CUTS)
@WALKS
def test_groups_and_the_best_of_each_are_those_of_the_ranking(
    walked: Walked, asked: tuple[str, list[float]], limit: int, size: int, page: int, cuts: dict[str, Any]
) -> None:
    text, vector = asked
    listed = [each for each, _ in walked.world.dense(vector)]
    expected = walked.world.groups(listed, size=size)
    with narrow(walked.searcher, **cuts):
        found = walked.searcher.search_groups(text, by="g", limit=limit, group_size=size)
        assert [(group.value, [hit.id for hit in group.hits]) for group in found] == expected[:limit]
        firsts = [*dict.fromkeys(walked.world.firsts(listed))]
        pages = walked.searcher.search_pages(text, page_size=page, best_per="g")
        assert [hit.id for found in pages for hit in found] == firsts


@given(name=st.sampled_from(["few", "g", "i"]), limit=st.integers(1, 40))
@WALKS
def test_facets_are_the_most_frequent_values_then_the_least(walked: Walked, name: str, limit: int) -> None:
    found = walked.searcher.facet(name, limit=limit)
    assert [(one.value, one.count) for one in found] == walked.world.facet(name)[:limit]


@given(
    size=SIZES,
    given_first=st.integers(0, 60),
    gone=st.sets(st.integers(0, COUNT - 1), max_size=60),
    order=st.booleans(),
)
@settings(WALKS, max_examples=10 if FUZZ else 1)
def test_what_is_deleted_in_between_is_missing_and_nothing_else(
    store: dict[str, Any], size: int, given_first: int, gone: set[int], order: bool
) -> None:
    with filled(World.make(99, COUNT), store, "walks-deleted") as walked:
        world, searcher = walked.world, walked.searcher
        walks = {
            "pages": (hit.id for page in searcher.search_pages("bee", page_size=size) for hit in page),
            "scroll": (hit.id for hit in searcher.scroll(order_by="few" if order else None, page_size=size)),
        }
        expected = {
            "pages": [each for each, _ in world.dense(query(["bee"])[1])],
            "scroll": world.in_order("few", descending=False) if order else world.ids(),
        }
        before = {name: [*islice(walk, given_first)] for name, walk in walks.items()}
        deleted = {world.passages[at].id for at in gone}
        if deleted:
            searcher.delete(sorted(deleted))
        for name, walk in walks.items():
            after = [*walk]
            assert before[name] == expected[name][:given_first]
            assert len(set(before[name] + after)) == len(before[name]) + len(after)
            left = [each for each in expected[name][len(before[name]) :] if each not in deleted]
            assert [each for each in after if each not in deleted] == left


def test_awaited_walks_are_the_same(walked: Walked, tmp_path: Path) -> None:
    options = walked.options
    if "path" in options:  # which has one opener at a time
        options = {**options, "path": shutil.copytree(options["path"], tmp_path / "copy")}

    async def walk() -> tuple[list[str], list[str]]:
        async with AsyncSearcher(**options) as searcher:
            pages = [hit.id async for page in searcher.search_pages("bee owl", page_size=7) for hit in page]
            return pages, [hit.id async for hit in searcher.scroll(order_by="n", page_size=7)]

    pages, scrolled = asyncio.run(walk())
    assert pages == [each for each, _ in walked.world.dense(query(["bee", "owl"])[1])]
    assert scrolled == walked.world.in_order("n", descending=False)


def test_a_walk_over_a_field_that_nothing_has_ends(walked: Walked) -> None:
    with pytest.warns(UserWarning, match="nothing"):
        hits = [*walked.searcher.scroll(F("nothing") == 1, order_by="few")]
    assert hits == []


def test_a_request_within_a_tie_does_not_grow(store: dict[str, Any]) -> None:
    """No request names more than a page's ids, however many passages share a value."""
    world = World([Passage(f"{n}", "bee", payload={"few": 1}) for n in range(150)])
    sizes: list[int] = []
    with filled(world, store, "walks-tied") as walked:
        session = walked.searcher._session
        send = walked.searcher._send

        def counted(requests: Any, deadline: Any) -> Any:
            sizes.extend(len(getattr(request, "body", b"")) for request in requests)
            return send(requests, deadline)

        with mock.patch.object(walked.searcher, "_send", counted):
            ids = [hit.id for hit in walked.searcher.scroll(order_by="few", page_size=20)]
        assert session.collection.name
    assert ids == [f"{n}" for n in range(150)]
    assert max(sizes) < 600


EDGES: Final = [one + off for one in (2**53, -(2**53), 2**62, -(2**62)) for off in range(-3, 4)]


def test_integers_on_both_sides_of_what_a_double_holds_come_in_order(store: dict[str, Any]) -> None:
    values = [*EDGES, *(1_768_907_445_451_174_113 + n for n in range(20)), 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1]
    payloads: list[dict[str, Any]] = [{"n": value} for value in values]
    payloads += [{"n": [value, values[(at * 7) % len(values)], value]} for at, value in enumerate(values)]
    world = World([Passage(f"{n}", "bee", payload=payload) for n, payload in enumerate(payloads)])
    with filled(world, store, "walks-edges") as walked:
        for descending in (False, True):
            for size in (1, 5):
                hits = walked.searcher.scroll(order_by="n", descending=descending, page_size=size)
                found = [hit.id for hit in islice(hits, 2 * len(payloads))]
                assert found == world.in_order("n", descending=descending)


@pytest.mark.parametrize("most", [1, 2])
def test_a_server_that_allows_one_or_two_points_an_answer_is_walked_too(walked: Walked, most: int) -> None:
    """No point beside a part is left to see whether a cut goes through equal scores."""
    with narrow(walked.searcher, through_ids=False, page=most):
        hits = walked.searcher.search("bee", limit=2, offset=1, exact=True)
        assert [(hit.id, hit.score) for hit in hits] == walked.world.dense(query(["bee"])[1])[1:3]
        scrolled = walked.searcher.scroll(order_by="few", page_size=most)
        assert [hit.id for hit in scrolled] == walked.world.in_order("few", descending=False)


def test_a_walk_finds_what_the_vector_index_does_not_lead_to(walked: Walked) -> None:
    """An index that leads to few, as one of many equal vectors does: the rest is found by comparing with every one."""
    reads = walked.searcher._session.reads
    whole = type(reads)._found

    def missing(self: Any, requests: Any, read: Any) -> Any:
        lists = yield from whole(self, requests, read)
        return [points if one.params.exact else points[:40] for one, points in zip(requests, lists, strict=True)]

    with mock.patch.object(type(reads), "_found", missing):
        pages = [*walked.searcher.search_pages("bee", page_size=7)]
    assert [hit.id for page in pages for hit in page] == [each for each, _ in walked.world.dense(query(["bee"])[1])]
