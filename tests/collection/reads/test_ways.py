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
from tasb_qdrant.collection.reads import ways
from tasb_qdrant.collection.reads import wire as read_wire
from tasb_qdrant.collection.reads.filtering import Filtering, fields_of
from tasb_qdrant.collection.reads.questions import Fused, Nearest, QueryOptions, ReadOptions, Recommended
from tasb_qdrant.collection.reads.state import KnownState, State
from tasb_qdrant.collection.reads.ways import (
    COMPARE,
    FAILURES,
    HITS,
    OF_ONE_CALL,
    OF_ONE_FILTER,
    QUERIES,
    QUICK,
    THOROUGH,
    Matches,
    Patience,
    Trial,
    Way,
    Ways,
)
from tasb_qdrant.collection.reads.wire import Indexes, QueryRequest
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.errors import CollectionError, RequestRefusedError, SearchTimeoutError, ServerBusyError
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
        self.takes: dict[Way, float] = {COMPARE: SLOW, THOROUGH: SLOW, QUICK[0]: MEDIUM, QUICK[1]: FAST}
        self.misses: dict[Way, int] = {}
        self.errors: dict[Way, CollectionError] = {}
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
                if way in made_store.errors:
                    raise made_store.errors[way]
                return [points[made_store.misses.get(way, 0) :] for points in request.run(shard)]

            return replace(request, run=run)

        monkeypatch.setattr(EdgeWire, "query", query)
        monkeypatch.setattr(ways, "time", SimpleNamespace(perf_counter=lambda: made_store.now))
        yield made_store


def test_the_quickest_is_taken_once_enough_queries_were_tried(store: Store) -> None:
    expected = store.search(*VECTORS, where=SOME, exact=True)
    found = []
    for number, vector in enumerate(VECTORS):
        found += store.search(vector)
        if number < QUERIES - 1:
            assert store.asked[0] == COMPARE  # the answer
            assert sorted(store.asked[1:], key=str) == sorted([COMPARE, *QUICK], key=str)
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
        firsts.append(store.asked[1])
    assert {firsts.count(way) for way in (COMPARE, *QUICK)} == {2, 3}


def test_a_batch_is_answered_first_and_tries_two_of_its_queries(store: Store) -> None:
    for _ in range(QUERIES // OF_ONE_CALL):
        store.search(*VECTORS)
        assert store.asked[: len(VECTORS)] == [COMPARE] * len(VECTORS)
        assert len(store.asked) == len(VECTORS) + OF_ONE_CALL * len((COMPARE, *QUICK))
    store.search(*VECTORS)
    assert store.asked == [QUICK[1]] * len(VECTORS)


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


def test_acorn_is_not_given_up_for_little(store: Store) -> None:
    store.takes |= {THOROUGH: 1.2 * FAST, QUICK[0]: 1.1 * FAST}
    store.tried(MOST)
    assert store.way(MOST) == THOROUGH


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
        pytest.param(SOME, {"offset": 1}, id="a later part of the list"),
        pytest.param(SOME, {"in_parts": True}, id="candidates"),
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


@pytest.mark.parametrize(
    ("seconds", "timeout", "tried"),
    [(0.5, None, True), (1.0, None, False), (0.5, 600, True), (1.0, 600, False), (0.5, 6, False)],
)
def test_there_is_time_for_it_or_the_answer_is_all(seconds: float, timeout: float | None, tried: bool) -> None:
    now = [100.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ways, "time", SimpleNamespace(perf_counter=lambda: now[0]))
        patience = Patience(timeout)
        now[0] += seconds
        patience.answered(1)
        assert patience.allows(3) == tried


def test_a_search_of_a_batch_takes_its_share_of_the_batch() -> None:
    now = [100.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ways, "time", SimpleNamespace(perf_counter=lambda: now[0]))
        patience = Patience(100.0)
        now[0] += 10.0
        patience.answered(1_000)
        assert patience.allows(3)
        now[0] += 89.99  # hardly anything is left
        assert not patience.allows(3)


def test_time_is_looked_at_again_before_each_query(store: Store) -> None:
    store.takes[QUICK[0]] = 600.0
    store.search(VECTORS[0], VECTORS[1], read=ReadOptions(timeout=600.0))
    assert store.asked[:2] == [COMPARE] * 2
    assert sorted(store.asked[2:], key=str) == sorted([COMPARE, *QUICK], key=str)


@pytest.mark.parametrize(
    "error", [SearchTimeoutError("late", timeout=1.0), RequestRefusedError("no"), ServerBusyError("busy")]
)
def test_an_error_of_what_is_tried_is_not_the_call_s(store: Store, error: CollectionError) -> None:
    expected = store.search(VECTORS[0], exact=True)
    store.errors[QUICK[0]] = error
    for number, vector in enumerate([VECTORS[0], *VECTORS]):
        found = store.search(vector)
        assert store.asked[0] == COMPARE
        if number >= FAILURES:
            assert store.asked == [COMPARE]  # given up
        if number == 0:
            assert found == expected
    store.errors.clear()
    assert store.way() == COMPARE


def test_a_call_that_fails_once_is_tried_again(store: Store) -> None:
    store.errors[QUICK[0]] = SearchTimeoutError("late", timeout=1.0)
    store.search(VECTORS[0])
    store.errors.clear()
    store.tried()
    assert store.way() == QUICK[1]


@pytest.mark.parametrize("limits", [StoreLimits(hnsw_ef=50), StoreLimits(reads=15)], ids=["no other way", "rationed"])
def test_nothing_is_tried_where_it_would_be_in_vain(store: Store, limits: StoreLimits) -> None:
    store.search(VECTORS[0], exact=True)  # learns the indexes, for which it reads the state
    state = store.collection.reads.steps.state
    state.now = replace(state.now, limits=limits)
    for vector in VECTORS:
        store.search(vector)
        assert store.asked == [COMPARE]


def test_groups_and_recommendations_are_searched_as_ever(store: Store) -> None:
    wanted = QueryOptions(where=SOME, limit=3)
    for _ in range(2):
        store.asked.clear()
        store.collection.reads.query_groups(Nearest(VECTORS[20]), wanted, by="n", size=2)
        store.collection.reads.query([Recommended((VECTORS[20],))], wanted)
        assert set(store.asked) == {COMPARE}
        store.tried()


def test_later_parts_of_a_list_fit_together(store: Store) -> None:
    store.misses = dict.fromkeys(QUICK, 0)
    store.tried()
    whole = store.search(VECTORS[20], limit=12, exact=True)[0]
    parts = [store.search(VECTORS[20], limit=3, offset=offset)[0] for offset in (0, 3, 6, 9)]
    assert store.asked == [COMPARE]
    assert [found for part in parts for found in part] == whole


def matches(where: Filter = SOME, *, matching: int = 10_000, points: int = 30_000, few: bool = True) -> Matches:
    return Matches(where, frozenset(fields_of(where)), matching, points, 768, few)


def trial(**options: Any) -> Trial:
    return Ways().trial(matches(**options), most_ef=None)


def learn(one: Trial, vector: Any, where: Filter = SOME, lost: dict[Way, int] | None = None) -> None:
    """Every way finds all but what it has `lost`."""
    truth, lost = list(range(HITS)), lost or {}
    found = {way: truth[lost.get(way, 0) :] for way in one.ways}
    one.learn(where, vector, {one.usual: SLOW, **dict.fromkeys(QUICK, FAST)}, found)


def test_one_call_tries_at_a_time(store: Store) -> None:
    store.search(VECTORS[0])
    (one,) = (found for _, found in store.collection.reads.steps.filtering.ways._trials._answers.values())
    with one.busy:
        store.search(VECTORS[1])
        assert store.asked == [COMPARE]
    store.search(VECTORS[1])
    assert len(store.asked) > 1


def test_what_one_filter_found_is_its_own() -> None:
    one, other = trial(), F("n") < 7
    for vector in VECTORS[:QUERIES]:
        assert one.chosen(SOME) is None
        learn(one, vector)
    assert one.chosen(SOME) in QUICK
    assert one.chosen(other) is None
    assert len(one.untried(other, list(VECTORS))) == OF_ONE_CALL


def test_what_several_filters_found_is_for_all_of_their_kind() -> None:
    one = trial()
    for number, vector in enumerate(VECTORS[:QUERIES]):
        assert one.chosen(SOME) is None
        learn(one, vector, F("n") < number // OF_ONE_FILTER)
    assert one.chosen(SOME) in QUICK


def test_of_one_filter_s_queries_a_few_count_for_others() -> None:
    one = trial()
    for vector in VECTORS[: QUERIES - 1]:
        learn(one, vector, F("n") < 7)
    for number, vector in enumerate(VECTORS[: QUERIES - OF_ONE_FILTER]):
        assert one.chosen(SOME) is None
        learn(one, vector, F("n") < number, lost=dict.fromkeys(QUICK, 1))
    assert one.chosen(SOME) == COMPARE


def test_a_server_is_not_asked_for_more_than_it_allows() -> None:
    kept = Ways()
    assert kept.trial(matches(), most_ef=200).ways == (COMPARE, *QUICK[1:])
    assert kept.trial(matches(), most_ef=50).ways == (COMPARE,)  # strict mode was changed meanwhile


def test_no_more_hits_are_tried_than_a_server_gives(store: Store) -> None:
    store.search(VECTORS[0], exact=True)  # learns the indexes, for which it reads the state
    store.limits.clear()
    state = store.collection.reads.steps.state
    state.now = replace(state.now, limits=StoreLimits(page=10))
    store.search(VECTORS[0], limit=5)
    assert len(store.limits) > 1
    assert max(store.limits) == 10


def test_two_misses_in_all_are_let_pass_and_no_more() -> None:
    for missed, expected in ((2, QUICK[1]), (3, COMPARE)):
        one = trial()
        for number, vector in enumerate(VECTORS[:QUERIES]):
            learn(one, vector, lost={QUICK[0]: 22, QUICK[1]: number < missed})
        assert one.chosen(SOME) == expected


def test_kinds_are_told_apart_by_fields_and_roughly_by_size() -> None:
    kept = Ways()

    def of(**options: Any) -> Trial:
        return kept.trial(matches(**options), most_ef=None)

    one = of()
    assert of(matching=12_000, points=31_000, where=F("n") < 3) is one
    others = [
        of(matching=20_000),
        of(points=90_000),
        of(where=F("year") < 3),
        of(where=SOME & (F("year") < 3)),
        of(few=False),
    ]
    assert len({id(each) for each in (one, *others)}) == 6
    assert of() is one  # none takes another's place
    assert of(few=False) is others[-1]
    kept.forget()
    assert of() is not one


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
    one = filtering.ways.trial(matches(), most_ef=None)
    filtering.learn(state, False)
    assert filtering.ways.trial(matches(), most_ef=None) is one
    filtering.learn(replace(state, **changes), other)
    assert filtering.ways.trial(matches(), most_ef=None) is not one
