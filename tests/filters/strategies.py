"""Payloads and filters for property tests, drawn from small pools so that many of them meet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

from tasb_qdrant.filters import F, Filter, at_least
from tasb_qdrant.settings import IndexType

MISSING: Final = object()

INTEGERS: Final = [-3, -1, 0, 1, 2, 3, 2020, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
FLOATS: Final = [-2.5, -1.0, -0.5, 0.0, 0.1, 0.5, 1.0, 2.0, 2.5, 2020.0, 2020.5, 1e300]
STRINGS: Final = ["", "en", "EN", "de", "1", "1.0", "true", "null", "naïve", "🙂", 'a"b', "solar panel"]
TEXTS: Final = ["Solar panels on a roof", "solar-panel", "The panel met.", "3.14 solar", "roof", "Straße", "x"]
PHRASES: Final = ["solar", "solar panel", "Panels on a", "panel solar", "3.14", "14 solar", "panel, met", "x y"]
WORDS: Final = ["solar", "panel solar", "ROOF", "3.14", "14 solar", "straße", "met, panel", "pan", "x y"]
MOMENTS: Final = [
    "2020-01-31",
    "2020-01-31T10:00:00Z",
    "2020-01-31 10:00:00",
    "2020-01-31T10:00:00",
    "2020-01-31T12:00:00+02:00",
    "2020-01-31T12:00:00+0200",
    "2020-01-31 12:00:00+02",
    "2020-01-31T10:00:00.5Z",
    "2020-01-31T10:00:00.123456Z",
    "1969-12-31T23:59:59.25Z",
    "0001-01-01",
    "9999-12-31T23:59:59Z",
]
UUIDS: Final = ["550e8400-e29b-41d4-a716-446655440000", "00000000-0000-0000-0000-000000000001"]
COORDINATES: Final = [
    (0.0, 0.0),
    (52.5, 13.4),
    (52.52, 13.41),
    (-33.9, 151.2),
    (0.0, 179.95),
    (0.0, -179.95),
    (10.0, 180.0),
    (10.0, -180.0),
    (89.9, 33.0),
    (-89.9, -70.0),
    (-90.0, 0.0),
]
BOXES: Final[list[tuple[tuple[float, float], tuple[float, float]]]] = [
    ((53, 13), (52, 14)),
    ((90, -180), (-90, 180)),
    ((90, 0), (80, 180)),
    ((-80, -180), (-90, 0)),
    ((10.5, 170), (-10, -170)),
    ((60, 14), (-60, 13)),
    ((60, 180), (-60, -100)),
    ((60, 100), (-60, -180)),
    ((52.5, 0), (0, 13.4)),
]
"""Top left and bottom right corners: around a town, the globe, caps of the poles, across longitude 180."""
POLYGONS: Final[list[tuple[list[tuple[float, float]], list[list[tuple[float, float]]]]]] = [
    ([(52, 13), (52, 14), (53, 14), (53, 13)], []),
    ([(-90, -180), (-90, 180), (90, 180), (90, -180)], []),
    ([(-60, -180), (-60, 180), (60, 180), (60, -180)], [[(-1, -1), (-1, 1), (1, 1), (1, -1)]]),
    ([(80, 0), (80, 180), (90, 180), (90, 0)], []),
    ([(0, 0), (60, 0), (60, 20)], [[(52.5, 13), (52.5, 13.5), (53, 13.4)]]),
    ([(60, 0), (-60, 15), (40, -20), (40, 30), (-60, -5)], []),
]
"""Outer ring and holes: a town, the globe, a zone with a hole at (0, 0), a cap of a pole, a triangle with a hole
whose corner and side are places below, and a star that crosses itself."""
PLACES: Final = [{"lat": lat, "lon": lon} for lat, lon in COORDINATES]

TYPED: Final[dict[str, IndexType]] = {
    "lang": "keyword",
    "year": "integer",
    "score": "float",
    "draft": "bool",
    "published": "datetime",
    "place": "geo",
    "text": "text",
    "body": "text",
    "ref": "uuid",
    "author.age": "integer",
    "authors[].name": "keyword",
    "authors[].age": "integer",
    "authors[].bio": "text",
    "`odd name`": "keyword",
}
"""Fields that hold values of one type, and the index that suits them."""

MIXED: Final = ["a", "b", "o.x", "l[].y", "l[]", "l[0]", "l[1].y", "a[]", "`odd name`", "`ünder.dot`", "none"]
"""Fields that hold anything."""

_POOLS: Final[dict[IndexType, list[Any]]] = {
    "keyword": STRINGS,
    "integer": INTEGERS,
    "float": [*FLOATS, 1, 2, -3, 2020],
    "bool": [True, False],
    "datetime": MOMENTS,
    "geo": PLACES,
    "text": TEXTS,
    "uuid": UUIDS,
}


def _held(pool: list[Any]) -> st.SearchStrategy[Any]:
    """A value, an array of them, null, an empty array, or no field at all."""
    one = st.sampled_from(pool)
    return st.one_of(
        one, one, st.lists(st.one_of(one, one, st.none()), max_size=3), st.sampled_from([MISSING, MISSING, None, []])
    )


def _single(pool: list[Any]) -> st.SearchStrategy[Any]:
    """As `_held`, but no arrays of several: a phrase may cross from one text into the next on a server."""
    one = st.sampled_from(pool)
    return st.one_of(one, one, one.map(lambda value: [value]), st.sampled_from([MISSING, None, []]))


def _object(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(keys).map(lambda d: {key: v for key, v in d.items() if v is not MISSING})


def typed_payloads() -> st.SearchStrategy[dict[str, Any]]:
    """Payloads whose values suit the indexes of TYPED."""
    bio = _single(TEXTS)
    person = _object(name=_held(_POOLS["keyword"]), age=_held(_POOLS["integer"]), bio=bio)
    flat: dict[str, st.SearchStrategy[Any]] = {
        name: _held(_POOLS[kind]) for name, kind in TYPED.items() if name.isalpha() and name != "body"
    }
    odd: dict[str, st.SearchStrategy[Any]] = {"odd name": _held(STRINGS), "body": _single(TEXTS)}
    return _object(
        **flat,
        **odd,
        author=st.one_of(person, st.just(MISSING)),
        authors=st.one_of(st.lists(person, max_size=3), st.sampled_from([MISSING, None])),
    )


def mixed_payloads() -> st.SearchStrategy[dict[str, Any]]:
    """Payloads in which any field may hold anything, arrays in arrays and look-alikes included."""
    pool: list[Any] = [*INTEGERS, *FLOATS, *STRINGS, *MOMENTS, *PLACES, *UUIDS, True, False, {}, [1], [["en"]]]
    pool += [{"lat": "52.5", "lon": "13.4"}, {"lat": 52.5}, [13.4, 52.5], "31.01.2020", "2020"]
    held = _held(pool)
    odd: dict[str, st.SearchStrategy[Any]] = {"odd name": held, "ünder.dot": held, "ünder": _object(dot=held)}
    return _object(
        a=held,
        b=held,
        o=st.one_of(_object(x=held), held),
        l=st.one_of(st.lists(st.one_of(_object(y=held), st.sampled_from(pool)), max_size=3), held),
        **odd,
    )


def filters(leaf: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    """Trees of & | ~ and at least over the leaves."""
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
            st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
            inner.map(lambda one: ~one),
            st.lists(inner, min_size=2, max_size=4).flatmap(
                lambda several: st.integers(1, len(several)).map(lambda count: at_least(count, *several))
            ),
        ),
        max_leaves=5,
    )


IDS: Final = st.lists(st.sampled_from([*map(str, range(0, 60, 7)), "b", "007"]), min_size=1, max_size=4)


def typed_filters(*, contains: bool) -> st.SearchStrategy[Filter]:
    """Filters that suit the fields of TYPED; `contains` only where a text index is there."""

    def leaf_of(fields: dict[str, IndexType]) -> st.SearchStrategy[Filter]:
        return st.sampled_from(list(fields.items())).flatmap(lambda item: _leaf(F(item[0]), item[1], contains=contains))

    author: dict[str, IndexType] = {"name": "keyword", "age": "integer", "bio": "text"}
    element = filters(leaf_of(author)).map(F("authors").any)
    leaf = leaf_of(TYPED)
    return filters(st.one_of(leaf, leaf, leaf, element, IDS.map(F.ids)))


def mixed_filters() -> st.SearchStrategy[Filter]:
    """Filters of every kind over the fields of MIXED."""

    def leaf_of(fields: list[str]) -> st.SearchStrategy[Filter]:
        return st.tuples(st.sampled_from(fields), st.sampled_from(kinds)).flatmap(
            lambda pair: _leaf(F(pair[0]), pair[1], contains=False)
        )

    kinds: list[IndexType] = ["keyword", "integer", "float", "bool", "datetime", "geo", "uuid"]
    lists = st.sampled_from([F("l"), F("l[]"), F("a"), F("o.x"), F("l[0]")])
    element = st.tuples(lists, filters(leaf_of(["y", "y[0]", "lat", "none"]))).map(lambda pair: pair[0].any(pair[1]))
    leaf = leaf_of(MIXED)
    return filters(st.one_of(leaf, leaf, leaf, element, IDS.map(F.ids)))


def _leaf(field: F, kind: IndexType, *, contains: bool) -> st.SearchStrategy[Filter]:
    any_kind: list[Filter] = [field.exists(), field.is_null(), field.is_empty()]
    of_kind = {
        "keyword": _equalities(field, STRINGS),
        "uuid": _equalities(field, UUIDS),
        "bool": _equalities(field, [True, False]),
        "integer": _numbers(field, [*INTEGERS, 1.0, 2020.0]),
        "float": _numbers(field, [*FLOATS, 1, 2, 2020]),
        "datetime": _moments(field),
        "geo": _places(field),
        "text": st.one_of(_equalities(field, TEXTS), _words(field)) if contains else _equalities(field, TEXTS),
    }[kind]
    return st.one_of(of_kind, of_kind, of_kind, st.sampled_from(any_kind), _counts(field))


def _words(field: F) -> st.SearchStrategy[Filter]:
    made: list[Filter] = [field.contains(words) for words in WORDS]
    made += [field.contains_any(words) for words in WORDS]
    if field.name != "text":
        made += [field.contains_phrase(words) for words in PHRASES]
    return st.sampled_from(made)


def _counts(field: F) -> st.SearchStrategy[Filter]:
    counts = field.count()
    made: list[Filter] = [counts == 0, counts < 1, counts <= 2, counts == 1, counts != 1, counts > 1, counts >= 3]
    return st.sampled_from([*made, counts.between(1, 2), counts.between(0, 1), counts == 2])


def _equalities(field: F, pool: list[Any]) -> st.SearchStrategy[Filter]:
    one, several = st.sampled_from(pool), st.lists(st.sampled_from(pool), min_size=1, max_size=3)
    return st.one_of(
        one.map(lambda v: field == v),
        one.map(lambda v: field != v),
        several.map(field.in_),
        several.map(field.not_in),
    )


def _orders(field: F, bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Filter]:
    return st.one_of(
        bounds.map(lambda v: field < v),
        bounds.map(lambda v: field <= v),
        bounds.map(lambda v: field > v),
        bounds.map(lambda v: field >= v),
        st.tuples(bounds, bounds).map(lambda pair: field.between(min(pair), max(pair))),
    )


def _numbers(field: F, pool: list[Any]) -> st.SearchStrategy[Filter]:
    bounds = [
        -3,
        -2.5,
        -1,
        -0.5,
        0,
        0.5,
        1,
        1.5,
        2,
        2.5,
        2019.5,
        2020,
        2020.5,
        2**53 - 1,
        -(2**53 - 1),
        2**53 + 1,
        2**63 - 1,
        -(2**63),
    ]
    return st.one_of(_equalities(field, pool), _orders(field, st.sampled_from(bounds)))


def _moments(field: F) -> st.SearchStrategy[Filter]:
    moments = [
        datetime(2020, 1, 31, tzinfo=UTC),
        datetime(2020, 1, 31, 10, tzinfo=UTC),
        datetime(2020, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC),
        datetime(2020, 1, 31, 10, 0, 0, 123_456, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ]
    return st.one_of(_equalities(field, moments), _orders(field, st.sampled_from(moments)))


def _places(field: F) -> st.SearchStrategy[Filter]:
    circles = st.tuples(st.sampled_from(COORDINATES), st.sampled_from([0.5, 5, 50, 500, 5000, 15_000]))
    return st.one_of(
        circles.map(lambda pair: field.within(km=pair[1], of=pair[0])),
        st.sampled_from(BOXES).map(lambda box: field.in_box(top_left=box[0], bottom_right=box[1])),
        st.sampled_from(POLYGONS).map(lambda polygon: field.in_polygon(polygon[0], holes=polygon[1])),
    )
