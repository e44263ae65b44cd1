"""Hits ranked anew by a formula: on every store what a plain computation gives, and Qdrant's own formula queries."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import qdrant_edge as edge
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from tasb_qdrant import AsyncSearcher, F, Hit, Passage, Searcher, ingest
from tasb_qdrant.collection.edge.files import shard_folder
from tasb_qdrant.collection.reads.questions import ScoredPoint
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.search.boost import Boost
from tasb_qdrant.search.options import Mode
from tasb_qdrant.settings import CollectionSettings
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

NOW: Final = datetime.now(UTC)
AIM: Final = datetime(2025, 6, 1, tzinfo=UTC)
DAY: Final = 86_400.0
QUERY: Final = "what bees dance"
KINDS: Final = ("news", "blog", "an odd kind")


def _payload(number: int) -> dict[str, Any]:
    """Some passages lack each field."""
    fields: dict[str, Any] = {
        "published": (NOW - timedelta(days=number)).isoformat(),
        "pages": number % 7,
        "odd name": number,
        "author": {"rank": number % 3},
        "kind": [KINDS[number % 3]] if number % 2 else KINDS[number % 3],
    }
    return {name: value for index, (name, value) in enumerate(fields.items()) if (number + index) % 11}


PAYLOADS: Final = {str(number): _payload(number) for number in range(80)}


@dataclass(frozen=True)
class Home:
    """A store with the passages in it."""

    options: dict[str, Any]
    name: str
    server: QdrantServer | None

    def elsewhere(self) -> dict[str, Any]:
        """The options of another opener: the embedded store has one at a time, so that it gets a copy."""
        if self.server is not None:
            return self.options
        copy = Path(f"{self.options['path']}-copy")
        if not copy.exists():
            shutil.copytree(self.options["path"], copy)
        return {"path": copy}

    def theirs(self, formula: Any, defaults: dict[str, Any]) -> list[tuple[int, float]]:
        """Points and scores of Qdrant's own formula query over all points."""
        vector = StubEncoder().encode_queries([QUERY])[0].tolist()
        if self.server is None:
            shard = edge.EdgeShard.load(str(shard_folder(self.elsewhere()["path"] / self.name)))
            request = edge.QueryRequest(
                prefetches=[edge.Prefetch(query=edge.Query.Nearest(vector), limit=100)],
                query=edge.Formula(formula(_Edge), defaults),
                limit=100,
            )
            found: list[tuple[Any, float]] = [(point.id, point.score) for point in shard.query(request)]
            shard.close()
            return found
        client = QdrantClient(url=self.server.url, check_compatibility=False)
        answer = client.query_points(
            self.name,
            prefetch=models.Prefetch(query=vector, limit=100),
            query=models.FormulaQuery(formula=formula(_Client), defaults=defaults),
            limit=100,
        )
        client.close()
        return [(int(point.id), point.score) for point in answer.points]


class _Client:
    """qdrant-client's expressions."""

    @staticmethod
    def mult(*parts: Any) -> Any:
        return models.MultExpression(mult=list(parts))

    @staticmethod
    def add(*parts: Any) -> Any:
        return models.SumExpression(sum=list(parts))

    @staticmethod
    def decay(kind: str, field: str, *, scale: float, midpoint: float) -> Any:
        params = models.DecayParamsExpression(
            x=models.DatetimeKeyExpression(datetime_key=field),
            target=models.DatetimeExpression(datetime=AIM.isoformat()),
            scale=scale,
            midpoint=midpoint,
        )
        kinds: Any = {
            "exp": lambda: models.ExpDecayExpression(exp_decay=params),
            "gauss": lambda: models.GaussDecayExpression(gauss_decay=params),
            "lin": lambda: models.LinDecayExpression(lin_decay=params),
        }
        return kinds[kind]()

    @staticmethod
    def constant(number: float) -> Any:
        return number

    @staticmethod
    def variable(name: str) -> Any:
        return name


class _Edge:
    """The embedded engine's."""

    @staticmethod
    def mult(*parts: Any) -> Any:
        return edge.Expression.Mult(list(parts))

    @staticmethod
    def add(*parts: Any) -> Any:
        return edge.Expression.Sum(list(parts))

    @staticmethod
    def decay(kind: str, field: str, *, scale: float, midpoint: float) -> Any:
        kinds = {"exp": edge.DecayKind.Exp, "gauss": edge.DecayKind.Gauss, "lin": edge.DecayKind.Lin}
        x, now = edge.Expression.DatetimeKey(field), edge.Expression.Datetime(AIM.isoformat())
        return edge.Expression.Decay(kinds[kind], x, now, midpoint, scale)

    @staticmethod
    def constant(number: float) -> Any:
        return edge.Expression.Constant(number)

    @staticmethod
    def variable(name: str) -> Any:
        return edge.Expression.Variable(name)


STORES: Final = [
    "embedded",
    *(pytest.param(each, marks=pytest.mark.server) for each in ("1.16.3 grpc", "1.17.0 grpc", "1.17.0 rest")),
]


@pytest.fixture(scope="module", params=STORES)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    server: QdrantServer | None = None
    options: dict[str, Any] = {"path": tmp_path_factory.mktemp("boost")}
    if request.param != "embedded":
        version, transport = request.param.split()
        server = request.getfixturevalue({"1.16.3": "qdrant_1_16", "1.17.0": "qdrant_1_17"}[version])
        options = {"url": server.url, "grpc_port": server.grpc_port, "transport": transport}
    name = fresh_name()
    passages = [Passage(each, f"bees dance {each}", payload=payload) for each, payload in PAYLOADS.items()]
    indexes = CollectionSettings(indexes={"published": "datetime", "pages": "integer"})
    ingest(passages, collection=name, encoder=StubEncoder(), settings=indexes, bm25=True, **options)
    return Home(options, name, server)


@pytest.fixture(scope="module")
def searcher(home: Home) -> Iterator[Searcher]:
    with Searcher(home.name, encoder=StubEncoder(), **home.options) as opened:
        yield opened


def age(payload: dict[str, Any]) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(payload["published"])).total_seconds() / DAY


FORMULAS: Final[dict[str, Callable[[float, dict[str, Any]], float]]] = {
    "score * 2 + 1": lambda score, _: score * 2 + 1,
    "-score": lambda score, _: -score,
    "score + 0.25 * pages": lambda score, p: score + 0.25 * p.get("pages", 0),
    "score / (1 + author.rank) ** 2": lambda score, p: score / (1 + p.get("author", {}).get("rank", 0)) ** 2,
    'score + missing(field("odd name"), -3)': lambda score, p: score + p.get("odd name", -3),
    "min(max(pages, 2), 5) + score": lambda score, p: min(max(p.get("pages", 0), 2), 5) + score,
    "ln(1 + pages) + sqrt(abs(score)) + exp(-pages) + log10(1 + pages)": lambda score, p: (
        math.log(1 + p.get("pages", 0)) + abs(score) ** 0.5 + math.exp(-p.get("pages", 0))
        + math.log10(1 + p.get("pages", 0))
    ),
    'score * weight(kind, {"news": 2, "an odd kind": 0.5}, missing=0.9)': lambda score, p: (
        score * {"news": 2, "an odd kind": 0.5}.get(str(p.get("kind", "")).strip("[']"), 0.9)
    ),
    "score * weight(pages, {3: 10})": lambda score, p: score * (10 if p.get("pages") == 3 else 1),
    'score + exp_decay(published, scale="30 days")': lambda score, p: (
        score + (0.5 ** (age(p) / 30) if "published" in p else 0)
    ),
    'score + gauss_decay(published, scale="4 weeks", midpoint=0.2, missing=0.3)': lambda score, p: (
        score + (0.2 ** ((age(p) / 28) ** 2) if "published" in p else 0.3)
    ),
    'score + lin_decay(published, scale="960 hours", target="now")': lambda score, p: (
        score + (max(0, 1 - age(p) / 80) if "published" in p else 0)
    ),
    "exp_decay(pages, target=3, scale=2)": lambda _, p: 0.5 ** (abs(p["pages"] - 3) / 2) if "pages" in p else 0,
}  # fmt: skip


def expected(searcher: Searcher, compute: Callable[[float, dict[str, Any]], float]) -> list[tuple[str, float]]:
    plain = searcher.search(QUERY, limit=80, exact=True)
    assert len(plain) == 80
    scores = [(hit.id, compute(hit.score, PAYLOADS[hit.id])) for hit in plain]
    return sorted(scores, key=lambda each: (-each[1], int(each[0])))


def close(found: list[Hit], wanted: list[tuple[str, float]]) -> None:
    """The same scores at each rank, and the same passage but where others are as good: `now` passes on."""
    by_id = dict(wanted)
    assert len(found) == len(wanted) == len({hit.id for hit in found})
    for hit, (_, score) in zip(found, wanted, strict=True):
        assert hit.score == pytest.approx(score, abs=1e-4)
        assert by_id[hit.id] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("formula", FORMULAS)
def test_scores_are_those_of_a_plain_computation(searcher: Searcher, formula: str) -> None:
    wanted = expected(searcher, FORMULAS[formula])
    found = searcher.search(QUERY, limit=80, exact=True, boost=formula)
    close(found, wanted)
    assert found[0].text == f"bees dance {found[0].id}"
    close([*searcher.search(QUERY, limit=7, offset=5, exact=True, boost=formula)], wanted[5:12])


def _decaying(kind: str, build: Any) -> Any:
    return build.decay(kind, "published", scale=600 * DAY, midpoint=0.3)


THEIRS: Final[dict[str, tuple[Callable[[Any], Any], dict[str, Any]]]] = {
    "score * 2 + 1": (lambda x: x.add(x.mult(x.variable("$score"), x.constant(2.0)), x.constant(1.0)), {}),
    "score + 0.25 * pages": (
        lambda x: x.add(x.variable("$score"), x.mult(x.constant(0.25), x.variable("pages"))),
        {"pages": 0},
    ),
    **{
        f'{kind}_decay(published, scale="600 days", midpoint=0.3, target="2025-06-01")': (
            partial(_decaying, kind),
            {"published": AIM.isoformat()},
        )
        for kind in ("exp", "gauss", "lin")
    },
}


@pytest.mark.parametrize("formula", THEIRS)
def test_qdrants_own_formula_queries_say_the_same(home: Home, formula: str) -> None:
    build, defaults = THEIRS[formula]
    theirs = dict(home.theirs(build, defaults))
    # Theirs takes a date for one that is missing: 1 for a decay.
    with Searcher(home.name, encoder=StubEncoder(), **home.elsewhere()) as opened:
        ours = opened.search(QUERY, limit=80, exact=True, boost=formula.replace("midpoint", "missing=1, midpoint"))
    assert len(ours) == len(theirs) == 80
    for hit in ours:
        assert hit.score == pytest.approx(theirs[int(hit.id)], abs=2e-4)


def test_equal_scores_come_in_the_order_of_ids_and_pages_are_parts_of_one_list(searcher: Searcher) -> None:
    whole = [hit.id for hit in searcher.search(QUERY, limit=80, boost="pages")]
    by_pages: dict[int, list[int]] = {}
    for each in whole:
        by_pages.setdefault(PAYLOADS[each].get("pages", 0), []).append(int(each))
    assert list(by_pages) == sorted(by_pages, reverse=True)
    assert all(ids == sorted(ids) for ids in by_pages.values())
    paged = [hit.id for page in searcher.search_pages(QUERY, page_size=9, boost="pages") for hit in page]
    assert paged == whole
    cut = [
        hit.id for start in range(0, 80, 16) for hit in searcher.search(QUERY, limit=16, offset=start, boost="pages")
    ]
    assert cut == whole


def test_documents_and_groups_come_by_their_best_passage(searcher: Searcher) -> None:
    found = searcher.search(QUERY, limit=3, boost="pages + score / 1000", best_per="pages")
    assert [hit.payload["pages"] for hit in found] == [6, 5, 4]
    groups = searcher.search_groups(QUERY, by="pages", group_size=2, limit=2, boost="-pages + score / 1000")
    assert [group.value for group in groups] == [0, 1]
    assert all(len(group.hits) == 2 and group.hits[0].score >= group.hits[1].score for group in groups)
    assert groups[0].hits[0].text


def test_a_threshold_a_filter_and_a_selection_are_for_what_was_ranked_anew(searcher: Searcher) -> None:
    found = searcher.search(QUERY, limit=80, boost="pages", score_threshold=5, where=F("pages") < 6, with_payload=False)
    assert {hit.score for hit in found} == {5.0}
    assert all(not hit.payload and hit.text for hit in found)
    (first, *_) = searcher.search(QUERY, boost="pages", with_payload=["kind"], with_vectors=True, with_text=False)
    assert set(first.payload) <= {"kind"}
    assert first.vector is not None


def test_words_and_both_lists_can_be_ranked_anew(searcher: Searcher) -> None:
    for mode in set(get_args(Mode)) - {"dense"}:
        plain = {hit.id: hit.score for hit in searcher.search(QUERY, mode=mode, limit=80, depth=80)}
        found = searcher.search(QUERY, mode=mode, limit=80, depth=80, boost="score * (1 + pages)")
        assert {hit.id: hit.score for hit in found} == pytest.approx(
            {each: score * (1 + PAYLOADS[each].get("pages", 0)) for each, score in plain.items()}
        )


def test_the_asynchronous_searcher_and_batches_do_the_same(home: Home) -> None:
    async def ask() -> list[str]:
        async with AsyncSearcher(home.name, encoder=StubEncoder(), **home.elsewhere()) as opened:
            return [hit.id for hit in await opened.search(QUERY, limit=5, boost="pages")]

    found = asyncio.run(ask())
    with Searcher(home.name, encoder=StubEncoder(), cache_size=8, **home.elsewhere()) as opened:
        batch = opened.search_batch([QUERY, "bees"], limit=5, boost="pages")
        assert [hit.id for hit in batch[0]] == found == [hit.id for hit in batch[1]]
        assert [hit.id for hit in opened.search(QUERY, limit=5, boost="-pages")] != found  # not what the cache has


def test_fields_that_nobody_has_are_warned_of(searcher: Searcher) -> None:
    with pytest.warns(UserWarning, match="popularity"):
        hits = searcher.search(QUERY, boost="score + popularity")
    assert hits.warnings


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("", "boost is a formula"),
        ("score *", "can't be read"),
        ("__import__('os')", "isn't understood"),
        ("score if pages else 1", "isn't understood"),
        ("score and 1", "isn't understood"),
        ("[score]", "isn't understood"),
        ("True", "isn't understood"),
        ("'text'", "isn't understood"),
        ("score()", "isn't understood"),
        ("min(score)", "isn't understood"),
        ("sqrt(score, 2)", "isn't understood"),
        ("exp_decay(published, size=3)", "isn't understood"),
        ("exp_decay(score + 1)", "isn't understood"),
        ("exp_decay(published, scale='soon')", "scale is a number, or a time such as '30 days'"),
        ("exp_decay(published, scale=0)", "scale is more than 0"),
        ("exp_decay(published, midpoint=1)", "midpoint is between 0 and 1"),
        ("exp_decay(published, target='yesterday')", "target is a number, 'now', or a date"),
        ("weight(kind, {})", "isn't understood"),
        ("weight(kind, {1.5: 2})", "weight takes words and whole numbers"),
        ("missing(pages, 'a')", "isn't understood"),
        ("1e999 * score", "inf"),
        ("(" * 500 + "1" + ")" * 500, "can't be read"),
        ("-" * 1999 + "1", "boost"),
        ("1 + " * 600, "at most 2000 characters"),
    ],
)
def test_what_is_no_formula_is_refused_before_anything_is_sent(formula: str, said: str) -> None:
    with pytest.raises(SettingsError, match=None) as caught:
        Boost.of(formula).ranked([ScoredPoint(1, 1.0, {})])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("formula", "payload", "said"),
    [
        ("1 / pages", {"pages": 0}, "gives no number for the point 7"),
        ("ln(pages)", {}, "gives no number for the point 7"),
        ("exp(pages)", {"pages": 10**6}, "gives no number for the point 7"),
        ("(-1) ** pages", {"pages": 0.5}, "gives no number for the point 7"),
        ("score + pages", {"pages": "12"}, "pages of the point 7 should be a number or a date, and is '12'"),
        ("score + pages", {"pages": True}, "should be a number or a date, and is True"),
        ("score + pages", {"pages": {"a": 1}}, "should be a number or a date"),
        ("score + day", {"day": "2024-01-31"}, "should be a number; put a date into a decay"),
    ],
)
def test_values_that_give_no_number_are_named(formula: str, payload: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Boost.of(formula).ranked([ScoredPoint(7, 1.0, payload)])
    assert said in str(caught.value)


def test_what_contradicts_a_boost_is_refused(searcher: Searcher) -> None:
    with pytest.raises(SettingsError, match="boost and diversity"):
        searcher.search(QUERY, boost="score", diversity=0.5)
    with pytest.raises(
        SettingsError, match="boost ranks the best 500 candidates anew, and offset and limit ask for 501"
    ):
        searcher.search(QUERY, boost="score", limit=500, offset=1)
    with pytest.raises(SettingsError, match="boost is a formula"):
        searcher.search(QUERY, boost=2)  # type: ignore[arg-type]


def test_arrays_stand_for_their_first_value_and_paths_go_into_them() -> None:
    payload = {"pages": [3, 9], "parts": [{"n": 4}, {"n": 5}], "nothing": None, "none": []}
    point = ScoredPoint(1, 1.0, payload)
    for formula, score in (("pages", 3), ("pages[1]", 9), ('field("parts[].n")', 4), ("nothing", 0), ("none", 0)):
        assert Boost.of(formula).ranked([point])[0].score == score


@given(st.text(max_size=60) | st.text("score()*+-/[]{}'\"., pages12<>=:", max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_formula_or_refused_by_name(text: str) -> None:
    try:
        boost = Boost.of(text)
        boost.ranked([ScoredPoint(1, 1.0, {"pages": 2})])
    except SettingsError:
        return
    assert boost.text == text
