"""Filters read from text and written as text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasb_qdrant.errors import FilterError, FilterSyntaxError
from tasb_qdrant.filters import F, Filter, at_least, format_filter, parse_filter
from tests.filters.strategies import filters, mixed_filters, typed_filters

a, b, c = (F(name) == 1 for name in "abc")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1 or b = 1 and c = 1", a | (b & c)),
        ("(a = 1 or b = 1) and c = 1", (a | b) & c),
        ("not a = 1 and b = 1", ~a & b),
        ("not (a = 1 and b = 1)", ~(a & b)),
        ("NOT a == 1 AND B=1", ~a & (F("B") == 1)),
        ("a=1\n\tand b=1", a & b),
        ("x = 'it\\'s'", F("x") == "it's"),
        (r'x = "\u00e9\ud83d\ude42\n"', F("x") == "é🙂\n"),
        ("x = -1.5e3", F("x") == -1500.0),
        ("in-stock = TRUE", F("in-stock") == True),  # noqa: E712  # that is how a filter is written
        ("box = 1 and to exists", (F("box") == 1) & F("to").exists()),
        ("`and`.`x y`[][0].z in [1,2]", F("`and`.`x y`[][0].z").in_([1, 2])),
        ("p within 500m of (1, -2)", F("p").within(m=500, of=(1, -2))),
        ("count (tags) > 1 and count > 1", (F("tags").count() >= 2) & (F("count") > 1)),
        ("COUNT(a.b) between 1 and 2", F("a.b").count().between(1, 2)),
        ("count(tags) != 0", ~(F("tags").count() == 0)),
        ("ids('a') or ids = 'a' or ids[0] = 'a'", F.ids(["a"]) | (F("ids") == "a") | (F("ids[0]") == "a")),
        ("at\nleast 1 of (a = 1, b = 1 or c = 1)", at_least(1, a, b | c)),
        ("at = 1 and least = 1", (F("at") == 1) & (F("least") == 1)),
        ("any any (any = 1)", F("any").any(F("any") == 1)),
        ("phrase contains phrase 'x'", F("phrase").contains_phrase("x")),
        ("p in polygon [(1,2),(3,4),(5,6),(1,2)]", F("p").in_polygon([(1, 2), (3, 4), (5, 6)])),
        ("t = 2020-01-31t10:00z", F("t") == F("t").between("2020-01-31T10:00", "2020-01-31T10:00").low),
    ],
)
def test_text_says_a_filter(text: str, where: Filter) -> None:
    assert parse_filter(text) == where


@given(st.one_of(typed_filters(contains=True), mixed_filters()))
def test_a_filter_written_as_text_is_read_as_the_same_filter(where: Filter) -> None:
    text = format_filter(where)
    assert parse_filter(text) == where
    assert format_filter(parse_filter(text)) == text


STORABLE = st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"])
NAMES = st.text(st.characters(blacklist_characters='\x00`"\\', blacklist_categories=["Cs"]), min_size=1)
VALUES = st.one_of(st.text(STORABLE), st.floats(allow_nan=False, allow_infinity=False), st.datetimes())


@given(filters(st.tuples(NAMES, VALUES).map(lambda pair: F(f"`{pair[0]}`") == pair[1])))
def test_any_field_name_and_value_survives_being_written(where: Filter) -> None:
    assert parse_filter(format_filter(where)) == where


@settings(max_examples=300)
@given(st.text(alphabet=string.ascii_letters + string.digits + " ()[]`\"'=<>!.,-\\\n&é", max_size=40))
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    try:
        where = parse_filter(text)
    except FilterError as error:
        column = getattr(error, "column", 1)
    else:
        column = 1
        assert parse_filter(format_filter(where)) == where
    assert 1 <= column <= len(text) + 1


VALUE = 'a value (a number, "text" in quotes, true, false, or a date such as 2020-01-31)'


MISTAKES: list[tuple[str, int, str, str]] = [
    ("", 1, "a field name", "the end"),
    ("year", 5, "an operator", "the end"),
    ("year = ", 7, VALUE, "the end"),
    ("year => 2020", 6, "an operator", "=> (write >=)"),
    ("year <> 2020", 6, "an operator", "<> (write !=)"),
    ("lang = en", 8, VALUE, 'the word en (text stands in quotes: "en")'),
    ("lang = null", 8, VALUE, "null (write FIELD is null)"),
    ("lang is 3", 9, '"null" or "empty"', "3"),
    ("a = 1 && b = 2", 7, '"and", "or" or the end', "&& (write and)"),
    ("a = 1 b = 2", 7, '"and", "or" or the end', "the word b"),
    ("(a = 1", 7, '"and", "or" or ")"', "the end"),
    ("a = 1)", 6, '"and", "or" or the end', ")"),
    ("a = 1 and", 10, "a field name", "the end"),
    ("a = 1 and or b = 1", 11, "a field name", "the word or"),
    ("a in []", 7, VALUE, "]"),
    ("a in 1", 6, '"box" or "polygon" or "["', "1"),
    ("a in [1 2]", 9, '"," or "]"', "2"),
    ('a = "x', 7, 'a closing "', "the end"),
    ("`a = 1", 7, "a closing `", "the end"),
    (r'a = "\x"', 6, "a JSON escape", r"\x"),
    ("a = 2020-02-30", 5, "a date that exists", "2020-02-30"),
    ("a = 1e999", 5, "a finite number", "1e999"),
    ("a = 007", 6, '"and", "or" or the end', "07"),
    ("a contains 3", 12, '"text" in quotes', "3"),
    ("a within 5 miles of (1, 2)", 12, '"km" or "m"', "the word miles"),
    ("a within 5 km from (1, 2)", 15, '"of"', "the word from"),
    ("a between 1 or 2", 13, '"and"', "the word or"),
    ("in = 1", 1, "a field name", "the word in"),
    ("count(tags) >= 1.5", 16, "a whole number, 0 or more", "1.5"),
    ("count(tags) in [1]", 13, "an operator (= != < <= > >= or between)", "the word in"),
    ("count(tags >= 1", 12, '")"', ">="),
    ("ids(1)", 5, '"text" in quotes', "1"),
    ('ids("a"', 8, '"," or ")"', "the end"),
    ("at least two of (a = 1)", 10, "a number", "the word two"),
    ("at least 2 (a = 1)", 12, '"of"', "("),
    ("at least 2 of (a = 1", 21, '"and", "or" or "," or ")"', "the end"),
    ("authors any name = 1", 13, '"("', "the word name"),
    (
        "a contains solar",
        12,
        '"text" in quotes or "any" or "phrase"',
        'the word solar (text stands in quotes: "solar")',
    ),
    ('a contains any ["x"]', 16, '"text" in quotes', "["),
    ("a in circle", 6, '"box" or "polygon" or "["', "the word circle"),
    ("a in polygon (1, 2)", 14, '"["', "("),
    ("a in polygon [(1, 2)] with", 23, '"without" or "and", "or" or the end', "the word with"),
    ("is. = 1", 1, "a field name", "the word is."),
]


@pytest.mark.parametrize(("text", "column", "expected", "found"), MISTAKES)
def test_a_mistake_is_shown_where_it_is(text: str, column: int, expected: str, found: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text)
    error = caught.value
    assert (error.column, error.found) == (column, found)
    assert error.expected.startswith(expected)
    *_, shown, pointer = str(error).split("\n")
    assert shown == f"  {text}"
    assert pointer == "  " + " " * (column - 1) + "^"


def test_a_mistake_far_into_a_long_filter_is_shown_with_what_is_around_it() -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter("a = 1\nand " * 1000 + "b = ?")
    shown, pointer = str(caught.value).split("\n")[1:]
    assert shown[pointer.index("^")] == "?"
    assert len(shown) < 130


@pytest.mark.parametrize("text", ["(" * 30_000 + "a = 1" + ")" * 30_000, "not " * 16_000 + "a = 1"])
def test_brackets_and_nots_around_nothing_more_may_be_many(text: str) -> None:
    assert parse_filter(text) == a


def test_nesting_that_could_not_be_sent_is_refused() -> None:
    with pytest.raises(FilterError, match="nested"):
        parse_filter("not (b = 1 and " * 4000 + "a = 1" + ")" * 4000)


def test_a_text_over_64_kib_is_refused() -> None:
    with pytest.raises(FilterError, match="64 KiB"):
        parse_filter(f'a = "{"é" * 33_000}"')


def test_a_list_of_two_kinds_is_refused() -> None:
    with pytest.raises(FilterError, match="number and string"):
        parse_filter('a in [1, "1"]')
