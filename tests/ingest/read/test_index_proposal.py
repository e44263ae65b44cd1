"""Which payload indexes are proposed when none was asked for."""

from __future__ import annotations

import json
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
    assert list(proposal.indexes()) == ["_a", "a-b"]


def test_a_thousand_payloads_and_twenty_fields_are_enough() -> None:
    proposal = IndexProposal()
    for _ in range(SAMPLE_SIZE):
        proposal.look_at({f"f{n:02}": n for n in range(30)})
    proposal.look_at({"f00": "a string"})
    assert proposal.indexes() == {f"f{n:02}": "integer" for n in range(20)}


def test_the_order_of_the_fields_does_not_matter() -> None:
    names = [f"f{n:02}" for n in range(30)]
    one, other = IndexProposal(), IndexProposal()
    one.look_at({"z": None, **dict.fromkeys(reversed(names), 1)})
    other.look_at({**dict.fromkeys(names, 1), "z": None})
    assert list(one.indexes().items()) == list(other.indexes().items()) == [(name, "integer") for name in names[:20]]


def test_the_proposal_does_not_depend_on_who_reads(tmp_path: Path) -> None:
    fields = {f"z{letter}": 1 for letter in reversed("abcdefghijklmnopqrstuvwxy")} | {"a": 1}
    (file := tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", "text": "t", **fields}) + "\n")
    one, two = (
        ingest(file, collection="c", path=tmp_path / str(workers), encoder=StubEncoder(), workers=workers)
        for workers in (1, 2)
    )
    assert list(one.proposed_indexes.items()) == list(two.proposed_indexes.items())
    assert list(one.proposed_indexes)[:2] == ["a", "za"]


def test_nulls_in_arrays_do_not_end_a_run(tmp_path: Path) -> None:
    passages = [Passage("1", "t", payload={"tags": ["a", None], "none": [None], "deep": [[None]]})]
    report = ingest(passages, collection="c", path=tmp_path, encoder=StubEncoder())
    assert report.proposed_indexes == {"tags": "keyword"}
