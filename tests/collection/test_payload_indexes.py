"""An index is made where it holds what is stored, and can be dropped: on both stores, by hand and by a load."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant import CollectionSettings, Passage, Searcher, ingest
from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.errors import (
    IndexMismatchError,
    RejectedError,
    RequestRefusedError,
    ResumeRefusedError,
    SettingsError,
)
from tasb_qdrant.search.where import FilterWarning
from tasb_qdrant.settings import IndexType
from tests.collection.helpers import Place, fresh_name, options_of
from tests.ingest.fakes import StubEncoder, fail_at

TOPICS = ["bees", "owls", "tea"]
DOCS = [
    Passage(f"d{n}", f"text {n}", payload={"topic": TOPICS[n % 3], "year": 2000 + n, "meta": {"page": n}})
    for n in range(60)
]
WRONG: dict[str, IndexType] = {"topic": "integer"}


@pytest.fixture
def name(place: Place) -> str:
    """A filled collection without indexes."""
    name = fresh_name()
    load(place, name, DOCS)
    return name


def load(place: Place, name: str, source: Any, indexes: dict[str, IndexType] | None = None, **more: Any) -> Any:
    settings = CollectionSettings(indexes=indexes or {})
    more = {"encoder": StubEncoder(), **more}
    return ingest(source, collection=name, settings=settings, **more, **options_of(place))


def indexes_of(place: Place, name: str) -> dict[str, IndexType]:
    with place.store.open(name) as collection:
        return collection.indexes()


def opened(place: Place, name: str) -> OpenCollection:
    return place.store.open(name)


def test_a_mistyped_index_leaves_nothing_behind(place: Place, name: str) -> None:
    with pytest.raises(RejectedError, match="field 'topic' is indexed as integer"):
        load(place, name, DOCS, WRONG)
    assert indexes_of(place, name) == {}
    assert load(place, name, DOCS).skipped == len(DOCS)


def test_nor_does_one_whose_misfits_go_to_a_rejects_file(place: Place, name: str, tmp_path: Path) -> None:
    report = load(place, name, DOCS, WRONG, rejects=tmp_path / "rejects.jsonl")
    assert (report.rejected, list(report.refused_indexes)) == (len(DOCS), ["topic"])
    assert not any("no passage has" in warning for warning in report.warnings)
    assert indexes_of(place, name) == {}


@pytest.mark.parametrize("is_new", [True, False])
def test_nor_does_one_whose_misfits_are_all_that_there_is(place: Place, tmp_path: Path, is_new: bool) -> None:
    name = fresh_name()
    if not is_new:
        load(place, name, [Passage("plain", "text")])
    wrong: dict[str, IndexType] = {**WRONG, "year": "integer"}
    docs = [*DOCS, Passage("good", "text", payload={"year": 2000})]
    report = load(place, name, docs, wrong, rejects=tmp_path / "rejects.jsonl")
    assert (report.stored, report.rejected, list(report.refused_indexes)) == (1, len(DOCS), ["topic"])
    assert indexes_of(place, name) == {"year": "integer"}
    assert load(place, name, DOCS).stored == len(DOCS)


def test_nor_does_one_that_only_what_is_stored_does_not_fit(place: Place, name: str) -> None:
    report = load(place, name, [Passage("new", "text")], {**WRONG, "year": "integer"})
    assert (report.stored, indexes_of(place, name)) == (1, {"year": "integer"})
    refused = report.refused_indexes["topic"]
    assert "can't be indexed as integer" in refused
    assert "ask for topic:keyword" in refused
    assert any("is stored with another kind of topic" in note for note in report.notes)


def test_a_load_that_replaces_all_misfits_makes_the_index(place: Place, name: str) -> None:
    numbered = [Passage(one.id, one.text, payload={**one.payload, "topic": n}) for n, one in enumerate(DOCS)]
    report = load(place, name, numbered, WRONG)
    assert (report.updated, report.refused_indexes, indexes_of(place, name)) == (len(DOCS), {}, WRONG)


def test_a_new_collection_keeps_no_index_of_a_load_that_its_input_ended(place: Place) -> None:
    name = fresh_name()
    late = [*(Passage(f"n{n}", "text") for n in range(10_000)), *DOCS]  # more than is read ahead
    with pytest.raises(RejectedError):
        load(place, name, late, WRONG)
    assert indexes_of(place, name) == {}
    assert load(place, name, late, {"topic": "keyword"}).points == len(late)
    assert indexes_of(place, name) == {"topic": "keyword"}


def test_a_killed_load_with_an_index_to_make_resumes_and_makes_it(place: Place, name: str, tmp_path: Path) -> None:
    source = tmp_path / "more.jsonl"
    source.write_text("".join(f'{{"id": "m{n}", "text": "more {n}", "topic": "tea"}}\n' for n in range(1_100)))
    options: dict[str, Any] = {"indexes": {"topic": "keyword"}, "state": tmp_path / "state"}
    killed = StubEncoder(before_encode=fail_at(1, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        load(place, name, source, encoder=killed, **options)
    assert indexes_of(place, name) == {}
    with pytest.raises(ResumeRefusedError, match="--index"):
        load(place, name, source, indexes={"topic": "integer"}, state=options["state"])
    report = load(place, name, source, **options)
    assert (report.resumed["windows"], report.points) == (1, 1_160)
    assert indexes_of(place, name) == {"topic": "keyword"}


def test_indexes_are_added_once_all_is_looked_at(place: Place, name: str) -> None:
    with opened(place, name) as collection:
        for wrong in (WRONG, {**WRONG, "year": "integer"}, {"meta.page": "keyword"}, {"year": "bool"}):
            with pytest.raises(IndexMismatchError, match="No such index was made"):
                collection.add_indexes(wrong)  # type: ignore[arg-type]  # mypy takes the four for one type
        assert collection.indexes() == {}
        seen: list[int] = []
        added = collection.add_indexes({"topic": "keyword", "meta.page": "integer"}, on_page=seen.append)
        assert added == collection.indexes() == {"topic": "keyword", "meta.page": "integer"}
        assert sum(seen) == len(DOCS)
        assert collection.add_indexes({"topic": "keyword"}) == {}
        assert collection.index_points() == {"topic": ("keyword", 60), "meta.page": ("integer", 60)}
        with pytest.raises(RequestRefusedError, match="collection index drop topic"):
            collection.add_indexes({"topic": "text"})


def test_the_last_of_many_passages_is_looked_at_too(place: Place) -> None:
    name = fresh_name()
    load(place, name, [Passage(f"p{n}", "text", payload={"n": n if n < 2_300 else "many"}) for n in range(2_301)])
    with opened(place, name) as collection, pytest.raises(IndexMismatchError) as caught:
        collection.add_indexes({"n": "integer"})
    assert (caught.value.passage_id, caught.value.fitting) == ("p2300", "keyword")


def test_a_dropped_index_is_gone_and_the_values_stay(place: Place, name: str) -> None:
    with opened(place, name) as collection:
        collection.add_indexes({"topic": "keyword", "year": "integer"})
        with pytest.raises(SettingsError, match=r"no payload index on lang; indexed are: topic, year"):
            collection.drop_indexes(["topic", "lang"])
        assert collection.drop_indexes(["topic"]) == {"topic": "keyword"}
        assert collection.indexes() == {"year": "integer"}
    with Searcher(name, encoder=StubEncoder(), **options_of(place)) as searcher:
        assert searcher.count('topic = "tea"') == 20


def test_names_with_dots_are_dropped_as_they_were_added(place: Place) -> None:
    name = fresh_name()
    load(place, name, [Passage("a", "text", payload={"meta.year": 2011, "über": 1})])
    with opened(place, name) as collection:
        collection.add_indexes({"`meta.year`": "integer", "über": "integer"})
        assert {points for _, points in collection.index_points().values()} == {1}
        assert len(collection.drop_indexes(["`meta.year`", "über"])) == 2
        assert collection.indexes() == {}


def test_an_index_without_passages_does_not_vouch_for_its_field(place: Place, name: str) -> None:
    with opened(place, name) as collection:
        collection.ensure_indexes({"topci": "keyword", "year": "integer", **WRONG})
    with Searcher(name, encoder=StubEncoder(), **options_of(place)) as searcher:
        with pytest.warns(FilterWarning, match='no field "topci" in this collection; closest: topic'):
            assert searcher.search("text", where='topci = "tea"') == []
        with pytest.warns(FilterWarning, match="topic holds strings, which a number never matches"):
            assert searcher.search("text", where="topic = 3") == []
        collection = searcher.collection
        collection.drop_indexes(["topic"])
        collection.add_indexes({"page": "integer", "topic": "keyword"})
        for found in (
            lambda: searcher.facet("topci"),
            lambda: searcher.search_groups("text", by="topci"),
            lambda: list(searcher.scroll(order_by="page")),
        ):
            with pytest.warns(FilterWarning, match='no field "(topci|page)" in this collection'):
                assert found() == []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert searcher.search("text", where="year = 2001")
            assert searcher.facet("topic", where="year = 1") == []


def test_an_empty_collection_says_nothing_of_its_indexes(place: Place) -> None:
    name = fresh_name()
    load(place, name, [], {"topic": "keyword"})
    with (
        warnings.catch_warnings(),
        Searcher(name, encoder=StubEncoder(), **options_of(place)) as searcher,
    ):
        warnings.simplefilter("error")
        assert searcher.count('topic = "tea"') == 0
