"""The examples of docs/filters.md."""

from __future__ import annotations

import json
import re
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge
from hypothesis import given, settings
from lark import Lark
from lark.exceptions import UnexpectedInput

from tasb_qdrant.collection.edge.engine import index_schema
from tasb_qdrant.collection.edge.filters import to_edge
from tasb_qdrant.collection.reads.filters import to_qdrant
from tasb_qdrant.errors import FilterSyntaxError, FilterTypeError
from tasb_qdrant.filters import F, Filter, at_least, check_filter, format_filter, indexes_of, parse_filter, seen_kinds
from tasb_qdrant.settings import IndexType
from tests.filters.predicate import matches
from tests.filters.strategies import typed_filters
from tests.filters.test_text import MISTAKES

PAGE = Path(__file__).parents[2] / "docs" / "filters.md"
ROW = re.compile(r"^\| `(.+)` \| `(\{.*\})` \| (yes|no) \|$", re.MULTILINE)
PYTHON = re.compile(r"^\| `([^|]+?)`(?:, .*)? \| `(F[.(].+?\)|\(F.+\)|at_least\(.+\))`(?:, .*)? \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())
SENSELESS = {"2020-02-30", "1e999", "1.5", r"\x"}
"""Values that the grammar can read, and that make no sense."""
INDEXES: dict[str, IndexType] = {"text": "text"}


def test_the_page_has_examples_of_every_part() -> None:
    assert len(ROWS) > 110


SECTIONS = {
    "Number of values": r"\bcount\b",
    "Objects in a list": r"\bany\b|\[\]",
    "At least N conditions": r"\bat least\b",
    "Dates": r"\d{4}-\d\d-\d\d",
    "Words": r"\bcontains\b",
    "Parts of a text": r"\b(prefix|substring)\b",
    "Places": r"\b(within|box|polygon)\b",
}
"""What each filter under a heading has, which is what the section is about."""


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_row_stands_under_the_heading_that_explains_it(heading: str) -> None:
    (section,) = re.findall(rf"^### {heading}\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    rows = ROW.findall(section)
    assert rows
    assert [text for text, *_ in rows if not re.search(SECTIONS[heading], text)] == []


@pytest.mark.parametrize(("text", "payload", "answer"), ROWS)
def test_an_example_row_is_what_the_predicate_says(text: str, payload: str, answer: str) -> None:
    assert matches(parse_filter(text), json.loads(payload)) is (answer == "yes")


def test_every_example_row_is_what_the_embedded_store_does() -> None:
    with tempfile.TemporaryDirectory() as folder:
        vectors = qdrant_edge.EdgeVectorParams(size=4, distance=qdrant_edge.Distance.Dot)
        shard = qdrant_edge.EdgeShard.create(f"{folder}/shard", qdrant_edge.EdgeConfig(vectors=vectors))
        shard.update(qdrant_edge.UpdateOperation.create_field_index("text", index_schema("text")))
        points = [qdrant_edge.Point(i, [1.0, 0, 0, 0], json.loads(payload)) for i, (_, payload, _) in enumerate(ROWS)]
        shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
        wrong = []
        for number, (text, payload, answer) in enumerate(ROWS):
            where = parse_filter(text)
            check_filter(where, indexes=INDEXES)
            request = qdrant_edge.ScrollRequest(limit=len(ROWS), filter=to_edge(to_qdrant(where)))
            found = {record.id for record in shard.scroll(request)[0]}
            if (number in found) is not (answer == "yes"):
                wrong.append((text, payload))
        shard.close()
    assert not wrong


def test_the_messages_on_the_page_are_what_is_raised() -> None:
    page = PAGE.read_text()
    with pytest.raises(FilterSyntaxError) as misread:
        parse_filter("lang = en")
    assert str(misread.value) in page
    with pytest.raises(FilterTypeError) as mistyped:
        check_filter(parse_filter('year >= "2020"'), indexes={"year": "integer"})
    assert str(mistyped.value) in page
    (warning,) = check_filter(
        parse_filter("yaer = 2020"), indexes={"year": "integer"}, seen=seen_kinds([{"year": 2020}])
    )
    assert warning in page


def test_the_two_forms_beside_each_other_are_the_same_filter() -> None:
    names: dict[str, Any] = {"F": F, "at_least": at_least, "UTC": UTC, "date": date, "datetime": datetime}
    rows = PYTHON.findall(PAGE.read_text())
    assert len(rows) >= 21
    for text, code in rows:
        built = eval(code.replace("\\|", "|"), names)  # the page's own code
        assert built == parse_filter(text), text
        assert parse_filter(format_filter(built)) == built


def _block(language: str, *, having: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = [text for text in blocks if having in text]
    return block


@pytest.fixture(scope="module")
def grammar() -> Lark:
    return Lark(_block("lark", having="condition:"), start="filter")


def test_the_grammar_on_the_page_reads_every_example(grammar: Lark) -> None:
    for text, *_ in [*ROWS, *PYTHON.findall(PAGE.read_text())]:
        grammar.parse(text)


@settings(max_examples=30, deadline=None)
@given(where=typed_filters(contains=True))
def test_the_grammar_on_the_page_reads_every_filter(grammar: Lark, where: Filter) -> None:
    grammar.parse(format_filter(where))


@pytest.mark.parametrize("text", [text for text, *_, found in MISTAKES if found not in SENSELESS])
def test_the_grammar_on_the_page_refuses_what_the_parser_refuses(grammar: Lark, text: str) -> None:
    with pytest.raises(UnexpectedInput):
        grammar.parse(text)


def test_the_payload_model_on_the_page_works() -> None:
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(_block("python", having="class Article"), str(PAGE), "exec", dont_inherit=True), names)
    assert names["recent"] == parse_filter('year >= 2020 and lang in ["en", "de"]')
    assert names["ada"] == parse_filter('authors any (name = "Ada" and age > 30)')
    assert json.dumps(indexes_of(names["Article"])) in PAGE.read_text()
    with pytest.raises(FilterTypeError):
        names["article"].year >= "2020"  # noqa: B015  # raises
