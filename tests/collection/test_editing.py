"""Passages deleted, patched and replaced one by one, on every store, waited for and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from pydantic import BaseModel

from tasb_qdrant import AsyncSearcher, CollectionSettings, F, Passage, Searcher, ingest, open_collection, verify
from tasb_qdrant.errors import (
    FilterError,
    FilterTypeError,
    InvalidPassageError,
    PayloadInvalidError,
    ResumeRefusedError,
    SettingsError,
)
from tasb_qdrant.records.edit import EditReport
from tasb_qdrant.settings import Bm25Settings
from tests.collection.helpers import Place, fresh_name, options_of
from tests.ingest.fakes import StubEncoder, fail_at
from tests.typing.models import Article

LARGE: Final = "1234567890123456789"
IDS: Final = ["bees", "42", LARGE, "123e4567-e89b-12d3-a456-426614174000", "doc/1#2", *(f"p{n}" for n in range(20))]
DOCS: Final = [
    Passage(one, f"text of {one}", f"title {n}", {"n": n, "topic": "even" if n % 2 == 0 else "odd", "a.b": 1})
    for n, one in enumerate(IDS)
]
SETTINGS: Final = CollectionSettings(indexes={"n": "integer"}, bm25=Bm25Settings(avg_len=4))


@pytest.fixture
def name(place: Place) -> str:
    name = fresh_name()
    ingest(DOCS, collection=name, encoder=StubEncoder(), settings=SETTINGS, **options_of(place))
    return name


@pytest.fixture
def searcher(place: Place, name: str) -> Iterator[Searcher]:
    with Searcher(name, encoder=StubEncoder(), store=place.store) as opened:
        yield opened


def stored(searcher: Searcher, passage_id: str) -> dict[str, Any]:
    return searcher.get([passage_id])[passage_id].payload


def vectors(searcher: Searcher, passage_id: str) -> tuple[list[float], list[int]]:
    """The dense vector of a passage, and the words of its sparse one."""
    collection = searcher.collection
    (point,) = collection.reads.retrieve([collection.point_id(passage_id)], vectors=True, sparse=True)
    assert point.vector is not None
    assert point.sparse is not None
    return point.vector.tolist(), point.sparse.indices.tolist()


def test_passages_are_deleted_by_their_ids_whatever_these_are(searcher: Searcher) -> None:
    report = searcher.delete([*IDS[:5], "not there", IDS[0]])
    assert (report.kind, report.matched, report.changed, report.missing) == ("deleted", 5, 5, ("not there",))
    assert list(searcher.get(IDS)) == IDS[5:]
    assert searcher.count() == 20


def test_the_collection_itself_deletes_them_too(place: Place, name: str) -> None:
    with open_collection(name, store=place.store) as collection:
        assert collection.delete(["bees", "owls"]).missing == ("owls",)
        assert collection.delete([]).changed == 0
        assert collection.reads.count() == len(IDS) - 1
        with pytest.raises(SettingsError, match=r"write \['bees'\]"):
            collection.delete("bees")
        with pytest.raises(SettingsError, match="passage ids are strings, got 42"):
            collection.delete([42])  # type: ignore[list-item]  # that is the mistake


def test_a_filter_deletes_what_it_finds_and_a_dry_run_says_what_that_is(searcher: Searcher) -> None:
    for where in ('topic = "odd" and n >= 10', (F("topic") == "odd") & (F("n") >= 10)):
        tried = searcher.delete_where(where, dry_run=True)
        assert (tried.matched, tried.changed, tried.dry_run, len(tried.sample)) == (7, 0, True, 5)
        assert {hit.payload["topic"] for hit in tried.sample} == {"odd"}
    assert searcher.count() == 25
    assert searcher.delete_where('topic = "odd" and n >= 10').changed == 7
    assert {hit.payload["n"] for hit in searcher.scroll()} == {n for n in range(25) if n < 10 or n % 2 == 0}


def test_more_passages_than_a_page_are_deleted_and_patched(place: Place) -> None:
    name = fresh_name()
    many = [Passage(f"x{n}", "text", payload={"n": n}) for n in range(2_500)]
    ingest(many, collection=name, encoder=StubEncoder(), **options_of(place))
    with open_collection(name, store=place.store) as collection:
        assert collection.patch_where("n >= 0", {"seen": True}).changed == 2_500
        assert collection.delete_where("seen = true and n >= 100").changed == 2_400
        assert collection.reads.count() == 100


@pytest.mark.parametrize(
    ("where", "kind", "said"),
    [
        ("yaer > 3", FilterError, 'no field "yaer" in this collection.*nothing was changed'),
        ("not yaer > 3", FilterError, "nothing was changed"),
        ("yaer is empty", FilterError, "nothing was changed"),
        ("topic = 3", FilterError, "topic holds strings, which a number never matches; nothing was changed"),
        ('not n = "3"', FilterTypeError, "indexed as integer"),
        ("n >", FilterError, "expected"),
        (True, FilterError, "a filter is text"),
        (F("n"), FilterError, "a filter is text"),
    ],
)
def test_a_filter_that_looks_like_a_slip_deletes_nothing(
    searcher: Searcher, where: Any, kind: type[Exception], said: str
) -> None:
    for edit in (searcher.delete_where, lambda where: searcher.patch_where(where, {"x": 1})):
        with pytest.raises(kind, match=said):
            edit(where)
    assert searcher.count() == 25


def test_a_field_that_a_sample_would_miss_is_no_slip(place: Place) -> None:
    name = fresh_name()
    many = [Passage(f"{n}", "text", payload={"draft": True} if n == 899 else {}) for n in range(900)]
    ingest(many, collection=name, encoder=StubEncoder(), **options_of(place))
    with open_collection(name, store=place.store) as collection:
        assert collection.delete_where("draft = true").changed == 1


def test_fields_are_set_and_removed_and_the_rest_stays(searcher: Searcher) -> None:
    before = vectors(searcher, "bees")
    fields = {"n": 7, "tags": ["a"], "deep": {"x": None}, "odd.name": 2}
    report = searcher.patch(["bees", LARGE, "owls"], fields, remove=["topic", "a.b", "never there"])
    assert (report.kind, report.changed, report.missing) == ("patched", 2, ("owls",))
    for one in ("bees", LARGE):
        assert stored(searcher, one) == fields
    assert vectors(searcher, "bees") == before
    assert stored(searcher, "42") == {"n": 1, "topic": "odd", "a.b": 1}
    assert searcher.count("n = 7") == 3


def test_values_of_python_are_patched_as_json(searcher: Searcher) -> None:
    searcher.patch(["bees"], {"score": np.float32(0.5), "names": ("a", "b")})
    assert stored(searcher, "bees") | {"n": 0} == {**DOCS[0].payload, "score": 0.5, "names": ["a", "b"]}


@pytest.mark.parametrize(
    ("fields", "remove", "said"),
    [
        ({"text": "new"}, [], "replace the passage, which encodes it again"),
        ({}, ["title"], "replace the passage"),
        ({"passage_id": "other"}, [], "is the passage's id"),
        ({"n": "seven"}, [], "'n' is indexed as integer"),
        ({"x": float("nan")}, [], "JSON can't represent"),
        ({"x": object()}, [], "JSON can't represent"),
        ({}, [], "name at least one"),
        ({"x": 1}, ["x"], "both set and removed"),
        ({}, "x", r"write \['x'\]"),
    ],
)
def test_a_patch_that_can_not_be_changes_nothing(
    searcher: Searcher, fields: Mapping[str, Any], remove: Any, said: str
) -> None:
    with pytest.raises((InvalidPassageError, SettingsError), match=said):
        searcher.patch(["bees"], fields, remove=remove)
    with pytest.raises((InvalidPassageError, SettingsError), match=said):
        searcher.patch_where("n >= 0", fields, remove=remove)
    assert stored(searcher, "bees") == DOCS[0].payload


def test_a_replaced_passage_is_found_by_its_new_text_alone(searcher: Searcher) -> None:
    before = vectors(searcher, "bees")
    report = searcher.replace(Passage("bees", "penguins swim", None, {"n": 100}))
    assert (report.kind, report.changed, report.encoded, report.missing) == ("replaced", 1, 1, ())
    found = searcher.get(["bees"])["bees"]
    assert (found.text, found.title, found.payload) == ("penguins swim", None, {"n": 100})
    fresh = StubEncoder().encode_passages(["penguins swim"])[0]
    dense, words = vectors(searcher, "bees")
    assert np.allclose(dense, fresh)
    assert not set(words) & set(before[1])
    assert [hit.id for hit in searcher.search("penguins", mode="bm25")] == ["bees"]
    assert "bees" not in {hit.id for hit in searcher.search("text bees title", mode="bm25", limit=100)}
    assert searcher.count() == 25


def test_only_what_the_encoder_reads_is_encoded_again(searcher: Searcher) -> None:
    before = vectors(searcher, "42")
    same, titled = DOCS[1], Passage(LARGE, DOCS[2].text, "another title", DOCS[2].payload)
    report = searcher.replace([Passage(same.id, same.text, same.title, {"n": 5}), titled, Passage("new", "text")])
    assert (report.matched, report.encoded, report.missing) == (2, 1, ("new",))
    assert stored(searcher, "42") == {"n": 5}
    assert vectors(searcher, "42") == before
    assert "new" not in searcher.get(["new"])
    long = searcher.replace(Passage("bees", "word " * 40))
    assert long.truncated == 1


def test_a_replacement_that_can_not_be_changes_nothing(searcher: Searcher) -> None:
    good = Passage("42", "new text")
    for bad, said in (
        (Passage("bees", "new", payload={"n": "x"}), "'n' is indexed as integer"),
        (Passage("bees", "new", payload={"title": "x"}), "has the name under which the passage's title is stored"),
        (Passage("42", "newer"), "given twice"),
        ("bees", "expected passages, got str"),
    ):
        with pytest.raises((InvalidPassageError, SettingsError), match=said):
            searcher.replace([good, bad])  # type: ignore[list-item]  # one of them is the mistake
    assert searcher.get(["42"])["42"].text == DOCS[1].text


def test_a_payload_model_is_kept_to(place: Place, name: str) -> None:
    with (
        Searcher(name, payload=Article, encoder=StubEncoder(), store=place.store) as searcher,
        pytest.raises(PayloadInvalidError),
    ):
        searcher.replace(Passage("bees", "text", payload={"n": 1}))


class Numbered(BaseModel):
    n: int
    topic: str = ""


def test_a_patch_keeps_to_the_model_too(place: Place, name: str) -> None:
    with Searcher(name, payload=Numbered, encoder=StubEncoder(), store=place.store) as searcher:
        for fields, remove in (({"topic": 3}, []), ({}, ["n"])):
            with pytest.raises(PayloadInvalidError, match="not a valid Numbered"):
                searcher.patch(["42", "bees"], fields, remove=remove)
            with pytest.raises(PayloadInvalidError, match="not a valid Numbered"):
                searcher.patch_where("n >= 0", fields, remove=remove)
        assert searcher.get(["bees"])["bees"].payload == Numbered(n=0, topic="even")
        assert searcher.patch(["bees"], {"topic": "new"}).changed == 1
        assert searcher.patch_where("n < 2", remove=["topic"]).changed == 2
        assert searcher.get(["bees"])["bees"].payload == Numbered(n=0)


def test_an_edit_is_seen_by_the_next_search_of_a_cache(place: Place, name: str) -> None:
    with Searcher(name, encoder=StubEncoder(), store=place.store, cache_size=9) as searcher:
        found = searcher.search("text of bees", limit=3)
        assert searcher.search("text of bees", limit=3).cached
        searcher.delete([found[0].id])
        assert found[0].id not in [hit.id for hit in searcher.search("text of bees", limit=3)]


def test_the_async_searcher_does_the_same(place: Place, name: str) -> None:
    edits: list[Callable[[AsyncSearcher], Awaitable[EditReport]]] = [
        lambda opened: opened.delete(["bees", "owls"]),
        lambda opened: opened.delete_where("n = 1"),
        lambda opened: opened.patch([LARGE], {"n": 50}),
        lambda opened: opened.patch_where("n = 50", remove=["topic"]),
        lambda opened: opened.replace(Passage("p1", "penguins swim")),
    ]

    async def run() -> list[EditReport]:
        async with AsyncSearcher(name, encoder=StubEncoder(), store=place.store) as opened:
            return [await edit(opened) for edit in edits]

    reports = asyncio.run(run())
    assert [report.changed for report in reports] == [1, 1, 1, 1, 1]
    assert reports[0].missing == ("owls",)
    assert reports[4].encoded == 1
    with Searcher(name, encoder=StubEncoder(), store=place.store) as searcher:
        assert stored(searcher, LARGE) == {"n": 50, "a.b": 1}
        assert searcher.get(["p1"])["p1"].text == "penguins swim"
        assert searcher.count() == 23


def test_a_later_ingest_restores_what_the_source_has(place: Place, name: str, searcher: Searcher) -> None:
    searcher.delete(["p1"])
    searcher.patch(["p2"], {"n": 99})
    searcher.replace(Passage("p3", "penguins swim"))
    options: dict[str, Any] = {"collection": name, "encoder": StubEncoder(), **options_of(place)}
    if not place.embedded:  # which one opener at a time may have
        assert not verify(DOCS, **options).equal
    else:
        searcher.close()
    report = ingest(DOCS, **options)
    assert (report.stored, report.updated, report.skipped) == (2, 1, 22)
    assert verify(DOCS, **options).equal


@pytest.mark.parametrize(
    "edit",
    [
        lambda collection: collection.delete(["m0"]),
        lambda collection: collection.patch(["m0"], {"x": 1}),
        lambda collection: collection.patch_where('ids("m0")', {"x": 1}),
    ],
)
def test_an_interrupted_load_is_not_resumed_over_an_edit(
    place: Place,
    name: str,
    tmp_path: Path,
    edit: Callable[[Any], EditReport],
) -> None:
    source = tmp_path / "more.jsonl"
    source.write_text("".join(f'{{"id": "m{n}", "text": "more {n}"}}\n' for n in range(1_100)))
    options: dict[str, Any] = {"collection": name, "state": tmp_path / "state", **options_of(place)}
    with pytest.raises(KeyboardInterrupt):
        ingest(source, encoder=StubEncoder(before_encode=fail_at(1, KeyboardInterrupt())), **options)
    with place.store.open(name) as collection:
        assert edit(collection).changed == 1
        assert edit(collection).changed in (0, 1)
    with pytest.raises(ResumeRefusedError, match=r"what is stored was as the run left it, is edited since.*--restart"):
        ingest(source, encoder=StubEncoder(), **options)
    assert ingest(source, encoder=StubEncoder(), restart=True, **options).points == len(DOCS) + 1_100
    assert verify(source, sample=0, **{key: value for key, value in options.items() if key != "state"}).missing == 0
