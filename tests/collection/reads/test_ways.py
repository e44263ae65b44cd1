"""A filtered search takes the way that was quickest here, of those that find the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.edge.wire import EdgeRequest, EdgeWire
from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.reads import steps, ways
from tasb_qdrant.collection.reads import wire as read_wire
from tasb_qdrant.collection.reads.filtering import Filtering
from tasb_qdrant.collection.reads.questions import Fused, Nearest, QueryOptions, ReadOptions
from tasb_qdrant.collection.reads.state import KnownState, State
from tasb_qdrant.collection.reads.ways import COMPARE, HITS, QUERIES, QUICK, THOROUGH, Matches, Trial, Way, Ways
from tasb_qdrant.collection.reads.wire import Indexes, QueryRequest
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.filters import F, Filter
from tasb_qdrant.settings import CollectionSettings
from tests.collection.helpers import CONTRACT, fill, random_vectors

POINTS = 40
SOME = F("n").in_(list(range(14)))
MOST = F("n") < 38
VECTORS = random_vectors(3 * QUERIES)
SLOW, MEDIUM, FAST = 0.012, 0.008, 0.005


class Store:
    """An embedded collection whose searches take as long as `takes` says, and find less by the ways in `misses`."""

    def __init__(self, collection: EdgeCollection) -> None:
        self.collection = collection
        self.takes: dict[Way, float] = {COMPARE: SLOW, THOROUGH: SLOW, QUICK[0]: MEDIUM, QUICK[1]: FAST, QUICK[2]: SLOW}
        self.misses: dict[Way, int] = {}
        self.now = 0.0
        self.asked: list[Way] = []
        self.limits: list[int] = []

    def search(self, *vectors: Any, where: Filter = SOME, **options: Any) -> list[list[Any]]:
        """The ids that are found; `asked` are the ways of all that was sent."""
        self.asked.clear()
        queries = [Nearest(vector) for vector in vectors]
        found = self.collection.reads.query(queries, QueryOptions(where=where, **options))
        return [[point.id for point in points] for points in found]

    def tried(self, where: Filter = SOME) -> None:
        """Search so often that a way is chosen."""
        for vector in VECTORS[:QUERIES]:
            self.search(vector, where=where)

    def way(self, where: Filter = SOME) -> Way:
        """The one that is taken now."""
        self.search(VECTORS[0], where=where)
        (way,) = self.asked
        return way


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """In which filters of more than five points are worth trying, and more than 20 aren't compared with."""
    monkeypatch.setattr(ways, "AT_ONCE", 5 * CONTRACT.dim)
    monkeypatch.setattr(read_wire, "MOST_COMPARED", 20 * CONTRACT.dim)
    made = CollectionSettings(indexes={"n": "integer"})
    edge = EdgeStore(tmp_path)
    with closing(open_for_writing("c", edge, contract=CONTRACT, settings=made)) as collection:
        fill(collection, POINTS)
    with closing(edge.open("c")) as opened:
        made_store = Store(opened)
        real = EdgeWire.query

        def query(wire: EdgeWire, queries: Sequence[QueryRequest], read: ReadOptions) -> EdgeRequest:
            request = real(wire, queries, read)
            params = queries[0].params
            made_store.limits += [request.limit for request in queries]
            own = params.acorn is None and not params.exact and queries[0].where is not None
            way = Way(exact=params.exact, hnsw_ef=params.hnsw_ef if own else None)

            def run(shard: Any) -> Any:
                made_store.asked.append(way)
                made_store.now += made_store.takes[way]
                return [points[made_store.misses.get(way, 0) :] for points in request.run(shard)]

            return replace(request, run=run)

        monkeypatch.setattr(EdgeWire, "query", query)
        monkeypatch.setattr(steps, "time", SimpleNamespace(perf_counter=lambda: made_store.now))
        yield made_store


def test_the_quickest_is_taken_once_enough_queries_were_tried(store: Store) -> None:
    expected = store.search(*VECTORS, where=SOME, exact=True)
    found = []
    for number, vector in enumerate(VECTORS):
        found += store.search(vector)
        if number < QUERIES - 1:
            assert sorted(store.asked[:-1], key=str) == sorted([COMPARE, *QUICK], key=str)
            assert store.asked[-1] == COMPARE
    assert store.asked == [QUICK[1]]
    assert found == expected


def test_what_was_chosen_is_logged_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="tasb_qdrant")
    for vector in VECTORS:
        store.search(vector)
    (said,) = [record.getMessage() for record in caplog.records if "searched by" in record.getMessage()]
    assert "searched by the index alone, hnsw_ef 128 from now on: comparing with each match took 12.0 ms" in said


def test_each_way_is_as_often_the_first_as_any_other(store: Store) -> None:
    firsts = []
    for vector in VECTORS[: QUERIES - 1]:
        store.search(vector)
        firsts.append(store.asked[0])
    assert {firsts.count(way) for way in (COMPARE, *QUICK)} == {1, 2}


def test_a_batch_tries_as_many_of_its_queries_as_it_takes(store: Store) -> None:
    store.search(*VECTORS)
    assert len(store.asked) == 4 * QUERIES + len(VECTORS)
    assert set(store.asked[4 * QUERIES :]) == {QUICK[1]}


@pytest.mark.parametrize(
    ("takes", "misses", "expected"),
    [
        ({}, {}, QUICK[1]),
        ({}, {QUICK[1]: 1}, QUICK[0]),
        ({}, dict.fromkeys(QUICK, 1), COMPARE),
        ({COMPARE: 1.2 * FAST}, {}, COMPARE),
        ({COMPARE: FAST / 2}, {}, COMPARE),
    ],
    ids=[
        "the quickest",
        "not one that misses",
        "none that misses",
        "not for little",
        "comparing, where it is quickest",
    ],
)
def test_what_is_chosen(store: Store, takes: dict[Way, float], misses: dict[Way, int], expected: Way) -> None:
    store.takes |= takes
    store.misses = misses
    store.tried()
    assert store.way() == expected


def test_where_too_many_match_to_compare_with_acorn_is_what_the_others_are_held_to(store: Store) -> None:
    store.tried(MOST)
    assert store.way(MOST) == QUICK[1]
    store.search(VECTORS[0])
    assert set(store.asked) == {COMPARE, *QUICK}  # of another size, nothing is known


def test_the_same_query_is_tried_once(store: Store) -> None:
    store.search(VECTORS[0])
    for _ in range(2 * QUERIES):
        store.search(VECTORS[0], VECTORS[0])
        assert set(store.asked) == {COMPARE}
        assert len(store.asked) == 2


@pytest.mark.parametrize(
    ("where", "options"),
    [
        pytest.param(F("n").in_([1, 2]), {}, id="few matches"),
        pytest.param(SOME, {"exact": True}, id="a way that the caller chose"),
        pytest.param(SOME, {"hnsw_ef": 256}, id="thoroughness that the caller chose"),
        pytest.param(SOME, {"limit": 100}, id="many hits"),
        pytest.param(SOME, {"offset": 60}, id="hits far down the list"),
        pytest.param(SOME, {"read": ReadOptions(timeout=0.5)}, id="no time"),
    ],
)
def test_what_it_is_not_fit_for_is_searched_as_ever(store: Store, where: Filter, options: dict[str, Any]) -> None:
    for vector in VECTORS:
        store.search(vector, where=where, **options)
        assert len(set(store.asked)) == 1


def test_a_small_share_of_the_points_is_never_left_to_the_index_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "LEAST_SHARE", 0.5)
    store.tried()
    assert store.way() == COMPARE


def test_fused_lists_are_as_deep_as_they_were(store: Store) -> None:
    store.tried()
    store.asked.clear()
    fused = Fused((Nearest(VECTORS[0]), Nearest(VECTORS[1])))
    store.collection.reads.query([fused], QueryOptions(where=SOME))
    assert set(store.asked) == {COMPARE}


def test_another_index_is_tried_anew(store: Store) -> None:
    store.tried()
    assert store.way() == QUICK[1]
    store.takes[COMPARE] = FAST
    store.collection.optimize()
    store.tried()
    assert store.way() == COMPARE


def test_a_store_that_fails_meanwhile_leaves_nothing_half_known(store: Store) -> None:
    took = store.takes.pop(QUICK[0])
    with pytest.raises(KeyError):
        store.search(VECTORS[0])
    store.takes[QUICK[0]] = took
    store.tried()
    assert store.way() == QUICK[1]


def trial() -> Trial:
    return Ways().trial(Matches(10_000, 30_000, 768, few=True), most_ef=None)


def test_one_call_tries_at_a_time() -> None:
    one = trial()
    assert len(one.untried(list(VECTORS))) == QUERIES
    with one.at_work():
        assert one.untried(list(VECTORS)) == []
    assert len(one.untried(list(VECTORS[:2]))) == 2


def test_a_server_is_not_asked_for_more_than_it_allows() -> None:
    matches = Matches(10_000, 30_000, 768, few=True)
    assert Ways().trial(matches, most_ef=200).ways == (COMPARE, *QUICK[1:])
    assert Ways().trial(matches, most_ef=50).ways == (COMPARE,)


def test_no_more_hits_are_tried_than_a_server_gives(store: Store) -> None:
    store.search(VECTORS[0], exact=True)  # learns the indexes, for which it reads the state
    store.limits.clear()
    state = store.collection.reads.steps.state
    state.now = replace(state.now, limits=StoreLimits(page=10))
    store.search(VECTORS[0], limit=5)
    assert len(store.limits) > 1
    assert max(store.limits) == 10


def test_two_misses_in_all_are_let_pass_and_no_more() -> None:
    truth = list(range(HITS))
    for missed, expected in ((2, QUICK[1]), (3, COMPARE)):
        one = trial()
        for number, vector in enumerate(VECTORS[:QUERIES]):
            lost = number < missed
            found = {COMPARE: truth, QUICK[0]: truth[:10], QUICK[1]: truth[lost:], QUICK[2]: []}
            one.learn(vector, {COMPARE: SLOW, **dict.fromkeys(QUICK, FAST)}, found)
        assert one.chosen == expected


def test_sizes_are_told_apart_roughly() -> None:
    kept = Ways()
    sizes = [(10_000, 30_000), (12_000, 31_000), (20_000, 30_000), (10_000, 90_000)]
    found = [kept.trial(Matches(m, n, 768, few=True), most_ef=None) for m, n in sizes]
    assert found[0] is found[1]
    assert len({id(each) for each in found}) == 3
    kept.forget()
    assert kept.trial(Matches(10_000, 30_000, 768, few=True), most_ef=None) is not found[0]


@pytest.mark.parametrize(
    ("changes", "other"),
    [({"built": 6}, False), ({}, True), ({"indexes": Indexes({"n": "float"})}, False)],
    ids=["more of the index", "another collection", "another payload index"],
)
def test_a_collection_that_has_changed_is_tried_anew(changes: dict[str, Any], other: bool) -> None:
    state = State(CollectionSchema.of(CONTRACT, CollectionSettings()), Indexes({"n": "integer"}), built=5)
    nobody: Any = None  # nothing is asked
    known = KnownState(nobody, state, name="c", location="here", others="followed")
    filtering = Filtering(nobody, known, place="here")
    filtering.learn(state, False)
    matches = Matches(10_000, 30_000, 768, few=True)
    one = filtering.ways.trial(matches, most_ef=None)
    filtering.learn(state, False)
    assert filtering.ways.trial(matches, most_ef=None) is one
    filtering.learn(replace(state, **changes), other)
    assert filtering.ways.trial(matches, most_ef=None) is not one
