"""Filters written in Python."""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters import F, Filter, all_of, any_of, at_least, parse_filter
from tasb_qdrant.filters.conditions import Between, Compare, Count, Equals, In, Within
from tasb_qdrant.filters.nodes import MAX_DEPTH, And, Not, Or


def test_comparisons_make_filters() -> None:
    assert (F("year") >= 2020) == Compare("year", ">=", 2020)
    assert (F("lang") != "en") == Not(Equals("lang", "en"))
    assert F("lang").not_in(["en"]) == Not(In("lang", ("en",)))
    assert F("place").within(m=500, of=(52.5, 13.4)) == F("place").within(km=0.5, of=(52.5, 13.4))


def test_a_comparison_with_the_value_on_the_left_is_turned_round() -> None:
    assert (2020 <= F("year")) == (F("year") >= 2020)  # noqa: SIM300  # the order under test
    assert ("en" == F("lang")) == (F("lang") == "en")  # noqa: SIM300  # as above


def test_and_or_are_flat_and_not_of_not_is_nothing() -> None:
    a, b, c = (F(name) == 1 for name in "abc")
    assert (a & b) & c == a & (b & c) == And((a, b, c)) == all_of([a, b, c])
    assert (a | b) | c == Or((a, b, c)) == any_of([a | b, c])
    assert ~~a == a
    assert all_of([a]) == a


def test_a_count_compared_in_two_ways_is_one_filter() -> None:
    count = F("tags").count()
    assert (count > 1) == (count >= 2) == Count("tags", 2)
    assert (count < 3) == (count <= 2) == Count("tags", 0, 2)
    assert (count != 2) == Not(count == 2)
    with pytest.raises(TypeError, match="compare it"):
        bool(count)


def test_a_list_is_opened_by_any_alone() -> None:
    assert F("authors[]").any(F("name") == "Ada") == F("authors").any(F("name") == "Ada")
    assert F("a").any(F("x") == 1, F("y") == 2) == F("a").any((F("x") == 1) & (F("y") == 2))


def test_a_ring_closes_by_itself_and_an_id_is_asked_for_once() -> None:
    ring = [(0, 0), (0, 1), (1, 1)]
    assert F("p").in_polygon([*ring, (0, 0)]) == F("p").in_polygon(ring)
    assert F.ids(["a", "b", "a"]) == F.ids(["a", "b"])


def test_filters_that_python_takes_for_equal_are_different_filters() -> None:
    ones: list[Filter] = [F("x") == 1, F("x") == 1.0, F("x") == True]  # noqa: E712  # that is how a filter is written
    assert len(set(ones)) == 3
    assert ones[0] != ones[1]


@pytest.mark.parametrize(
    "chained",
    [
        lambda: 2000 <= F("year") <= 2010,
        lambda: (F("a") == 1) and (F("b") == 2),
        lambda: (F("a") == 1) or (F("b") == 2),
        lambda: not (F("a") == 1),  # noqa: SIM201  # the slip under test
    ],
)
def test_pythons_own_logic_is_refused_rather_than_half_dropped(chained: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"& \| ~ .*between\(2000, 2010\)"):
        chained()


def test_a_field_alone_is_no_filter() -> None:
    with pytest.raises(TypeError, match="exists"):
        bool(F("draft"))
    with pytest.raises(TypeError, match="parentheses"):
        _ = F("a") == 1 & F("b") == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(F("a"))


def test_a_date_is_its_midnight_in_utc_and_a_naive_datetime_is_in_utc() -> None:
    midnight = F("t") >= datetime(2020, 1, 31, tzinfo=UTC)
    assert (F("t") >= date(2020, 1, 31)) == midnight
    assert (F("t") >= datetime(2020, 1, 31)) == midnight  # noqa: DTZ001  # naive on purpose
    assert (F("t") >= datetime(2020, 1, 31, 2, tzinfo=timezone(timedelta(hours=2)))) == midnight
    assert (F("t") >= "2020-01-31") == midnight
    assert (F("t") == "2020-01-31") == Equals("t", "2020-01-31")


def test_values_are_kept_as_plain_types() -> None:
    class Lang(enum.StrEnum):
        EN = "en"

    where = F("lang") == Lang.EN
    assert where == Equals("lang", "en")
    assert type(where.value) is str
    assert (F("x") == -0.0) == (F("x") == 0.0)


def test_values_of_other_libraries_are_what_they_stand_for() -> None:
    class Year(enum.Enum):
        FIRST = 2020

    number = F("x") >= 3
    assert (F("x") >= np.int64(3)) == (F("x") >= Decimal(3)) == number
    assert type(F("x") == np.float32(0.5)) is Equals
    assert (F("x") == Year.FIRST) == Equals("x", 2020)
    assert (F("x") == np.bool_(True)) == Equals("x", True)
    assert (F("x") == UUID(int=1)) == Equals("x", "00000000-0000-0000-0000-000000000001")
    assert F("x").in_(np.arange(3)) == In("x", (0, 1, 2))
    moment = datetime(2020, 1, 31, 10, tzinfo=UTC)
    assert (F("t") >= np.datetime64("2020-01-31T10:00")) == (F("t") >= moment)
    assert (F("x").count() >= np.int64(2)) == Count("x", 2)
    assert at_least(np.int64(1), F("a") == 1, F("b") == 2).count == 1  # type: ignore[arg-type]  # as above
    with pytest.raises(FilterError, match=r"is_null\(\)"):
        _ = F("t") == np.datetime64("NaT")
    with pytest.raises(FilterError, match="finite"):
        _ = F("x") >= Decimal("NaN")


def test_none_of_no_values_is_everything() -> None:
    assert F("x").not_in([]) == Not(In("x", ()))


@pytest.mark.parametrize(
    "written",
    [
        "2024-02-03 12:45:46+00",
        "2024-02-03 12:45:46.000000000+00",
        "2024-02-03 14:45:46 +0200",
        "2024-02-03T12:45:46 utc",
        "2024-02-03t12:45:46z",
        "2024-02-03 12:45:46",
    ],
)
def test_a_moment_is_read_as_databases_write_it(written: str) -> None:
    moment = datetime(2024, 2, 3, 12, 45, 46, tzinfo=UTC)
    assert (F("t") >= written) == (F("t") >= moment) == parse_filter(f"t >= {written}")


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: F("x") == None, r"is_null\(\)"),  # noqa: E711  # the slip under test
    (lambda: F("x") == [1], "got list"),
    (lambda: F("x") == F("y"), "two fields"),  # type: ignore[operator]  # NumPy's scalars, and fields, are no type of a value
    (lambda: F("x") == float("nan"), "not a finite number"),
    (lambda: F("x") < float("inf"), "not a finite number"),
    (lambda: F("x") == 2**63, "64-bit"),
    (lambda: F("x") >= 2**63, "64-bit"),
    (lambda: F("x") >= True, "no order"),
    (lambda: F("x") == "a\x00", "NUL"),
    (lambda: F("x") == "\ud800", "surrogate"),
    (lambda: F("x").in_([]), "at least one"),
    (lambda: F("x").in_("en"), r"write \['en'\]"),
    (lambda: F("x").in_([1, "1"]), "number and string"),
    (lambda: F("x").in_([1, True]), "boolean and number"),
    (lambda: F("x").between(2, 1), "swap"),
    (lambda: F("x").between(1, date(2020, 1, 1)), "two numbers or two datetimes"),
    (lambda: F("x").contains(" -- "), "a word"),
    (lambda: F("x").contains_any("?"), "a word"),
    (lambda: F("x").contains_phrase(""), "a word"),
    (lambda: F("x").count() >= 0, "is always true"),
    (lambda: F("x").count() < 0, "0 or more"),
    (lambda: F("x").count() == -1, "0 or more"),
    (lambda: F("x").count() > 1.5, "whole number"),  # type: ignore[operator]  # NumPy's scalars, and fields, are no type of a value
    (lambda: F("x").count() == True, "whole number"),  # noqa: E712  # the slip under test
    (lambda: F("x").count().between(3, 2), "no count is between"),
    (lambda: F("x").any(), "at least one"),
    (lambda: F("x").any(F("y")), "is not a filter"),  # type: ignore[arg-type]  # as above
    (lambda: F("x").any((F("y") == 1) | F.ids(["a"])), "no passage id"),
    (lambda: F("x").any(~F("y").any(at_least(1, F.ids(["a"]), F("z") == 1))), "no passage id"),
    (lambda: F.ids([]), "at least one"),
    (lambda: F.ids("ab"), "a list of passage ids"),
    (lambda: F.ids([3]), "non-empty string"),  # type: ignore[list-item]  # as above
    (lambda: F.ids([""]), "non-empty string"),
    (lambda: at_least(0, F("x") == 1, F("y") == 1), "from 1 to 2"),
    (lambda: at_least(3, F("x") == 1, F("y") == 1), "from 1 to 2"),
    (lambda: at_least(1, F("x") == 1), "two or more"),
    (lambda: at_least(1, F("x"), F("y") == 1), "is not a filter"),  # type: ignore[arg-type]  # as above
    (lambda: all_of([F("x")]), "is not a filter"),  # type: ignore[list-item]  # as above
    (lambda: F("x").in_polygon([(0, 0), (1, 1), (0, 0)]), "at least three corners, got 2"),
    (lambda: F("x").in_polygon([(0, 0), (1, 1), (91, 0)]), "latitude comes first"),
    (lambda: F("x").in_polygon([(0, 0), (1, 1), (0, 1)], holes=[[(0, 0)]]), "three corners"),
    (lambda: F("x").in_polygon("here"), "a list of"),  # type: ignore[arg-type]  # as above
    (lambda: F("x").contains(1), "a string"),  # type: ignore[arg-type]  # as above
    (lambda: F("x").within(of=(0, 0)), "one distance"),
    (lambda: F("x").within(km=1, m=1, of=(0, 0)), "one distance"),
    (lambda: F("x").within(km=0, of=(0, 0)), "more than 0"),
    (lambda: F("x").within(km=1, of=(91, 0)), "latitude comes first"),
    (lambda: F("x").within(km=1, of=(1,)), r"\(lat, lon\)"),  # type: ignore[arg-type]  # as above
    (lambda: F("x").in_box(top_left=(1, 1), bottom_right=(2, 2)), "empty"),
    (lambda: F("x").in_box(top_left=(2, 1), bottom_right=(1, 1)), "empty"),
    (lambda: F(""), "is not a field name"),
    (lambda: F("a..b"), "is not a field name"),
    (lambda: F("a[x]"), "is not a field name"),
    (lambda: F("[0]"), "is not a field name"),
    (lambda: F(f"a[{10**18}]"), "a position of 19 digits"),
    (lambda: F("a[" + "9" * 5_000 + "]"), "a position of 5000 digits"),
    (lambda: F(1), "must be a string"),  # type: ignore[arg-type]  # as above
    (lambda: all_of([]), "at least one"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_what_makes_no_sense_is_refused_when_it_is_written(build: Callable[[], object], message: str) -> None:
    with pytest.raises(FilterError, match=message):
        build()


def test_a_filter_too_deep_to_send_is_refused() -> None:
    where: Filter = F("x") == 0
    for _ in range(MAX_DEPTH // 2):
        where = ~(where & (F("y") == 1))
    with pytest.raises(FilterError, match="nested 25 deep"):
        ~where & where | where


def test_a_long_chain_is_not_deep() -> None:
    where: Filter = F("x") == 0
    for number in range(2000):
        where = where | (F("x") == number)
    assert where.depth == 1


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("author.name", "author.name"),
        ("authors[].name", "authors[].name"),
        ("tags[0]", "tags[0]"),
        ("odd name", "`odd name`"),
        ("`a.b`.c", "`a.b`.c"),
        ('"a.b".c', "`a.b`.c"),
        ("not", "`not`"),
        ("ünder", "ünder"),
        ("2nd", "`2nd`"),
    ],
)
def test_a_field_has_one_spelling(written: str, name: str) -> None:
    assert F(written).name == name
    assert F(name).name == name


def test_a_filter_shows_what_it_is() -> None:
    assert repr(F("x").between(1, 2)) == repr(Between("x", 1, 2)) == "Between(field='x', low=1, high=2)"
    assert Within("p", 1, 2, 3).metres == 3.0


def test_importing_filters_loads_nothing_heavy() -> None:
    code = "import sys, tasb_qdrant.filters; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded: set[Any] = set(done.stdout.split())
    assert not loaded & {"torch", "lark", "qdrant_client", "qdrant_edge", "pydantic", "numpy"}


def test_filters_of_the_same_parts_and_another_kind_differ() -> None:
    """Answers and translations are remembered by filter: equal ones would get each other's."""
    k, a, b = F("k"), F("a").exists(), F("b").exists()
    made: list[Filter] = [
        *(k.exists(), k.is_null(), k.is_empty()),
        *(k.contains("x"), k.contains_any("x"), k.contains_phrase("x"), k.prefix("x"), k.substring("x"), k == "x"),
        *(a & b, a | b, ~a, a),
        *(k == 1, k == 1.0, k == True, k.in_([1]), k.in_([1.0])),  # noqa: E712  # a filter on a boolean
    ]
    assert len(set(made)) == len(made)
    assert [made.index(each) for each in made] == list(range(len(made)))
