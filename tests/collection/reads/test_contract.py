"""What the read path of every store promises: the embedded one, two server versions, gRPC and REST, a cluster."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection.payload import plain_id
from tasb_qdrant.collection.reads.questions import (
    BM25,
    Diverse,
    Fused,
    Lexical,
    Nearest,
    OrderBy,
    PointGroup,
    Query,
    QueryOptions,
    ReadOptions,
    Recommended,
    ScoredPoint,
    Words,
)
from tasb_qdrant.collection.reads.run import AsyncReads, Reads
from tasb_qdrant.errors import CollectionError, RequestRefusedError, SettingsError
from tasb_qdrant.filters import F, Filter
from tasb_qdrant.settings import Transport, store_settings
from tasb_qdrant.steps import StoreSteps
from tests.collection.conftest import server_settings
from tests.collection.reads.world import POINTS, PointId, Stored, World, embedded, on_server, pairs
from tests.qdrant_cluster import QdrantCluster
from tests.qdrant_servers import QdrantServer
from tests.ranking import Ranking, difference, float32_slack, mistake_in_groups

WORLD: Final = World.make()
EXACT: Final = QueryOptions(exact=True)
READ: Final = ReadOptions()
DRAFT: Final = True

_SERVERS: Final[dict[str, tuple[str, Transport]]] = {
    "server 1.16.3 gRPC": ("qdrant_1_16", "grpc"),
    "server 1.17.0 gRPC": ("qdrant_1_17", "grpc"),
    "server 1.17.0 REST": ("qdrant_1_17", "rest"),
}


@pytest.fixture(
    scope="module",
    params=["embedded", *(pytest.param(kind, marks=pytest.mark.server) for kind in (*_SERVERS, "cluster"))],
)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """The world in each store in turn; nobody changes it."""
    if request.param == "embedded":
        with embedded(WORLD, tmp_path_factory.mktemp("reads")) as collection:
            yield collection
        return
    if request.param == "cluster":
        cluster: QdrantCluster = request.getfixturevalue("shared_cluster")
        settings = store_settings(url=cluster.url, grpc_port=cluster.grpc_port, transport="grpc")
        with on_server(WORLD, settings, shard_number=3, replication_factor=2) as opened:
            yield opened
        return
    fixture, transport = _SERVERS[request.param]
    server: QdrantServer = request.getfixturevalue(fixture)
    with on_server(WORLD, server_settings(server, transport)) as opened:
        yield opened


@pytest.fixture
def reads(stored: Stored) -> Reads:
    return stored.reads


def _right(found: list[ScoredPoint], ranking: Ranking[PointId], *, limit: int, offset: int = 0) -> None:
    assert not ranking.mistake([point.id for point in found], limit=limit, offset=offset)
    expected = [ranking.scores[point.id] for point in found]
    assert [point.score for point in found] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def _alike(found: list[ScoredPoint], expected: list[ScoredPoint]) -> None:
    """Two answers to one question: a cluster's replicas need not add up in the same order each time."""
    assert not difference(pairs(found), pairs(expected), tolerance=1e-5)


def _one(reads: Reads, ask: Query, options: QueryOptions = EXACT) -> list[ScoredPoint]:
    (found,) = reads.query([ask], options)
    return found


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fused(()),
        lambda: Fused((WORLD.question(),), weights=(1.0, 2.0)),
        lambda: Fused((WORLD.question(),), weights=(-1.0,)),
        lambda: Fused((WORLD.question(),), weights=(1.0,), method="dbsf"),
        lambda: Fused((WORLD.question(),), k=0),
        lambda: Diverse(WORLD.question(), 1.5),
        lambda: Recommended(()),
        lambda: Recommended((), (1,)),
    ],
)
def test_what_no_store_could_answer_can_not_be_asked(make: Callable[[], Query]) -> None:
    with pytest.raises(SettingsError):
        make()


def test_the_best_points_are_those_of_a_brute_force(reads: Reads) -> None:
    asks = [WORLD.question(seed) for seed in range(5)]
    for ask, found in zip(asks, reads.query(asks, EXACT), strict=True):
        _right(found, WORLD.ranking(ask.vector), limit=10)


def test_no_question_has_no_answer(reads: Reads) -> None:
    assert reads.query([], EXACT) == []


def test_a_thousand_questions_are_answered_in_their_order(reads: Reads) -> None:
    asks = [WORLD.question(seed) for seed in range(1_000)]
    for ask, found in zip(asks, reads.query(asks, replace(EXACT, limit=1, payload=False)), strict=True):
        _right(found, WORLD.ranking(ask.vector), limit=1)


def test_pages_follow_one_another(reads: Reads) -> None:
    ask = WORLD.question()
    pages = [_one(reads, ask, replace(EXACT, limit=7, offset=offset)) for offset in range(0, 28, 7)]
    _right([point for page in pages for point in page], WORLD.ranking(ask.vector), limit=28)
    assert _one(reads, ask, replace(EXACT, offset=POINTS)) == []


def test_points_below_the_threshold_are_left_out(reads: Reads) -> None:
    ask = WORLD.question()
    ranking = WORLD.ranking(ask.vector)
    _right(_one(reads, ask, replace(EXACT, score_threshold=ranking.between(4))), ranking, limit=5)


MATCHES: Final[dict[str, tuple[Filter, Callable[[Mapping[str, Any]], bool]]]] = {
    "keyword": (F("lang") == "de", lambda payload: payload["lang"] == "de"),
    "range": (F("year") >= 1995, lambda payload: payload.get("year", 0) >= 1995),
    "and not": (
        (F("draft") == DRAFT) & ~(F("lang") == "en"),
        lambda payload: payload["draft"] and payload["lang"] != "en",
    ),
}


@pytest.mark.parametrize("kind", MATCHES)
def test_a_filter_holds_for_every_kind_of_question(reads: Reads, kind: str) -> None:
    where, matches = MATCHES[kind]
    options = replace(EXACT, where=where, limit=20)
    nearest, lexical = WORLD.question(), WORLD.words_asked()
    positive = (WORLD.ids[1],)
    asks: list[Query] = [nearest, lexical, Fused((nearest, lexical)), Diverse(nearest, 0.5), Recommended(positive)]
    allowed = {each for each, payload in zip(WORLD.ids, WORLD.payloads, strict=True) if matches(payload)}
    for found in reads.query(asks, options):
        assert found
        assert {point.id for point in found} <= allowed
    _right(reads.query(asks, options)[0], WORLD.ranking(nearest.vector).among(allowed), limit=20)


def test_payload_and_vectors_come_as_they_are_asked_for(reads: Reads) -> None:
    nearest, lexical = WORLD.question(), WORLD.words_asked()
    for ask in (nearest, lexical, Fused((nearest, lexical)), Diverse(nearest, 0.3)):
        (whole,) = _one(reads, ask, replace(EXACT, limit=1, vectors=True))
        row = WORLD.ids.index(whole.id)
        assert whole.payload == WORLD.payloads[row]
        assert whole.vector is not None
        assert whole.vector.dtype == np.float32
        np.testing.assert_array_equal(whole.vector, WORLD.vectors[row])
        (bare,) = _one(reads, ask, replace(EXACT, limit=1, payload=False))
        assert (bare.id, bare.payload, bare.vector) == (whole.id, None, None)
        (part,) = _one(reads, ask, replace(EXACT, limit=1, payload=("lang", "source.name")))
        assert part.payload == {"lang": WORLD.payloads[row]["lang"], "source": WORLD.payloads[row]["source"]}


def _depth_lists(reads: Reads, ask: Fused, options: QueryOptions = EXACT) -> list[list[tuple[PointId, float]]]:
    parts = reads.query(list(ask.prefetch), replace(options, limit=ask.depth, payload=False))
    return [sorted(pairs(part), key=lambda scored: (-scored[1], _id_order(scored[0]))) for part in parts]


def _id_order(point_id: PointId) -> tuple[bool, Any]:
    return isinstance(point_id, str), point_id


def _fused(ask: Fused, lists: list[list[tuple[PointId, float]]]) -> Ranking[PointId]:
    """A reference: Qdrant's formulas, written once more, in numpy."""
    scores: dict[PointId, float] = defaultdict(float)
    for points, weight in zip(lists, ask.weights or [1.0] * len(lists), strict=True):
        if ask.method == "rrf":
            parts = 1 / ((np.arange(len(points)) + 1) / weight + (ask.k or 2) - 1)
        else:
            raw = np.array([score for _, score in points])
            parts = (raw - (raw.mean() - 3 * raw.std(ddof=1))) / (6 * raw.std(ddof=1))
        for (each, _), part in zip(points, parts, strict=True):
            scores[each] += float(part)
    return Ranking(scores, slack=FUSED_SLACK)


FUSED_SLACK: Final = 1e-6
"""Of fused scores, which are sums of two or three numbers of at most 3, and float32 where a server fuses."""

FUSIONS: Final = [
    Fused((WORLD.question(), WORLD.words_asked())),
    Fused((WORLD.question(), WORLD.words_asked()), k=60, depth=30),
    Fused((WORLD.question(), WORLD.words_asked()), weights=(3.0, 0.5), depth=20),
    Fused((WORLD.question(), WORLD.question(1), WORLD.words_asked()), method="dbsf", depth=40),
]


@pytest.mark.parametrize("ask", FUSIONS, ids=["rrf", "rrf k=60", "rrf weighted", "dbsf"])
def test_fusion_is_that_of_the_reference(reads: Reads, ask: Fused) -> None:
    ranking = _fused(ask, _depth_lists(reads, ask))
    whole = _one(reads, ask, replace(EXACT, limit=15))
    _right(whole, ranking, limit=15)
    _alike(_one(reads, ask, replace(EXACT, limit=5, offset=5)), whole[5:10])
    rank = next(rank for rank in range(6, 15) if ranking.score_at(rank) - ranking.score_at(rank + 1) > 2 * FUSED_SLACK)
    found = _one(reads, ask, replace(EXACT, limit=15, score_threshold=ranking.between(rank)))
    _alike(found, whole[: rank + 1])
    for one, other in pairwise(whole):
        assert one.score > other.score or _id_order(one.id) < _id_order(other.id)


def test_fusion_is_that_of_the_servers_own(qdrant_1_17: QdrantServer) -> None:
    exact = models.SearchParams(exact=True)
    with on_server(WORLD, server_settings(qdrant_1_17)) as collection:
        client = QdrantClient(url=qdrant_1_17.url, check_compatibility=False)
        for ask in FUSIONS:
            rrf = models.RrfQuery(rrf=models.Rrf(k=ask.k or 2, weights=None if ask.weights is None else [*ask.weights]))
            answer = client.query_points(
                collection.name,
                prefetch=[_prefetch(part, ask.depth, exact) for part in ask.prefetch],
                query=rrf if ask.method == "rrf" else models.FusionQuery(fusion=models.Fusion.DBSF),
                limit=POINTS,
            )
            own = {plain_id(point.id): point.score for point in answer.points}
            found = pairs(_one(collection.reads, ask, replace(EXACT, limit=20, payload=False)))
            assert [score for _, score in found] == pytest.approx([own[each] for each, _ in found], rel=1e-4)
            assert [score for _, score in found] == pytest.approx(sorted(own.values(), reverse=True)[:20], rel=1e-4)
        client.close()


def _prefetch(part: Nearest | Lexical | Words, depth: int, params: models.SearchParams) -> models.Prefetch:
    if isinstance(part, Nearest):
        return models.Prefetch(query=part.vector.tolist(), limit=depth, params=params)
    assert isinstance(part, Lexical)
    words = models.SparseVector(indices=part.indices.tolist(), values=part.values.tolist())
    return models.Prefetch(query=words, using=BM25, limit=depth, params=params)


@pytest.mark.parametrize("diversity", [0.0, 0.3, 1.0])
def test_diverse_points_are_those_of_maximal_marginal_relevance(reads: Reads, diversity: float) -> None:
    ask = WORLD.question()
    found = _one(reads, Diverse(ask, diversity, candidates=25), replace(EXACT, limit=8))
    _marginal(found, WORLD.ranking(ask.vector), diversity, candidates=25)
    paged = _one(reads, Diverse(ask, diversity, candidates=25), replace(EXACT, limit=4, offset=3))
    _alike(paged, found[3:7])


def _marginal(found: list[ScoredPoint], ranking: Ranking[PointId], diversity: float, *, candidates: int) -> None:
    """Each point has the largest gain of those that were left, as far as float32 can tell."""
    least = ranking.between(candidates - 1)
    left = {each: score for each, score in ranking.scores.items() if score > least}
    vectors = {each: WORLD.vectors[WORLD.ids.index(each)].astype(np.float64) for each in left}
    longest = max(left, key=lambda each: float(np.linalg.norm(vectors[each])))
    slack = ranking.slack + float32_slack(vectors[longest], WORLD.vectors)
    chosen: list[PointId] = []
    assert len(found) == 8
    for point in found:
        gains = {
            each: (1 - diversity) * score - diversity * max(float(vectors[each] @ vectors[other]) for other in chosen)
            if chosen
            else score
            for each, score in left.items()
        }
        assert point.score == pytest.approx(ranking.scores[point.id], rel=1e-4, abs=1e-5)
        assert gains[point.id] >= max(gains.values()) - slack
        chosen.append(point.id)
        del left[point.id]


def _like(ask: Recommended) -> Ranking[PointId]:
    """What the strategies say, by brute force."""

    def vector(example: Any) -> np.ndarray[Any, Any]:
        return example if isinstance(example, np.ndarray) else WORLD.vectors[WORLD.ids.index(example)]

    stored = WORLD.vectors.astype(np.float64)
    positive = np.array([vector(each) for each in ask.positive], np.float64).reshape(-1, stored.shape[1])
    negative = np.array([vector(each) for each in ask.negative], np.float64).reshape(-1, stored.shape[1])
    to_positive, to_negative = stored @ positive.T, stored @ negative.T
    # Of all strategies: each is a sum of products with the examples, or is flatter than their greatest.
    slack = 2 * sum(float32_slack(example, stored) for example in (*positive, *negative))
    if ask.strategy == "average_vector":
        mean = positive.mean(axis=0)
        scores = stored @ (2 * mean - negative.mean(axis=0) if len(negative) else mean)
    elif ask.strategy == "sum_scores":
        scores = to_positive.sum(axis=1) - to_negative.sum(axis=1)
    else:
        best = to_positive.max(axis=1, initial=-np.inf)
        worst = to_negative.max(axis=1, initial=-np.inf)
        squashed = [0.5 * (b / (1 + abs(b)) + 1) if math.isfinite(b) else -math.inf for b in best]
        against = [0.5 * (w / (1 + abs(w)) + 1) if math.isfinite(w) else -math.inf for w in worst]
        scores = np.array([b if b > w else -w for b, w in zip(squashed, against, strict=True)])
    examples = {each for each in (*ask.positive, *ask.negative) if not isinstance(each, np.ndarray)}
    return Ranking(dict(zip(WORLD.ids, scores.tolist(), strict=True)), slack).among(set(WORLD.ids) - examples)


@pytest.mark.parametrize("strategy", ["average_vector", "best_score", "sum_scores"])
def test_recommended_points_are_like_the_examples_which_are_not_among_them(reads: Reads, strategy: Any) -> None:
    by_id = Recommended((WORLD.ids[1], WORLD.ids[3]), (WORLD.ids[5],), strategy)
    by_vector = Recommended((WORLD.vectors[1], WORLD.ids[3]), (WORLD.vectors[5],), strategy)
    alone = Recommended((WORLD.ids[6],), (), strategy)
    for ask in (by_id, by_vector, alone):
        _right(_one(reads, ask), _like(ask), limit=10)


def test_an_example_that_is_not_there_is_refused_by_name(reads: Reads) -> None:
    with pytest.raises(RequestRefusedError, match="4000000"):
        _one(reads, Recommended((4_000_000,)))


def _shape(groups: list[PointGroup]) -> list[tuple[Any, list[PointId]]]:
    return [(group.value, [point.id for point in group.points]) for group in groups]


@pytest.mark.parametrize(
    ("by", "limit", "size"), [("lang", 4, 3), ("tags", 5, 2), ("source.name", 25, 4), ("mixed", 9, 2)]
)
def test_groups_are_those_of_a_brute_force(reads: Reads, by: str, limit: int, size: int) -> None:
    ask = WORLD.question()
    ranking = WORLD.ranking(ask.vector)
    found = reads.query_groups(ask, replace(EXACT, limit=limit), by=by, size=size)
    assert not mistake_in_groups(ranking, WORLD.values(by), _shape(found), limit=limit, size=size)
    best = [group.points[0].score for group in found]
    assert best == sorted(best, reverse=True)
    first = found[0].points[0]
    assert first.payload == WORLD.payloads[WORLD.ids.index(first.id)]


def test_groups_keep_to_the_filter_the_offset_and_what_is_to_be_shown(reads: Reads) -> None:
    ask = WORLD.question()
    rows = WORLD.rows(draft=True)
    options = replace(EXACT, limit=2, offset=1, where=F("draft") == DRAFT, payload=("number",), vectors=True)
    found = reads.query_groups(ask, options, by="lang", size=2)
    ranking = WORLD.ranking(ask.vector, rows)
    assert not mistake_in_groups(ranking, WORLD.values("lang"), _shape(found), limit=2, size=2, offset=1)
    point = found[0].points[0]
    row = WORLD.ids.index(point.id)
    assert point.payload == {"number": WORLD.payloads[row]["number"]}
    np.testing.assert_array_equal(point.vector, WORLD.vectors[row])


def test_groups_are_those_of_the_servers_own(qdrant_server: QdrantServer) -> None:
    ask = WORLD.question()
    exact = models.SearchParams(exact=True)
    with on_server(WORLD, server_settings(qdrant_server)) as collection:
        client = QdrantClient(url=qdrant_server.url, check_compatibility=False)
        for by in ("lang", "source.name", "mixed"):
            answer = client.query_points_groups(
                collection.name, by, query=ask.vector.tolist(), limit=9, group_size=3, search_params=exact
            )
            own = [(group.id, [hit.id for hit in group.hits]) for group in answer.groups]
            found = _shape(collection.reads.query_groups(ask, replace(EXACT, limit=9), by=by, size=3))
            # A server leaves groups that share their best point in any order.
            assert sorted(found, key=str) == sorted(own, key=str)
        client.close()


@pytest.mark.parametrize("kind", ["lexical", "fused", "diverse", "recommended"])
def test_every_kind_of_question_can_be_grouped(reads: Reads, kind: str) -> None:
    nearest, lexical = WORLD.question(), WORLD.words_asked()
    asks: dict[str, Query] = {
        "lexical": lexical,
        "fused": Fused((nearest, lexical), depth=POINTS),
        "diverse": Diverse(nearest, 0.5, candidates=POINTS),
        "recommended": Recommended((WORLD.ids[1],)),
    }
    ask = asks[kind]
    listed = [point.id for point in _one(reads, ask, replace(EXACT, limit=POINTS, payload=False))]
    found = reads.query_groups(ask, replace(EXACT, limit=3), by="lang", size=2)
    assert _shape(found) == WORLD.grouped(listed, "lang", 3, 2)


@pytest.mark.parametrize("field", ["lang", "tags", "year", "draft"])
def test_facets_count_the_points_of_each_value(reads: Reads, field: str) -> None:
    where = F("number") < 200
    for condition, payloads in ((None, WORLD.payloads), (where, WORLD.payloads[:200])):
        counted: Counter[Any] = Counter()
        for payload in payloads:
            value = payload.get(field)
            counted.update(value if isinstance(value, list) else [] if value is None else [value])
        found = reads.facet(field, where=condition, limit=50, exact=True, read=READ)
        expected = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        assert [(facet.value, facet.count) for facet in found] == expected
        assert [type(facet.value) for facet in found] == [type(value) for value, _ in expected]


def test_a_facet_of_a_field_without_an_index_says_which_one_to_make(reads: Reads) -> None:
    with pytest.raises(RequestRefusedError, match="collection index add number:keyword"):
        reads.facet("number", where=None, limit=5, exact=True, read=READ)


def _scroll(reads: Reads, **options: Any) -> Any:
    given = {"where": None, "start": None, "order": None, "limit": 50, "payload": False, "vectors": False, "read": READ}
    return reads.scroll(**(given | options))


def test_scrolling_visits_every_match_once_in_the_order_of_ids(reads: Reads) -> None:
    where = F("lang") == "en"
    seen: list[PointId] = []
    start: PointId | None = None
    while True:
        page = _scroll(reads, where=where, start=start, limit=17)
        seen += [point.id for point in page.points]
        if (start := page.following) is None:
            break
    assert seen == sorted((WORLD.ids[row] for row in WORLD.rows(lang="en")), key=_id_order)
    page = _scroll(reads, payload=True, vectors=True, limit=1)
    row = WORLD.ids.index(page.points[0].id)
    assert page.points[0].payload == WORLD.payloads[row]
    np.testing.assert_array_equal(page.points[0].vector, WORLD.vectors[row])


@pytest.mark.parametrize(("field", "descending"), [("year", False), ("year", True), ("price", False), ("day", True)])
def test_scrolling_in_an_order_goes_on_from_the_last_value(reads: Reads, field: str, descending: bool) -> None:
    seen: list[PointId] = []
    values: list[float] = []
    last: int | float | None = None
    where: Any = None
    while True:
        page = _scroll(reads, order=OrderBy(field, descending=descending, start_from=last), where=where, limit=70)
        assert page.following is None
        if not page.points:
            break
        seen += [point.id for point in page.points]
        values += page.order_values
        assert len(page.order_values) == len(page.points)
        last = values[-1]
        where = models.Filter(must_not=[models.HasIdCondition(has_id=list(seen))])
    assert len(seen) == len(set(seen))
    expected = {each: _sorted_by(p[field]) for each, p in zip(WORLD.ids, WORLD.payloads, strict=True) if field in p}
    assert set(seen) == expected.keys()
    assert values == [expected[each] for each in seen] == sorted(values, reverse=descending)


def _sorted_by(value: Any) -> Any:
    """A date counts as microseconds since 1970."""
    return round(datetime.fromisoformat(value).timestamp() * 1e6) if isinstance(value, str) else value


def test_an_order_without_an_index_says_which_one_to_make(reads: Reads) -> None:
    with pytest.raises(RequestRefusedError, match="collection index add number:integer"):
        _scroll(reads, order=OrderBy("number"))


def test_points_are_retrieved_in_the_order_of_their_ids_without_those_that_are_not_there(reads: Reads) -> None:
    wanted = [WORLD.ids[9], 4_000_000, WORLD.ids[2], WORLD.ids[0], WORLD.ids[9]]
    found = reads.retrieve(wanted, payload=("number",), vectors=True, read=READ)
    assert [(point.id, point.score) for point in found] == [(WORLD.ids[n], 0.0) for n in (9, 2, 0, 9)]
    assert [point.payload for point in found] == [{"number": n} for n in (9, 2, 0, 9)]
    np.testing.assert_array_equal(found[1].vector, WORLD.vectors[2])
    assert reads.retrieve([], payload=True, vectors=False, read=READ) == []


def test_counts_are_of_what_matches(reads: Reads) -> None:
    assert reads.count(None, exact=True, read=READ) == POINTS
    assert reads.count(F("lang") == "de", exact=True, read=READ) == len(WORLD.rows(lang="de"))
    assert 0 <= reads.count(F("lang") == "de", exact=False, read=READ) <= POINTS


def test_indexes_and_samples_are_there_for_checking_filters(reads: Reads) -> None:
    indexes = reads.run(reads.steps.filtering.indexes(frozenset({"lang", "number"})))
    assert (indexes["lang"], indexes["year"], "number" in indexes) == ("keyword", "integer", False)
    assert all(payload in WORLD.payloads for payload in reads.sample(5))
    assert len(reads.sample(5)) == 5


@pytest.mark.parametrize("consistency", [1, "majority", "quorum", "all"])
def test_replicas_may_be_told_to_agree(reads: Reads, consistency: Any) -> None:
    read = ReadOptions(timeout=10, consistency=consistency)
    ask = WORLD.question()
    _right(_one(reads, ask, replace(EXACT, read=read)), WORLD.ranking(ask.vector), limit=10)
    assert reads.count(None, exact=True, read=read) == POINTS
    assert len(reads.facet("lang", where=None, limit=9, exact=True, read=read)) == 4
    assert len(_scroll(reads, read=read).points) == 50
    assert len(reads.retrieve(WORLD.ids[:3], payload=False, vectors=False, read=read)) == 3
    assert len(reads.query_groups(ask, replace(EXACT, read=read, limit=2), by="lang", size=1)) == 2


def test_awaited_reads_say_the_same(stored: Stored) -> None:
    nearest, lexical = WORLD.question(), WORLD.words_asked()
    asks: list[Query] = [
        nearest,
        lexical,
        Fused((nearest, lexical), weights=(2.0, 1.0)),
        Diverse(nearest, 0.4),
        Recommended((WORLD.ids[1],)),
    ]
    options = replace(EXACT, where=F("year") >= 1992, payload=("number",))
    many = [WORLD.question(seed) for seed in range(200)]

    async def ask() -> list[Any]:
        reads, steps = stored.async_reads(), stored.reads.steps
        parts: list[StoreSteps[Any]] = [
            steps.query(asks, options),
            steps.query(many, replace(EXACT, payload=False, limit=1)),
            steps.query_groups(nearest, options, by="lang", size=2),
            steps.facet("tags", limit=3),
            steps.scroll(order=OrderBy("year"), limit=5, payload=False),
            steps.retrieve(WORLD.ids[:3]),
            steps.count(),
            steps.filtering.indexes(frozenset({"lang"})),
            steps.sample(2),
        ]
        try:
            return await asyncio.gather(*map(reads.run, parts))
        finally:
            await reads.aclose()

    reads = stored.reads
    answers = asyncio.run(ask())
    for found, expected in zip(answers[0], reads.query(asks, options), strict=True):
        _alike(found, expected)
        payloads = {point.id: point.payload for point in expected}
        assert all(payloads.get(point.id, point.payload) == point.payload for point in found)
    for each, found in zip(many, answers[1], strict=True):
        _right(found, WORLD.ranking(each.vector), limit=1)
    assert _shape(answers[2]) == _shape(reads.query_groups(nearest, options, by="lang", size=2))
    assert answers[3] == reads.facet("tags", where=None, limit=3, exact=True, read=READ)
    assert answers[4].order_values == _scroll(reads, order=OrderBy("year"), limit=5).order_values
    assert [point.payload for point in answers[5]] == WORLD.payloads[:3]
    assert answers[6] == POINTS
    assert answers[7] == reads.run(reads.steps.filtering.indexes(frozenset({"lang"})))
    assert answers[8] == reads.sample(2)


def test_many_threads_may_read_at_once(reads: Reads) -> None:
    asks = [WORLD.question(seed) for seed in range(64)]
    where = F("lang") == "en"
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda ask: _one(reads, ask, replace(EXACT, where=where, limit=3)), asks))
    rows = WORLD.rows(lang="en")
    for ask, found in zip(asks, answers, strict=True):
        _right(found, WORLD.ranking(ask.vector, rows), limit=3)


def test_many_may_await_their_reads_at_once(stored: Stored) -> None:
    asks = [WORLD.question(seed) for seed in range(64)]

    async def ask() -> list[list[list[ScoredPoint]]]:
        reads = stored.async_reads()
        try:
            return await asyncio.gather(
                *(reads.run(stored.reads.steps.query([each], replace(EXACT, limit=3))) for each in asks)
            )
        finally:
            await reads.aclose()

    for each, (found,) in zip(asks, asyncio.run(ask()), strict=True):
        _right(found, WORLD.ranking(each.vector), limit=3)


def test_a_closed_collection_is_no_empty_one(stored: Stored, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of another collection, since this module's own is needed."""
    if stored.location.startswith("http"):
        from tasb_qdrant.collection.server.store import ServerStore

        settings = stored._settings  # type: ignore[union-attr]  # a server's has them
        closing: Any = ServerStore(settings).open(stored.name, own_store=True)
    else:
        closing = embedded(WORLD, tmp_path_factory.mktemp("closed"))
    with closing as opened:
        waiting: Reads = opened.reads
        awaited: AsyncReads = opened.async_reads()
    with pytest.raises(CollectionError, match="closed"):
        _one(waiting, WORLD.question())
    with pytest.raises(CollectionError, match="closed"):
        asyncio.run(awaited.run(opened.reads.steps.query([WORLD.question()], EXACT)))
