"""Passage ids that are large numbers: UUIDs as point ids, and integers in collections of earlier versions."""

from __future__ import annotations

import pytest

from tasb_qdrant import F, Passage, Searcher, ingest, verify
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.ingest import plan_sync
from tasb_qdrant.records import IntegerIds
from tasb_qdrant.settings import CollectionSettings
from tests.collection.helpers import Place, fresh_name, options_of
from tests.ingest.fakes import StubEncoder, stub_contract

LARGE = [str(number) for number in (2**53 - 1, 2**53, 2**53 + 1, 1234567890123456789, 2**64 - 1)]
TEXTS = [Passage(one, f"text of {one}") for one in LARGE]


def filled(place: Place, integer_ids: IntegerIds) -> str:
    """A new collection, or one as an earlier version made it, with the passages."""
    name = fresh_name()
    if integer_ids == "u64":
        schema = CollectionSchema.of(stub_contract(), CollectionSettings())
        place.store.create(name, schema.model_copy(update={"format": 1, "integer_ids": "u64"}), CollectionSettings())
    assert ingest(TEXTS, collection=name, encoder=StubEncoder(), **options_of(place)).stored == len(LARGE)
    return name


def test_those_that_javascript_would_round_are_no_integers(place: Place) -> None:
    with place.store.open(filled(place, "u53")) as collection:
        assert collection.integer_ids == collection.info().integer_ids == "u53"
        points = [point.id for point in collection.reads.scroll().points]
    assert [one for one in points if isinstance(one, int)] == [2**53 - 1]


def test_an_old_collection_keeps_them_and_says_so(place: Place) -> None:
    with place.store.open(filled(place, "u64")) as collection:
        assert collection.integer_ids == collection.info().integer_ids == "u64"
        assert [point.id for point in collection.reads.scroll().points] == sorted(map(int, LARGE))


@pytest.mark.parametrize("rule", ["u53", "u64"])
def test_every_way_to_a_passage_leads_there(place: Place, rule: IntegerIds) -> None:
    name, where = filled(place, rule), options_of(place)
    with Searcher(name, encoder=StubEncoder(), **where) as searcher:
        assert list(searcher.get(LARGE)) == LARGE
        assert searcher.count(F.ids(LARGE[1:3])) == 2
        assert {hit.id for hit in searcher.scroll(page_size=2)} == set(LARGE)
        assert {hit.id for hit in searcher.more_like_this(LARGE[3])} == set(LARGE) - {LARGE[3]}
        assert {hit.id for hit in searcher.rerank("text", LARGE)} == set(LARGE)
    again = ingest(TEXTS, collection=name, encoder=StubEncoder(), **where)
    assert (again.stored, again.skipped, again.points) == (0, len(LARGE), len(LARGE))
    assert verify(TEXTS, collection=name, encoder=StubEncoder(), **where).equal
    assert plan_sync(TEXTS[:-1], collection=name, **where).delete == 1
