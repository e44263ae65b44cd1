"""Filters against the indexes and payloads of a collection."""

from __future__ import annotations

import re

import pytest

from tasb_qdrant.errors import FilterTypeError
from tasb_qdrant.filters import check_filter, parse_filter, seen_kinds
from tasb_qdrant.settings import IndexType

INDEXES: dict[str, IndexType] = {
    "lang": "keyword",
    "year": "integer",
    "score": "float",
    "draft": "bool",
    "published": "datetime",
    "place": "geo",
    "text": "text",
    "ref": "uuid",
    '"odd name"': "keyword",
}
SEEN = seen_kinds(
    [
        {"year": 2020, "lang": "en", "free": "x", "tags": ["a"], "authors": [{"name": "Ada", "age": 36}]},
        {"year": 2021, "free": None, "author": {"name": "Bo"}, "odd name": 1, "a.b": 1},
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        'lang = "en" and lang in ["en", "de"]',
        "year = 2020 and year >= 2019.5 and year = 2020.0",
        "score between 1 and 2.5",
        "draft != true",
        "published >= 2020-01-31 and published >= '2020-01-31'",
        "place within 5 km of (0, 0)",
        'text contains "x" and text = "x"',
        'ref = "550E8400-E29B-41D4-A716-446655440000"',
        "lang exists and year is null and place is empty and text is not null",
        '`odd name` = "x"',
        "count(lang) > 1 and count(text) = 1 and count(place) < 2",
        'text contains any "x" and text contains phrase "x"',
        "place in polygon [(0, 0), (0, 1), (1, 1)]",
        'at least 1 of (year = 2020, lang = "en") or ids("a")',
        'authors any (name = "Ada" and age > 30)',
    ],
)
def test_a_filter_that_suits_its_indexes_passes_without_a_word(text: str) -> None:
    assert check_filter(parse_filter(text), indexes=INDEXES, seen=SEEN) == []


@pytest.mark.parametrize(
    ("text", "index", "message"),
    [
        ('year >= "2020"', "integer", 'got the string "2020".*write year >= 2020 without quotes'),
        ('year = "2020"', "integer", "write year = 2020 without quotes"),
        ('year in [2020] and not year in ["2021"]', "integer", "2021 without quotes"),
        ("year = 2020.5", "integer", "a whole number"),
        ("year < 1e300", "integer", "within"),
        ("year = true", "integer", "compare with a number"),
        ("year >= 2020-01-31", "integer", "got the datetime 2020-01-31"),
        ("lang = 3", "keyword", 'write lang = "3" with quotes'),
        ("lang > 3", "keyword", "no order"),
        ('lang > "a"', "keyword", "no order"),
        ("lang = 2020-01-31", "keyword", "with quotes"),
        ('draft = "true"', "bool", "write draft = true without quotes"),
        ('published = "2020-01-31"', "datetime", "write published = 2020-01-31 without quotes"),
        ('published >= "31.01.2020"', "datetime", "2020-01-31T10:00:00Z"),
        ("published >= 2020", "datetime", "got the integer 2020"),
        ('lang contains "en"', "keyword", "--index lang:text"),
        ('lang contains any "en"', "keyword", "--index lang:text"),
        ('lang contains phrase "en"', "keyword", "--index lang:text"),
        ("lang in polygon [(1, 2), (3, 4), (5, 5)]", "keyword", r"got the place \(1.0, 2.0\).*lang:geo"),
        ('at least 1 of (lang = "en", year = "2020")', "integer", "2020 without quotes"),
        ('place = "Berlin"', "geo", "within 5 km"),
        ("lang within 5 km of (1, 2)", "keyword", r"got the place \(1.0, 2.0\).*lang:geo"),
        ("year in box (2, 1) to (1, 2)", "integer", "year:geo"),
        ('ref = "x"', "uuid", "not a UUID"),
        ("score = false", "float", "boolean"),
    ],
)
def test_a_value_that_can_never_match_the_index_is_refused(text: str, index: str, message: str) -> None:
    with pytest.raises(FilterTypeError, match=message) as caught:
        check_filter(parse_filter(text), indexes=INDEXES)
    assert caught.value.indexed_as == index


@pytest.mark.parametrize(
    "text", ['free contains "x"', 'free contains any "x"', 'free contains phrase "x"', 'free >= "x"']
)
def test_without_an_index_words_and_orders_of_strings_are_refused(text: str) -> None:
    with pytest.raises(FilterTypeError, match="free has no index") as caught:
        check_filter(parse_filter(text), indexes=INDEXES, seen=SEEN)
    assert caught.value.indexed_as is None


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("yaer >= 2020", 'no field "yaer" in this collection; closest: year'),
        ("not (lagn = 1)", 'no field "lagn" in this collection; closest: lang'),
        ('authors.name = "Ada"', "closest: authors\\[\\].name"),
        ("zzz exists", "fields: "),
        ("free = 3", "free holds strings, which a number never matches"),
        ('authors any (nmae = "Ada")', r'no field "authors\[\].nmae" in this collection; closest: authors\[\].name'),
        ('authors any (age = "36")', r"authors\[\].age holds numbers"),
        ('author any (name = "Ada")', "closest: author.name"),
        ("count(tag) > 1", 'no field "tag" in this collection; closest: tags'),
        ("free in polygon [(1, 2), (3, 4), (5, 5)]", "which a place never matches"),
        ("tags = true", "tags holds strings, which a boolean never matches"),
        ('authors[].age = "36"', "authors\\[\\].age holds numbers, which a string never matches"),
        ("free within 5 km of (0, 0)", "free holds strings, which a place never matches"),
    ],
)
def test_a_slip_in_an_unindexed_field_is_a_warning(text: str, warning: str) -> None:
    (found,) = check_filter(parse_filter(text), indexes=INDEXES, seen=SEEN)
    assert re.search(warning, found)


@pytest.mark.parametrize(
    "text",
    [
        'free = "y"',
        "free >= 2020-01-31",
        'tags[] = "a"',
        "tags[0] exists",
        "author.name is null",
        "`a.b` = 1",
        "lang[] exists",
    ],
)
def test_a_field_that_was_seen_passes_without_a_word(text: str) -> None:
    assert check_filter(parse_filter(text), indexes=INDEXES, seen=SEEN) == []


def test_the_fields_of_an_element_are_checked_by_their_whole_paths() -> None:
    where = parse_filter('books any (authors any (age >= "x"))')
    with pytest.raises(FilterTypeError) as caught:
        check_filter(where, indexes={"books[].authors[].age": "integer"})
    assert caught.value.field == "books[].authors[].age"


def test_without_a_sample_nothing_is_said_of_unknown_fields() -> None:
    assert check_filter(parse_filter("yaer = 1"), indexes=INDEXES) == []
    assert check_filter(parse_filter("yaer = 1"), indexes=INDEXES, seen={}) == []


def test_an_index_that_holds_nothing_vouches_for_nothing() -> None:
    indexes: dict[str, IndexType] = {"topci": "keyword", "topic": "integer", "year": "integer"}
    seen = {"topic": frozenset({"string"}), "year": frozenset({"number"})}
    empty = {"topci", "topic"}
    (unknown,) = check_filter(parse_filter('topci = "tea"'), indexes=indexes, seen=seen, empty=empty)
    assert unknown == 'no field "topci" in this collection; closest: topic'
    (other,) = check_filter(parse_filter("topic = 3"), indexes=indexes, seen=seen, empty=empty)
    assert other == "topic holds strings, which a number never matches"
    with pytest.raises(FilterTypeError, match=r"holds no passage.*collection index drop topic"):
        check_filter(parse_filter('topic = "tea"'), indexes=indexes, seen=seen, empty=empty)
    assert check_filter(parse_filter("year = 3"), indexes=indexes, seen=seen, empty=empty) == []


def test_the_same_slip_twice_is_one_warning() -> None:
    assert len(check_filter(parse_filter("yaer > 1 and yaer < 3"), indexes=INDEXES, seen=SEEN)) == 1
