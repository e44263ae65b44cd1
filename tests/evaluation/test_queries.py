"""Queries are read from lines of three kinds, and what is none of them is named with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasb_qdrant.errors import InvalidInputError, SourceError
from tasb_qdrant.evaluation.queries import Query, read_queries
from tasb_qdrant.evaluation.trec_run import trec_lines
from tasb_qdrant.records import Hit


def read(*lines: str) -> list[Query]:
    return list(read_queries(lines, source="queries.txt"))


def test_a_line_alone_is_a_query_with_its_number_as_id() -> None:
    assert read("how do bees talk\n", "\n", "  what is tea\r\n") == [
        Query("1", "how do bees talk"),
        Query("3", "what is tea"),
    ]


def test_an_id_may_stand_before_a_tab() -> None:
    assert read("\ufeff1048585\twhat is paula deen's brother\n", "2\tb\tc\n") == [
        Query("1048585", "what is paula deen's brother"),
        Query("2", "b\tc"),
    ]


@pytest.mark.parametrize("names", [("_id", "text"), ("id", "query"), ("qid", "question")])
def test_a_query_may_be_an_object(names: tuple[str, str]) -> None:
    lines = [json.dumps(dict(zip(names, pair, strict=True))) for pair in (("PLAIN-3", "tea"), (7, "bees"))]
    assert read(*lines) == [Query("PLAIN-3", "tea"), Query("7", "bees")]


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        (["1\ttea", "bees"], 2, "expected id<TAB>query"),
        (["1\ttea", "1\tbees"], 2, "a second query has the id '1'"),
        (["1\t "], 1, "the query is empty"),
        (['{"_id": "1"}'], 1, "expected the query as a string under one of text, query, question"),
        (['{"text": "a"}', "b"], 2, "expected a JSON object"),
        (['{"text": "a"}', "[1]"], 2, "expected a JSON object, found list"),
        (["x" * 100_001], 1, "is this a corpus?"),
    ],
)
def test_a_line_that_is_no_query_is_named(lines: list[str], line: int, problem: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(*lines)
    assert caught.value.line == line
    assert problem in caught.value.reason


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), unique=True, min_size=1))
def test_objects_come_back_as_they_were_written(texts: list[str]) -> None:
    lines = [json.dumps({"id": text, "text": text}) for text in texts]
    assert read(*lines) == [Query(text, text) for text in texts]


def test_a_run_has_a_line_a_hit_that_others_can_read() -> None:
    hits = [Hit("d1", 12.5, "text"), Hit("d2", 3.0000001, "text")]
    assert list(trec_lines("q", hits, name="mine")) == ["q Q0 d1 1 12.5 mine", "q Q0 d2 2 3.0000001 mine"]


@pytest.mark.parametrize(("query", "passage", "name"), [("a b", "d", "n"), ("q", "d 1", "n"), ("q", "d", "")])
def test_a_run_with_a_space_in_a_column_is_refused(query: str, passage: str, name: str) -> None:
    with pytest.raises(InvalidInputError, match="has a space in it"):
        list(trec_lines(query, [Hit(passage, 1.0, "text")], name=name))
