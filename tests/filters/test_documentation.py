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

from tasb_qdrant.collection.filter_edge import to_edge
from tasb_qdrant.collection.filter_qdrant import to_qdrant
from tasb_qdrant.errors import FilterSyntaxError, FilterTypeError
from tasb_qdrant.filters import F, check_filter, format_filter, parse_filter, seen_kinds
from tasb_qdrant.settings import IndexType
from tests.filters.predicate import matches

PAGE = Path(__file__).parents[2] / "docs" / "filters.md"
ROW = re.compile(r"^\| `(.+)` \| `(\{.*\})` \| (yes|no) \|$", re.MULTILINE)
PYTHON = re.compile(r"^\| `([^|]+?)`(?:, .*)? \| `(F\(.+?\)|\(F.+\))`(?:, .*)? \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())
INDEXES: dict[str, IndexType] = {"text": "text"}


def test_the_page_has_examples_of_every_part() -> None:
    assert len(ROWS) > 70


@pytest.mark.parametrize(("text", "payload", "answer"), ROWS)
def test_an_example_row_is_what_the_predicate_says(text: str, payload: str, answer: str) -> None:
    assert matches(parse_filter(text), json.loads(payload)) is (answer == "yes")


def test_every_example_row_is_what_the_embedded_store_does() -> None:
    with tempfile.TemporaryDirectory() as folder:
        vectors = qdrant_edge.EdgeVectorParams(size=4, distance=qdrant_edge.Distance.Dot)
        shard = qdrant_edge.EdgeShard.create(f"{folder}/shard", qdrant_edge.EdgeConfig(vectors=vectors))
        shard.update(qdrant_edge.UpdateOperation.create_field_index("text", qdrant_edge.PayloadSchemaType.Text))
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
    names: dict[str, Any] = {"F": F, "UTC": UTC, "date": date, "datetime": datetime}
    rows = PYTHON.findall(PAGE.read_text())
    assert len(rows) >= 12
    for text, code in rows:
        built = eval(code.replace("\\|", "|"), names)  # the page's own code
        assert built == parse_filter(text), text
        assert parse_filter(format_filter(built)) == built
