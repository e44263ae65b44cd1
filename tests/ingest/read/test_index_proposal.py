"""Which payload indexes are proposed when none was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.demo import EXAMPLES
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.read.index_proposal import SAMPLE_SIZE, IndexProposal
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import CollectionSettings, parse_indexes
from tests.ingest.fakes import StubEncoder


def proposed(*values: Any) -> str | None:
    proposal = IndexProposal()
    for value in values:
        proposal.look_at({"f": value})
    return proposal.indexes().get("f")


def test_the_bundled_corpus(tmp_path: Path) -> None:
    report = ingest(EXAMPLES / "passages.jsonl", collection="c", path=tmp_path, encoder=StubEncoder())
    assert report.proposed_indexes == {"topic": "keyword", "year": "integer", "lang": "keyword", "tags": "keyword"}
    options = [f"{field}:{kind}" for field, kind in report.proposed_indexes.items()]
    again = ingest(
        EXAMPLES / "passages.jsonl",
        collection="c",
        path=tmp_path,
        encoder=StubEncoder(),
        settings=CollectionSettings(indexes=parse_indexes(options)),
    )
    assert (again.stored, again.proposed_indexes) == (0, {})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((1, 2), "integer"),
        ((1, 2.5), "float"),
        ((True, False), "bool"),
        ((True, 1), None),
        (("en", "de"), "keyword"),
        (("en", 1), None),
        (("short", "long " * 30), "text"),
        (("2024-01-31", "2024-01-31T10:00:00Z"), "datetime"),
        (("2024-01-31", "unknown"), "keyword"),
        (("20240131",), "keyword"),
        (("123e4567-e89b-12d3-a456-426614174000",), "uuid"),
        (("123e4567-e89b-12d3-a456-426614174000", "none"), "keyword"),
        (({"lon": 1, "lat": 2},), "geo"),
        (({"lon": 1, "lat": 2}, {"x": 1}), None),
        (({"a": {"b": 1}},), None),
        ((["a", "b"], "c", None, []), "keyword"),
        ((["a", None],), "keyword"),
        (([1, "a"],), None),
        (([[1]],), None),
        (([], None, ()), None),
        (([[]],), None),
        ((("a", "b"),), "keyword"),
    ],
)
def test_one_type_that_holds_every_value_or_none(values: tuple[Any, ...], kind: str | None) -> None:
    assert proposed(*values) == kind


def test_names_that_an_option_would_take_otherwise_are_left_out() -> None:
    proposal = IndexProposal()
    proposal.look_at({"a.b": 1, "a b": 1, "a[]": 1, 'a"b': 1, "$x": 1, "-x": 1, "a-b": 1, "_a": 1})
    assert list(proposal.indexes()) == ["a-b", "_a"]


def test_a_thousand_payloads_and_twenty_fields_are_enough() -> None:
    proposal = IndexProposal()
    for _ in range(SAMPLE_SIZE):
        proposal.look_at({f"f{n}": n for n in range(30)})
    proposal.look_at({"f0": "a string"})
    assert proposal.indexes() == {f"f{n}": "integer" for n in range(20)}


def test_nulls_in_arrays_do_not_end_a_run(tmp_path: Path) -> None:
    passages = [Passage("1", "t", payload={"tags": ["a", None], "none": [None], "deep": [[None]]})]
    report = ingest(passages, collection="c", path=tmp_path, encoder=StubEncoder())
    assert report.proposed_indexes == {"tags": "keyword"}
