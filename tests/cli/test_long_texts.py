"""Long texts on the command line: split on the way in, found as documents on the way out."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from tasb_qdrant.cli.failures import REFUSED
from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder import options as encoder_options
from tests.cli.conftest import Run

_load = cache(load_encoder)

MODEL = ("--model", "minilm")
NEEDLE = "The lighthouse keeper of Skerryvore kept a tame seal named Morag."
FILLER = "The minutes of the council meeting list the names of all members who were present on that day. "


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_options, "load_encoder", _load)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two documents whose ends MiniLM doesn't read, and a short one."""
    documents = [
        {"id": "minutes", "title": "Minutes", "text": FILLER * 30 + NEEDLE, "year": 1999},
        {"id": "more", "title": "Minutes", "text": FILLER * 40, "year": 2000},
        {"id": "tea", "text": "Tea is made of leaves.", "year": 2001},
    ]
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in documents))
    return path


def test_what_is_cut_off_names_the_remedy_which_finds_it(run: Run, source: Path) -> None:
    whole = run("ingest", source, "--collection", "whole", *MODEL)
    assert "Truncated 2." in whole.out
    remedy = "2 passages are longer than the model reads; only their beginning was encoded. To find the rest too, "
    assert f"{remedy}ingest into a new collection with --split tokens:256,overlap:32" in whole.err
    split = run("ingest", source, "--collection", "parts", *MODEL, "--split", "tokens:256,overlap:32")
    assert "of 3 documents in collection 'parts'" in split.out
    assert "Truncated 0." in split.out
    assert "Texts are split into passages of up to 256 tokens, 32 of which may be shared" in split.err
    query = "Which animal did the lighthouse keeper have?"
    lost = run("search", query, "--collection", "whole", "--limit", "1", "--json").json["hits"][0]
    found = run("search", query, "--collection", "parts", "--limit", "1", "--json").json["hits"][0]
    assert found["id"].startswith("minutes#")
    assert (found["title"], found["payload"]) == ("Minutes", {"year": 1999, "doc_id": "minutes"})
    assert NEEDLE in found["text"]
    assert found["score"] > lost["score"] + 0.2
    assert "split into passages of up to 256 tokens" in run("collection", "info", "--collection", "parts").out


def test_documents_come_once_and_a_run_has_their_ids(run: Run, source: Path, tmp_path: Path) -> None:
    run("ingest", source, "--collection", "parts", *MODEL, "--split", "tokens:64", "--bm25")
    asked = ("search", "members of the council", "--collection", "parts", "--best-per", "doc_id")
    for mode in ("dense", "bm25", "hybrid"):
        hits = run(*asked, "--mode", mode, "--json").json["hits"]
        assert sorted(hit["payload"]["doc_id"] for hit in hits) == ["minutes", "more", "tea"][: len(hits)]
        assert len(hits) == (2 if mode == "bm25" else 3)
    lines = run(*asked, "--format", "trec").out.splitlines()
    assert sorted(line.split()[2] for line in lines) == ["minutes", "more", "tea"]
    queries = tmp_path / "queries.tsv"
    queries.write_text("a\ttea\nb\tcouncil\n")
    lines = run("search", "--queries", queries, *asked[2:], "--format", "trec").out.splitlines()
    assert [line.split()[0] for line in lines] == ["a"] * 3 + ["b"] * 3
    assert lines[0].split()[2] == "tea"
    for others in (("--group-by", "doc_id"), ()):
        refused = run(*asked, *others) if others else run("search", "--like", "tea#0", *asked[2:])
        assert (refused.code, "--best-per; leave" in refused.err) == (2, True)


def test_a_split_is_kept_and_another_refused(run: Run, source: Path) -> None:
    run("ingest", source, "--collection", "parts", *MODEL, "--split", "tokens:64")
    plan = run("ingest", source, "--collection", "parts", *MODEL, "--sync", "--dry-run", "--json").json
    assert (plan["documents"], plan["delete"], plan["encode"]) == (3, 0, 0)
    again = run("ingest", source, "--collection", "parts", *MODEL, "--json").json
    assert (again["documents"], again["stored"], again["skipped"]) == (3, 0, again["read"])
    refused = run("ingest", source, "--collection", "parts", *MODEL, "--split", "tokens:32")
    assert refused.code == REFUSED
    assert "split: the collection has tokens:64,overlap:0, this run has tokens:32,overlap:0" in refused.err
    verified = run("collection", "verify", "--collection", "parts", "--source", source)
    assert verified.code == 0
    assert "passages of 3 documents of the source" in verified.out
    for wrong, said in (("200", "split is tokens:N"), ("tokens:600", "is more than the 256 tokens")):
        ran = run("ingest", source, "--collection", "new", *MODEL, "--split", wrong)
        assert (ran.code, said in ran.err) == (1, True)
    assert "new" not in run("collection", "list").out
