"""Names of fields, long lists, large numbers and options, as a person writes them: the same over every store."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest

from tasb_qdrant import AsyncSearcher, CollectionSettings, F, Passage, Searcher, ingest
from tasb_qdrant.errors import FilterError, RequestRefusedError, SettingsError, TasbQdrantError
from tasb_qdrant.filters import Filter, format_filter
from tasb_qdrant.search.where import FilterWarning
from tasb_qdrant.settings import IndexType
from tests.collection.helpers import Place, fresh_name, options_of
from tests.filters.predicate import matches
from tests.ingest.fakes import StubEncoder

BIG: Final = [
    2**53 - 1,
    2**53,
    2**53 + 1,
    2**60 - 65,
    2**60 - 1,
    2**60,
    2**60 + 1,
    2**60 + 127,
    2**60 + 129,
    1_700_000_000_123_456_789,
    1_700_000_000_123_456_790,
    2**63 - 1_025,
    2**63 - 2,
    2**63 - 1,
]
LARGE: Final = [*BIG, *(-each for each in BIG), -(2**63), 0, -3]
NOON: Final = datetime(2024, 2, 3, 12, 45, 46, tzinfo=UTC)
WRITTEN: Final = [
    "2024-02-03 12:45:46+00",
    "2024-02-03 04:45:46-08",
    "2024-02-03T12:45:46+00",
    "2024-02-03 18:15:46 +0530",
    "2024-02-03 12:45:46 UTC",
    "2024-02-03t12:45:46z",
]
"""One moment, as databases and programs write it."""


def _payload(n: int) -> dict[str, Any]:
    number: Any = [n, float(n), [n, n + 0.5], None, [float(n), 1_000_000], n + 0.5][n % 6]
    return {
        "n": n,
        "any": number,
        "real": n / 2,
        "when": (NOON + timedelta(hours=n)).isoformat(),
        "big": LARGE[n % len(LARGE)],
        "large": LARGE[n % len(LARGE)],
        "moment": WRITTEN[n % len(WRITTEN)],
        "rdf:type": f"t{n % 3}",
        "odd name": n,
        "a.b": f"x{n % 2}",
        "draft": n % 2 == 0,
        "place": {"lat": 1.0, "lon": 2.0},
        "tags": ["first", f"t{n % 2}"],
        "author": {"name": f"ada {n % 2}"},
    }


PAYLOADS: Final = [_payload(n) for n in range(120)]
INDEXES: Final[dict[str, IndexType]] = {
    "n": "integer",
    "real": "float",
    "when": "datetime",
    "big": "integer",
    "moment": "datetime",
    "`rdf:type`": "keyword",
    "`odd name`": "integer",
    "draft": "bool",
    "place": "geo",
}


@pytest.fixture
def searcher(place: Place) -> Iterator[Searcher]:
    name = fresh_name()
    source = [Passage(str(n), f"bee {n}", payload=payload) for n, payload in enumerate(PAYLOADS)]
    settings = CollectionSettings(indexes=INDEXES)
    ingest(source, collection=name, encoder=StubEncoder(), settings=settings, bm25=True, **options_of(place))
    with Searcher(name, encoder=StubEncoder(), **options_of(place)) as opened:
        yield opened


def _found(searcher: Searcher, where: Filter) -> set[int]:
    return {int(hit.id) for hit in searcher.scroll(where, with_payload=False)}


def _expected(where: Filter) -> set[int]:
    return {n for n, payload in enumerate(PAYLOADS) if matches(where, payload, passage_id=str(n))}


def _check_lists(searcher: Searcher) -> None:
    odd = range(1, 2_000, 2)
    several: list[Filter] = [
        F("n").in_(odd),
        F("any").in_(odd),
        F("any").not_in(odd),
        F("any").in_([*map(float, odd), 0.5, 6]),
        F("any").in_(np.arange(1, 2_000, 2)),
        F("real").in_(range(200)),
        F("real").in_([n + 0.5 for n in range(200)]),
        F("any").in_([n + 0.5 for n in range(200)]) | (F("n") == 3),
        F("when").in_([NOON + timedelta(hours=n) for n in range(-300, 100)]),
        F("any").in_([*range(100), 2**60]),
        F("`a.b`").in_([f"x{n}" for n in range(100)]),
        F("`rdf:type`").not_in([f"t{n}" for n in range(1, 100)]),
        F.ids([str(n) for n in range(50, 1_000)]),
        ~F.ids([f"x{n}" for n in range(300)] + ["550e8400-e29b-41d4-a716-446655440000"]),
        F("n").not_in([]),
        F("n").not_in([]) & (F("n") < 3),
        ~F("n").not_in([]) | (F("n") == 4),
    ]
    for where in several:
        assert _found(searcher, where) == _expected(where), format_filter(where)[:200]
        assert searcher.count(where) == len(_expected(where))


def _check_large_numbers(searcher: Searcher) -> None:
    orders: list[Callable[[F, int], Filter]] = [operator.lt, operator.le, operator.gt, operator.ge]
    for field in ("big", "large"):
        for number, bound in enumerate([*LARGE, 2**60 + 64, 2**60 - 64, 2**62 + 511, 2**63 - 512]):
            for order in (orders[number % 2], orders[2 + number % 2]):
                where = order(F(field), bound)
                assert _found(searcher, where) == _expected(where), where
        for low, high in ((0, 2**60), (2**60 - 1, 2**60 + 1), (-(2**63), -(2**60)), (2**53 + 1, 2**63 - 1)):
            where = F(field).between(low, high)
            assert _found(searcher, where) == _expected(where), where


def _check_moments(searcher: Searcher) -> None:
    assert searcher.count(F("moment") == NOON) == len(PAYLOADS)
    for written in (*WRITTEN, "2024-02-03 12:45:46"):
        assert searcher.count(F("moment").between(written, written)) == len(PAYLOADS)
        assert searcher.count(f"moment >= {written} and moment <= {written}") == len(PAYLOADS)


def _check_names(searcher: Searcher) -> None:
    for spelled in ("`rdf:type`", '"rdf:type"', "rdf:type"):
        assert {one.value: one.count for one in searcher.facet(spelled)} == {"t0": 40, "t1": 40, "t2": 40}
        assert {group.value for group in searcher.search_groups("bee", by=spelled)} == {"t0", "t1", "t2"}
        assert len(searcher.search("bee", best_per=spelled, limit=9)) == 3
        [hit] = searcher.search("bee", limit=1, with_payload=[spelled])
        assert set(hit.payload) == {"rdf:type"}
        assert set(next(searcher.scroll(with_payload=[spelled])).payload) == {"rdf:type"}
    for spelled in ("`odd name`", '"odd name"', "odd name"):
        assert [hit.payload["n"] for hit in searcher.scroll(order_by=spelled)] == list(range(120))


def _check_unfit_fields(searcher: Searcher) -> None:
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: searcher.search_groups("bee", by="draft"), "indexed as bool.*search each value by itself"),
        (lambda: searcher.search_groups("bee", by="real"), "indexed as float.*rounded"),
        (lambda: searcher.search_groups("bee", by="place"), "indexed as geo.*inside it"),
        (lambda: searcher.search_groups("bee", by="author"), "holds objects or places.*inside it"),
        (lambda: searcher.search("bee", best_per="draft"), "strings and whole numbers"),
        (lambda: searcher.facet("real"), "indexed as float"),
        (lambda: searcher.facet("author"), "holds objects"),
        (lambda: searcher.facet("nosuch"), 'no field "nosuch"'),
        (lambda: searcher.facet("tags"), "collection index add tags:keyword"),
        (lambda: next(searcher.scroll(order_by="`rdf:type`")), "indexed as keyword.*no order"),
        (lambda: next(searcher.scroll(order_by="draft")), "indexed as bool"),
        (lambda: next(searcher.scroll(order_by="large")), "collection index add large:integer"),
    ]
    for call, said in refused:
        with pytest.raises(RequestRefusedError, match=said), _unheard():
            call()
    for call in (
        lambda: searcher.search_groups("bee", by="tags[0]"),
        lambda: searcher.search("bee", best_per="tags[0]"),
        lambda: searcher.search("bee", with_payload=["tags[0]"]),
    ):
        with pytest.raises(FilterError, match=r"tags\[0\] is one element of a list; leave the position out"):
            call()
    with pytest.warns(FilterWarning, match='no field "a.b" in this collection'):
        assert searcher.search_groups("bee", by="a.b") == []
    with pytest.warns(FilterWarning, match='no field "yaer" in this collection'):
        assert searcher.search("bee", with_payload=["yaer"], limit=1).warnings
    with pytest.raises(FilterError, match="a backslash, which Qdrant's paths can't express"):
        F("`a\\b`")


def _check_edits(searcher: Searcher) -> None:
    searcher.patch(["5"], {"`odd name`": 7, "fresh": 1}, remove=["`a.b`", '"rdf:type"'])
    payload = searcher.get(["5"])["5"].payload
    assert (payload["odd name"], payload["fresh"]) == (7, 1)
    assert not {"a.b", "rdf:type", "`odd name`"} & set(payload)
    assert searcher.collection.drop_indexes(["`odd name`", "rdf:type"])


def _unheard() -> Any:
    import warnings

    return warnings.catch_warnings(action="ignore")


def _check_thresholds(searcher: Searcher) -> None:
    modes: list[dict[str, Any]] = [
        {},
        {"mode": "bm25"},
        {"mode": "hybrid"},
        {"mode": "hybrid", "fusion": "dbsf"},
        {"diversity": 0.0},
        {"exact": True},
        {"best_per": "n"},
    ]
    for mode in modes:
        hits = searcher.search("bee 7", limit=30, **mode)
        least = hits[9].score
        kept = searcher.search("bee 7", limit=30, score_threshold=least, **mode)
        assert {hit.id for hit in kept} >= {hit.id for hit in hits if hit.score >= least}
        assert all(hit.score >= least for hit in kept)
    like = searcher.recommend(["1"], limit=30)
    assert like[4].id in {hit.id for hit in searcher.recommend(["1"], limit=30, score_threshold=like[4].score)}
    groups = searcher.search_groups("bee 7", by="n", limit=5)
    least = groups[4].hits[0].score
    assert len(searcher.search_groups("bee 7", by="n", limit=5, score_threshold=least)) == 5
    assert len(searcher.search("bee", score_threshold=-1e39)) == 10
    assert searcher.search("bee", score_threshold=1e39) == []


def test_what_a_person_writes_means_the_same_over_every_store(searcher: Searcher) -> None:
    """One collection for all of it: a store takes longer to fill than to answer."""
    _check_lists(searcher)
    _check_large_numbers(searcher)
    _check_moments(searcher)
    _check_names(searcher)
    _check_unfit_fields(searcher)
    _check_thresholds(searcher)
    _check_edits(searcher)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    path = tmp_path_factory.mktemp("small")
    source = [Passage(str(n), f"bee {n}", payload={"n": n}) for n in range(12)]
    settings = CollectionSettings(indexes={"n": "integer"})
    ingest(source, collection="small", encoder=StubEncoder(), settings=settings, bm25=True, path=path)
    with Searcher("small", encoder=StubEncoder(), path=path) as opened:
        yield opened


NAN: Final = float("nan")
INF: Final = float("inf")
WRONG: Final[list[dict[str, Any]]] = [
    *({"score_threshold": value} for value in (NAN, INF, -INF, "5", True, [1], 10**400)),
    *({"timeout": value} for value in (NAN, INF, "5", True, 0, -1, 10**6)),
    *({"oversampling": value} for value in ("2", NAN, INF, 0.5, True)),
    *({"consistency": value} for value in (1.5, "most", True, 0)),
    *({"with_payload": value} for value in (None, 3, "n", [3], [""])),
    *({name: "no"} for name in ("exact", "with_text", "with_vectors", "rescore")),
    *({name: 1} for name in ("exact", "with_text", "with_vectors", "rescore")),
    *({"limit": value} for value in ("5", 5.0, True, 0, None, 2**40, NAN)),
    *({"offset": value} for value in ("5", 1.0, True, -1, None)),
    *({"hnsw_ef": value} for value in ("5", 1.0, True, 0)),
    *({"mode": value} for value in ("sparse", None, 3, ["dense"])),
    *({"mode": "hybrid", "fusion": value} for value in ("max", None)),
    *({"mode": "hybrid", "weights": value} for value in ((NAN, 1), ("1", 1), (True, 1), 3, "12", (1, 2, 3), (INF, 1))),
    *({"mode": "hybrid", "depth": value} for value in ("5", 0, 2.0, True)),
    *({"diversity": value} for value in ("0.5", NAN, 2, True)),
    *({"best_per": value} for value in (3, "", ["n"])),
]


@pytest.mark.parametrize("options", WRONG, ids=repr)
def test_an_option_that_makes_no_sense_is_refused_by_name(small: Searcher, options: dict[str, Any]) -> None:
    *_, name = options
    with pytest.raises(SettingsError, match=f"{name}|{name.rstrip('s')}"):
        small.search("bee", **options)


def test_so_is_one_of_every_other_call(small: Searcher) -> None:
    wrong: list[Callable[[], Any]] = [
        lambda: small.search_groups("bee", by="n", group_size="3"),  # type: ignore[arg-type]
        lambda: small.search_groups("bee", by=3),  # type: ignore[arg-type]
        lambda: next(small.search_pages("bee", page_size=True)),
        lambda: small.recommend(["1"], strategy="best"),  # type: ignore[arg-type]
        lambda: small.recommend("12"),
        lambda: small.recommend(["1"], "12"),
        lambda: small.recommend(Passage("a", "b")),  # type: ignore[arg-type]
        lambda: small.rerank("bee", "12"),
        lambda: small.rerank("bee", ["1"], limit="2"),  # type: ignore[arg-type]
        lambda: small.rerank("bee", ["1"], cross_depth=0),
        lambda: small.get("12"),
        lambda: small.get(["1"], with_vectors="no"),  # type: ignore[arg-type]
        lambda: small.count(exact="no"),  # type: ignore[arg-type]
        lambda: small.count(timeout=INF),
        lambda: small.facet("n", limit=2.5),  # type: ignore[arg-type]
        lambda: small.facet("n", exact=0),  # type: ignore[arg-type]
        lambda: small.facet(None),  # type: ignore[arg-type]
        lambda: next(small.scroll(page_size="9")),  # type: ignore[arg-type]
        lambda: next(small.scroll(order_by="n", descending="no")),  # type: ignore[arg-type]
        lambda: next(small.scroll(with_payload=None)),  # type: ignore[arg-type]
        lambda: small.delete("12"),
        lambda: small.patch("12", {"n": 1}),
        lambda: Searcher("small", path="x", cache_size=True),
        lambda: Searcher("small", path="x", cache_ttl=NAN),
        lambda: Searcher("small", path="x", timeout="5"),  # type: ignore[call-overload]
        lambda: Searcher("small", path="x", timeout=True),
        lambda: Searcher("small", path="x", read_timeout=INF),
        lambda: Searcher("small", path="x", retry_seconds=NAN),
    ]
    taken = []
    for number, call in enumerate(wrong):
        try:
            call()
        except SettingsError:
            continue
        taken.append(number)
    assert not taken


def test_numbers_of_numpy_are_numbers(small: Searcher) -> None:
    plain = small.search("bee", limit=3, offset=1, score_threshold=0.25, exact=True)
    of_numpy: dict[str, Any] = {
        "limit": np.int64(3),
        "offset": np.uint8(1),
        "score_threshold": np.float32(0.25),
        "exact": np.bool_(True),
        "timeout": np.float64(20),
        "hnsw_ef": np.int32(64),
        "consistency": np.int64(1),
    }
    assert small.search("bee", **of_numpy) == plain
    assert small.search("bee", mode="hybrid", weights=np.array([1.0, 0.5]), depth=np.int16(50))  # type: ignore[arg-type]


def test_an_awaited_search_with_a_long_list_lets_others_go_on(small: Searcher) -> None:
    where = F("n").in_(range(5_000)) & F.ids([str(n) for n in range(3_000)])
    small.close()  # an embedded collection has one opener

    async def search() -> int:
        async with AsyncSearcher("small", encoder=StubEncoder(), path=small.collection.location) as searcher:
            assert len(await searcher.search("bee", where=where, limit=5)) == 5
            with pytest.raises(TasbQdrantError):
                await searcher.count("n in [" + ", ".join(map(str, range(3_000))) + ", true]")
            return await searcher.count(where)

    assert asyncio.run(search()) == 12
