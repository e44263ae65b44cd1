"""One filter, one meaning: the embedded engine and both servers against a plain Python predicate."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection.edge.engine import index_schema
from tasb_qdrant.collection.edge.filters import to_edge
from tasb_qdrant.collection.reads.filters import to_qdrant
from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters import F, Filter, at_least, check_filter
from tasb_qdrant.filters.nodes import MAX_DEPTH
from tasb_qdrant.records import Passage
from tasb_qdrant.records.path import qdrant_path
from tasb_qdrant.settings import IndexType
from tests.filters.predicate import matches
from tests.filters.strategies import (
    BOXES,
    POLYGONS,
    TYPED,
    mixed_filters,
    mixed_payloads,
    typed_filters,
    typed_payloads,
)
from tests.qdrant_servers import QdrantServer

Find = Callable[[models.Filter], set[int]]
Payloads = list[dict[str, Any]]
PHRASES = models.TextIndexParams(type=models.TextIndexType.TEXT, phrase_matching=True)


def sixty(payloads: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Payloads]:
    return st.lists(payloads, min_size=60, max_size=60)


RELAXED = settings(
    deadline=None,
    phases=[Phase.generate],  # the message names the filter and the payloads that it is wrong about
    suppress_health_check=list(HealthCheck),  # sixty payloads are large, as these checks see it, and are meant to be
)


@contextmanager
def edge(
    payloads: Payloads,
    indexes: Mapping[str, IndexType],
    *,
    optimized: bool = False,
    schemas: Mapping[str, qdrant_edge.TextIndexParams] | None = None,
) -> Iterator[Find]:
    """Finds by filter in an embedded store that holds the payloads."""
    with tempfile.TemporaryDirectory() as folder:
        vectors = qdrant_edge.EdgeVectorParams(size=4, distance=qdrant_edge.Distance.Dot)
        config = qdrant_edge.EdgeConfig(vectors=vectors, wal_enabled=False)
        shard = qdrant_edge.EdgeShard.create(str(Path(folder) / "shard"), config)
        types = {field: index_schema(kind) for field, kind in indexes.items()}
        for field, schema in {**types, **(schemas or {})}.items():
            shard.update(qdrant_edge.UpdateOperation.create_field_index(qdrant_path(field), schema))
        points = [qdrant_edge.Point(i, [1.0, 0.0, 0.0, 0.0], payload) for i, payload in enumerate(payloads)]
        shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
        if optimized:
            shard.optimize()

        def find(where: models.Filter) -> set[int]:
            found, _ = shard.scroll(qdrant_edge.ScrollRequest(limit=len(payloads) + 1, filter=to_edge(where)))
            assert shard.count(qdrant_edge.CountRequest(filter=to_edge(where))) == len(found)
            return {int(record.id) for record in found}

        yield find
        shard.close()


@contextmanager
def server(at: QdrantServer, payloads: Payloads, indexes: Mapping[str, IndexType]) -> Iterator[Find]:
    """Finds by filter in a collection of a server that holds the payloads, over gRPC."""
    client = QdrantClient(
        url=at.url, grpc_port=at.grpc_port, prefer_grpc=True, check_compatibility=False, api_key=at.api_key
    )
    name = f"tasb-test-{uuid.uuid4().hex}"
    client.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    try:
        for field, kind in indexes.items():
            schema = PHRASES if kind == "text" else models.PayloadSchemaType(kind)
            client.create_payload_index(name, qdrant_path(field), schema, wait=True)
        points = [
            models.PointStruct(id=i, vector=[1.0, 0.0, 0.0, 0.0], payload=payload) for i, payload in enumerate(payloads)
        ]
        client.upsert(name, points, wait=True)

        def find(where: models.Filter) -> set[int]:
            found, _ = client.scroll(name, scroll_filter=where, limit=len(payloads) + 1, with_payload=False)
            assert client.count(name, count_filter=where, exact=True).count == len(found)
            return {int(record.id) for record in found}

        yield find
    finally:
        client.delete_collection(name)
        client.close()


def selected(where: Filter, payloads: Payloads) -> set[int]:
    """The points that the predicate says match; the passage id of point 3 is "3"."""
    return {i for i, payload in enumerate(payloads) if matches(where, payload, passage_id=str(i))}


def agree(find: Find, payloads: Payloads, filters: list[Filter], indexes: Mapping[str, IndexType]) -> None:
    """Every filter finds what the predicate says, with and without the translator knowing the indexes."""
    for where in filters:
        check_filter(where, indexes=indexes)
        expected = selected(where, payloads)
        for known in (None, indexes):
            found = find(to_qdrant(where, indexes=known))
            wrong = [(payloads[i], "found" if i in found else "not found") for i in sorted(found ^ expected)]
            assert not wrong, (where, wrong[:3])


def agree_unchecked(find: Find, payloads: Payloads, filters: list[Filter]) -> None:
    """As `agree`, without the check, which refuses some of these before they get here."""
    for where in filters:
        assert find(to_qdrant(where)) == selected(where, payloads), where


class TestEmbedded:
    @settings(RELAXED, max_examples=3)
    @given(payloads=sixty(mixed_payloads()), filters=st.lists(mixed_filters(), min_size=30, max_size=40))
    def test_a_filter_on_payloads_of_any_shape_means_what_the_predicate_means(
        self, payloads: Payloads, filters: list[Filter]
    ) -> None:
        with edge(payloads, {}) as find:
            agree(find, payloads, filters, {})

    @settings(RELAXED, max_examples=3)
    @given(
        payloads=sixty(typed_payloads()),
        filters=st.lists(typed_filters(contains=True), min_size=30, max_size=40),
        optimized=st.booleans(),
    )
    def test_a_filter_on_indexed_fields_means_what_the_predicate_means(
        self, payloads: Payloads, filters: list[Filter], optimized: bool
    ) -> None:
        with edge(payloads, TYPED, optimized=optimized) as find:
            agree(find, payloads, filters, TYPED)


class TestServer:
    @settings(RELAXED, max_examples=2)
    @given(payloads=sixty(mixed_payloads()), filters=st.lists(mixed_filters(), min_size=30, max_size=40))
    def test_a_filter_on_payloads_of_any_shape_means_what_the_predicate_means(
        self, qdrant_server: QdrantServer, payloads: Payloads, filters: list[Filter]
    ) -> None:
        with server(qdrant_server, payloads, {}) as find:
            agree(find, payloads, filters, {})

    @settings(RELAXED, max_examples=2)
    @given(
        payloads=sixty(typed_payloads()),
        filters=st.lists(typed_filters(contains=True), min_size=30, max_size=40),
    )
    def test_a_filter_on_indexed_fields_means_what_the_predicate_means(
        self, qdrant_server: QdrantServer, payloads: Payloads, filters: list[Filter]
    ) -> None:
        with server(qdrant_server, payloads, TYPED) as find:
            agree(find, payloads, filters, TYPED)


INTEGERS: Payloads = [{"n": number} for number in range(-4, 5)]
HALVES = [half / 2 for half in range(-9, 10)]
GLOBE: Payloads = [{"p": {"lat": lat, "lon": lon}} for lat in range(-90, 90, 9) for lon in range(-180, 181, 20)]


def fractions() -> list[Filter]:
    """Every order against whole numbers and the fractions between them."""
    n = F("n")
    one_sided = [each for half in HALVES for each in (n < half, n <= half, n > half, n >= half, n.in_([half, 1]))]
    return one_sided + [n.between(low, high) for low in HALVES for high in HALVES[::4] if low <= high]


def areas() -> list[Filter]:
    return [
        *(F("p").in_box(top_left=corner, bottom_right=other) for corner, other in BOXES),
        *(F("p").in_polygon(ring, holes=holes) for ring, holes in POLYGONS),
    ]


def test_a_fraction_on_an_integer_index_of_the_embedded_store_is_not_cut_off() -> None:
    with edge(INTEGERS, {"n": "integer"}) as find:
        agree_unchecked(find, INTEGERS, fractions())


def test_a_fraction_on_an_integer_index_of_a_server_is_not_cut_off(qdrant_server: QdrantServer) -> None:
    with server(qdrant_server, INTEGERS, {"n": "integer"}) as find:
        agree_unchecked(find, INTEGERS, fractions())


@pytest.mark.parametrize("indexes", [{}, {"p": "geo"}])
def test_an_area_at_the_edge_of_the_map_loses_nothing_in_the_embedded_store(indexes: dict[str, IndexType]) -> None:
    with edge(GLOBE, indexes) as find:
        agree_unchecked(find, GLOBE, areas())


@pytest.mark.parametrize("indexes", [{}, {"p": "geo"}])
def test_an_area_at_the_edge_of_the_map_loses_nothing_on_a_server(
    qdrant_server: QdrantServer, indexes: dict[str, IndexType]
) -> None:
    with server(qdrant_server, GLOBE, indexes) as find:
        agree_unchecked(find, GLOBE, areas())


def deepest() -> list[Filter]:
    """Each kind of filter that holds others, as deep as it may be; all of them find the first payload alone."""
    either: Filter = F("a") == 2.5
    several: Filter = F("a") == 2.5
    inside: Filter = F("a") == 2.5
    for level in range(MAX_DEPTH // 2):
        either = ~(either & (F("b") == level))
    for level in range(MAX_DEPTH):
        several = at_least(1, several, F("b") == level)
    for _ in range(MAX_DEPTH - 1):
        inside = F("l").any(inside)
    return [either, several, inside | several.operands[0]]  # type: ignore[attr-defined]  # it is an AtLeast


DEEP: Payloads = [{"a": 2.5, "l": [{"a": 1, "l": []}]}, {"a": 1}]


def test_the_deepest_filter_is_read_by_the_embedded_store() -> None:
    with edge(DEEP, {}) as find:
        agree(find, DEEP, deepest(), {})


def test_the_deepest_filter_is_read_by_a_server(qdrant_server: QdrantServer) -> None:
    with server(qdrant_server, DEEP, {}) as find:
        agree(find, DEEP, deepest(), {})


ELEMENTS: Payloads = [
    {"o": [{"x": 1, "t": "solar panel"}, {"y": 2, "t": "on a roof"}]},
    {"o": [{"x": 1, "y": 2, "t": "a solar"}, {"x": [], "t": "panel"}]},
    {"o": [{"x": None, "y": 2}, {"x": [None, 1]}]},
    {"o": [{"x": [1, 2], "t": "panel solar"}]},
    {"o": []},
    {"o": {"x": 1, "y": 2, "t": "solar panel"}},
    {"o": ["x", None, {}]},
    {},
]
IN_ELEMENTS: list[Filter] = [
    F("o").any(F("x").is_empty()),
    F("o").any(F("x").is_empty(), F("y") == 2),
    F("o").any(F("x").is_empty() | (F("y") == 2)),
    F("o").any(at_least(2, F("x").is_empty(), F("y") == 2, F("t").exists())),
    F("o").any(~F("x").exists()),
    F("o").any(F("x").count() < 1),
    F("o").any(F("x").count() == 0, F("y") == 2),
    F("o").any(F("x").is_null()),
    F("o").any(F("x") == 1, F("y") == 2),
    ~F("o").any(F("x") == 1),
    F("o[].x").count() == 0,
    F("o").count() == 1,
    F("o").any(F("t").contains_phrase("solar panel")),
    F("o[].t").contains_phrase("solar panel"),
    F("o[].t").contains_phrase("panel on"),
    F("o[].t").contains_any("roof panel"),
    F("o").any(F("t").contains_any("Solar, roofs")),
    F("o").any(F("t").contains_any("sol pan-el")),
    ~F("o").any(F("t").contains_any("zebra-panel"), F("x").exists()),
]
INDEXED_ELEMENTS: list[dict[str, IndexType]] = [
    {"o[].t": "text"},
    {"o[].t": "text", "o[].x": "integer"},
    {"o[].t": "text", "o[].x": "integer", "o[].y": "integer"},
]


@pytest.mark.parametrize("indexes", INDEXED_ELEMENTS, ids=len)
def test_what_is_asked_of_one_element_is_not_asked_of_the_whole_in_the_embedded_store(
    indexes: dict[str, IndexType],
) -> None:
    with edge(ELEMENTS, indexes) as find:
        agree(find, ELEMENTS, IN_ELEMENTS, indexes)


@pytest.mark.parametrize("indexes", INDEXED_ELEMENTS, ids=len)
def test_what_is_asked_of_one_element_is_not_asked_of_the_whole_on_a_server(
    qdrant_server: QdrantServer, indexes: dict[str, IndexType]
) -> None:
    with server(qdrant_server, ELEMENTS, indexes) as find:
        agree(find, ELEMENTS, IN_ELEMENTS, indexes)


def test_ids_are_those_of_passages_and_not_of_points() -> None:
    where = F.ids(["7", "007", "550E8400-E29B-41D4-A716-446655440000", "7"])
    (condition,) = to_qdrant(where).must  # type: ignore[misc]  # a list, as to_qdrant makes it
    assert condition == models.HasIdCondition(
        has_id=[7, Passage("007", "x").point_id, "550e8400-e29b-41d4-a716-446655440000"]
    )


def test_knowing_an_integer_index_makes_a_long_list_one_condition() -> None:
    where = F("year").in_(range(1000)) & (F("score") == 1)
    translated = to_qdrant(where, indexes={"year": "integer", "score": "float"})
    assert translated == models.Filter(
        must=[
            models.FieldCondition(key="year", match=models.MatchAny(any=list(range(1000)))),
            models.FieldCondition(key="score", range=models.Range(gte=1, lte=1)),
        ]
    )


def test_an_order_of_strings_is_refused() -> None:
    for where in (F("x") > "a", F("x").between("a", "b")):
        with pytest.raises(FilterError, match="no order"):
            to_qdrant(where)


FIELD = models.FieldCondition
NOW = "2020-01-31T10:00:00"
SQUARE = models.GeoLineString(
    points=[models.GeoPoint(lat=la, lon=lo) for la, lo in ((0, 0), (0, 9), (9, 9), (9, 0), (0, 0))]
)
HOLE = models.GeoLineString(
    points=[models.GeoPoint(lat=la, lon=lo) for la, lo in ((4, 4), (4, 6), (6, 6), (6, 4), (4, 4))]
)
RAW_PAYLOADS: Payloads = [
    {"w": "solar panel", "n": 1, "t": NOW + "Z", "p": {"lat": 1, "lon": 1}, "v": [1, 2, 3], "o": [{"x": 1, "y": 2}]},
    {
        "w": "panel",
        "n": 2,
        "t": "2021-01-01",
        "p": {"lat": 5, "lon": 5},
        "v": [1],
        "o": [{"x": 1}, {"y": 2}],
        "f": True,
    },
    {"w": "solar", "n": 3, "t": "2019-01-01", "p": {"lat": 50, "lon": 5}, "v": [], "f": False, "z": None},
]
RAW: dict[str, tuple[models.Filter, set[int]]] = {
    "nothing": (models.Filter(), {0, 1, 2}),
    "empty lists": (models.Filter(must=[], must_not=[]), {0, 1, 2}),
    "one condition for a list": (models.Filter(must=FIELD(key="n", match=models.MatchValue(value=1))), {0}),
    "one in must_not": (models.Filter(must_not=FIELD(key="n", match=models.MatchValue(value=1))), {1, 2}),
    "one in should": (models.Filter(should=models.HasIdCondition(has_id=[2])), {2}),
    "boolean": (models.Filter(must=[FIELD(key="f", match=models.MatchValue(value=True))]), {1}),
    "any": (models.Filter(must=[FIELD(key="w", match=models.MatchAny(any=["solar", "x"]))]), {2}),
    "except": (models.Filter(must=[FIELD(key="n", match=models.MatchExcept(**{"except": [1, 2]}))]), {2}),
    "text": (models.Filter(must=[FIELD(key="w", match=models.MatchText(text="panel solar"))]), {0}),
    "text any": (models.Filter(must=[FIELD(key="w", match=models.MatchTextAny(text_any="solar x"))]), {0, 2}),
    "range": (models.Filter(must=[FIELD(key="n", range=models.Range(gt=1, lte=3))]), {1, 2}),
    "naive datetime": (
        models.Filter(must=[FIELD(key="t", range=models.DatetimeRange(gte=datetime.fromisoformat(NOW)))]),
        {0, 1},
    ),
    "date": (models.Filter(must=[FIELD(key="t", range=models.DatetimeRange(lt=date(2020, 1, 31)))]), {2}),
    "radius": (
        models.Filter(
            must=[FIELD(key="p", geo_radius=models.GeoRadius(center=models.GeoPoint(lat=1, lon=1), radius=1000))]
        ),
        {0},
    ),
    "box": (
        models.Filter(
            must=[
                FIELD(
                    key="p",
                    geo_bounding_box=models.GeoBoundingBox(
                        top_left=models.GeoPoint(lat=9, lon=0), bottom_right=models.GeoPoint(lat=0, lon=9)
                    ),
                )
            ]
        ),
        {0, 1},
    ),
    "polygon": (models.Filter(must=[FIELD(key="p", geo_polygon=models.GeoPolygon(exterior=SQUARE))]), {0, 1}),
    "polygon with a hole": (
        models.Filter(must=[FIELD(key="p", geo_polygon=models.GeoPolygon(exterior=SQUARE, interiors=[HOLE]))]),
        {0},
    ),
    "count": (models.Filter(must=[FIELD(key="v", values_count=models.ValuesCount(gte=1, lt=3))]), {1}),
    "field is empty": (models.Filter(must=[FIELD(key="v", is_empty=True)]), {2}),
    "field is null": (models.Filter(must=[FIELD(key="z", is_null=True)]), {2}),
    "is empty": (models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="v"))]), {2}),
    "is null": (models.Filter(must=[models.IsNullCondition(is_null=models.PayloadField(key="z"))]), {2}),
    "ids": (models.Filter(must_not=[models.HasIdCondition(has_id=[0, 1])]), {2}),
    "has vector": (models.Filter(must=[models.HasVectorCondition(has_vector="")]), {0, 1, 2}),
    "has no such vector": (models.Filter(must=[models.HasVectorCondition(has_vector="other")]), set()),
    "nested": (
        models.Filter(
            must=[
                models.NestedCondition(
                    nested=models.Nested(
                        key="o",
                        filter=models.Filter(
                            must=[
                                FIELD(key="x", match=models.MatchValue(value=1)),
                                FIELD(key="y", match=models.MatchValue(value=2)),
                            ]
                        ),
                    )
                )
            ]
        ),
        {0},
    ),
    "filter in a filter": (
        models.Filter(must=[models.Filter(must_not=[FIELD(key="n", match=models.MatchValue(value=3))])]),
        {0, 1},
    ),
    "min should": (
        models.Filter(
            min_should=models.MinShould(
                conditions=[
                    FIELD(key="n", range=models.Range(gte=2)),
                    FIELD(key="f", match=models.MatchValue(value=False)),
                    FIELD(key="w", match=models.MatchValue(value="panel")),
                ],
                min_count=2,
            )
        ),
        {1, 2},
    ),
}
WORDS_INDEX: dict[str, IndexType] = {"w": "text"}


class TestFiltersOfQdrantClient:
    def test_every_kind_of_condition_reaches_the_embedded_store(self) -> None:
        with edge(RAW_PAYLOADS, WORDS_INDEX) as find:
            assert {name: find(where) for name, (where, _) in RAW.items()} == {n: ids for n, (_, ids) in RAW.items()}

    def test_the_same_conditions_find_the_same_on_a_server(self, qdrant_server: QdrantServer) -> None:
        with server(qdrant_server, RAW_PAYLOADS, WORDS_INDEX) as find:
            assert {name: find(where) for name, (where, _) in RAW.items()} == {n: ids for n, (_, ids) in RAW.items()}

    def test_phrases_prefixes_and_parts_of_words_reach_the_embedded_store(self) -> None:
        whole = qdrant_edge.TextIndexParams(phrase_matching=True)
        with edge(RAW_PAYLOADS, {}, schemas={"w": whole}) as find:
            assert find(models.Filter(must=[FIELD(key="w", match=models.MatchPhrase(phrase="solar panel"))])) == {0}
        with edge(RAW_PAYLOADS, {}) as find:
            assert find(models.Filter(must=[FIELD(key="w", match=models.MatchPrefix(prefix="sol"))])) == {0, 2}
            assert find(models.Filter(must=[FIELD(key="w", match=models.MatchSubstring(substring="ane"))])) == {0, 1}

    def test_what_the_embedded_store_lacks_is_named(self) -> None:
        where = models.Filter(must=[models.SliceCondition(slice=models.Slice(total=2, index=0))])
        with pytest.raises(FilterError, match="SliceCondition"):
            to_edge(where)

    def test_a_place_off_the_globe_is_refused(self) -> None:
        centre = models.GeoPoint(lat=100, lon=0)
        where = models.Filter(must=[FIELD(key="p", geo_radius=models.GeoRadius(center=centre, radius=1))])
        with pytest.raises(FilterError, match="lat=100"):
            to_edge(where)

    def test_an_open_polygon_is_refused(self) -> None:
        ring = models.GeoLineString(points=SQUARE.points[:3])
        with pytest.raises(FilterError, match="polygon"):
            to_edge(models.Filter(must=[FIELD(key="p", geo_polygon=models.GeoPolygon(exterior=ring))]))
