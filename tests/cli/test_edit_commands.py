"""`collection index` and `collection passage`: what they print, ask and refuse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tasb_qdrant import CollectionSettings, Passage, ingest
from tasb_qdrant.cli.failures import NOT_FOUND, REFUSED
from tasb_qdrant.settings import Bm25Settings
from tests.cli.conftest import Run
from tests.ingest.fakes import StubEncoder
from tests.models import minilm_folder

PLACE = ("--collection", "c", "--path", "s")
LARGE = "1234567890123456789"


@pytest.fixture(autouse=True)
def filled(run: Run) -> None:
    docs = [
        Passage(LARGE if n == 0 else f"d{n}", f"text {n}", payload={"topic": "bees", "year": 2000 + n, "draft": True})
        for n in range(12)
    ]
    ingest(docs, collection="c", path=Path("s"), encoder=StubEncoder())


def test_indexes_are_added_listed_and_dropped(run: Run) -> None:
    assert "has no payload indexes" in run("collection", "index", "list", *PLACE).err
    wrong = run("collection", "index", "add", "topic:integer", *PLACE)
    assert (wrong.code, 'has the value "bees"' in wrong.err, "topic:keyword" in wrong.err) == (REFUSED, True, True)
    added = run("collection", "index", "add", "topic:keyword", "year:integer", "topci:keyword", *PLACE)
    assert added.code == 0
    assert "Indexed year as integer: 12 passages have it." in added.out
    assert "no passage has the field topci" in added.err
    listed = run("collection", "index", "list", *PLACE, "--json").json["indexes"]
    assert {"field": "year", "type": "integer", "passages": 12} in listed
    assert "topci\tkeyword\t0" in run("collection", "index", "list", *PLACE).out
    dropped = run("collection", "index", "drop", "topci", *PLACE, "--json")
    assert (dropped.json["dropped"], len(dropped.json["indexes"])) == ({"topci": "keyword"}, 2)
    missing = run("collection", "index", "drop", "topci", *PLACE)
    assert (missing.code, "indexed are: topic, year" in missing.err) == (1, True)
    assert run("collection", "index", "add", "topic", *PLACE).code == 1
    assert "nothing was changed" in run("collection", "index", "add", "topic:keyword", *PLACE).out


def test_passages_are_deleted_by_their_ids(run: Run) -> None:
    done = run("collection", "passage", "delete", LARGE, "d3", "nope", *PLACE)
    assert (done.code, done.out) == (3, "Deleted 2 passages of collection 'c' at s.\n")
    assert "has no passage 'nope'" in done.err
    assert "A later ingest of the source" in done.err
    report = run("collection", "passage", "delete", "d4", *PLACE, "--json")
    assert (report.code, report.json["changed"], report.json["missing"]) == (0, 1, [])


@pytest.mark.parametrize(
    "arguments",
    [[], ["d1", "--filter", "year > 2000"], ["d1", "--dry-run"]],
)
def test_ids_or_a_filter_are_needed(run: Run, arguments: Sequence[str]) -> None:
    assert run("collection", "passage", "delete", *arguments, *PLACE).code == 2


def test_a_deletion_by_a_filter_is_shown_and_asked_about(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ("--filter", "year > 2003", *PLACE)
    tried = run("collection", "passage", "delete", *where, "--dry-run")
    assert (tried.code, "8 passages of collection 'c' at s would be deleted." in tried.out) == (0, True)
    assert "and 3 more" in tried.out
    unasked = run("collection", "passage", "delete", *where)
    assert (unasked.code, "say --yes" in unasked.err) == (2, True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda question, **_: "Delete 8 passages" not in question)
    refused = run("collection", "passage", "delete", *where)
    assert (refused.code, "Nothing was deleted." in refused.err) == (1, True)
    assert run("collection", "passage", "delete", *where, "--yes").out.startswith("Deleted 8 passages")
    assert "No passage matches" in run("collection", "passage", "delete", *where).err
    slip = run("collection", "passage", "delete", "--filter", "yaer > 2003", *PLACE, "--yes")
    assert (slip.code, "closest: year; nothing was changed" in slip.err) == (1, True)


def test_fields_are_patched(run: Run) -> None:
    patched = ("--set", "year=1999", "--set", 'tags=["a"]', "--set", "note=a = b", "--remove", "draft")
    done = run("collection", "passage", "patch", "d1", "d2", *patched, *PLACE)
    assert (done.code, done.out) == (0, "Patched 2 passages of collection 'c' at s.\n")
    found = run("collection", "passage", "delete", "--filter", "year = 1999", "--dry-run", *PLACE, "--json").json
    assert [hit["payload"] for hit in found["sample"]] == [
        {"topic": "bees", "year": 1999, "tags": ["a"], "note": "a = b"}
    ] * 2
    assert run("collection", "passage", "patch", "--filter", "draft = true", "--remove", "draft", *PLACE).code == 0
    for wrong, said in (("year", "NAME=VALUE"), ("text=new", "replace the passage")):
        refused = run("collection", "passage", "patch", "d1", "--set", wrong, *PLACE)
        assert refused.code in (1, 2)
        assert said in refused.err
    assert run("collection", "passage", "patch", "d1", *PLACE).code == 1


def test_a_passage_is_replaced(run: Run) -> None:
    from tasb_qdrant import load_encoder

    encoder = load_encoder(minilm_folder(), device="cpu", precision="fp32")
    docs = [Passage("bees", "Bees dance.", "Bees", {"year": 2000, "draft": True}), Passage("owls", "Owls fly.")]
    settings = CollectionSettings(bm25=Bm25Settings(avg_len=3))
    ingest(docs, collection="real", path=Path("s"), encoder=encoder, settings=settings)
    place = ("--collection", "real", "--path", "s", "--precision", "fp32")
    done = run(
        "collection", "passage", "replace", "bees", "--text", "Penguins swim.", "--title", "", "--set", "year=1",
        "--remove", "draft", *place,
    )  # fmt: skip
    assert (done.code, "1 with a new vector" in done.out) == (0, True)
    (hit,) = run("search", "penguin", "--limit", "1", *place, "--json").json["hits"]
    assert (hit["id"], hit["title"], hit["text"], hit["payload"]) == ("bees", None, "Penguins swim.", {"year": 1})
    assert run("search", "penguins", "--mode", "bm25", *place, "--json").json["hits"][0]["id"] == "bees"
    missing = run("collection", "passage", "replace", "ants", "--text", "x", *place)
    assert (missing.code, "has no passage 'ants'" in missing.err) == (NOT_FOUND, True)
    assert run("collection", "passage", "replace", "bees", *place).code == 2


def test_a_split_documents_id_is_no_passages_and_the_message_says_what_is(run: Run) -> None:
    ingest(
        [Passage("d1", "one two three")], collection="split", path=Path("s"), encoder=StubEncoder(), split="tokens:16"
    )
    place = ("--collection", "split", "--path", "s")
    for edit in (("delete", "d1"), ("patch", "d1", "--set", "year=1")):
        missing = run("collection", "passage", *edit, *place)
        assert missing.code == 3
        assert "'d1#0'" in missing.err
        assert 'doc_id = "d1"' in missing.err
    assert "as the source wrote them" in run("collection", "passage", "delete", "d1#7", *place).err
    refused = run("collection", "passage", "patch", "d1#0", "--remove", "doc_id", *place)
    assert (refused.code, "the id of the document" in refused.err) == (1, True)
    assert run("collection", "passage", "delete", "--filter", 'doc_id = "d1"', "--yes", *place).code == 0


def test_a_refused_index_makes_an_ingest_incomplete(run: Run) -> None:
    Path("more.jsonl").write_text('{"id": "new", "text": "A new one."}\n')
    minilm = ("--model", minilm_folder(), "--precision", "fp32")
    Path("docs.jsonl").write_text('{"id": "a", "text": "One.", "topic": "bees"}\n')
    place = ("--collection", "typed", "--path", "s", *minilm)
    assert run("ingest", "docs.jsonl", *place).code == 0
    done = run("ingest", "more.jsonl", *place, "--index", "topic:integer")
    assert (done.code, "can't be indexed as integer" in done.err) == (3, True)
    assert run("ingest", "docs.jsonl", *place).code == 0
