"""`tasb-qdrant search`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasb_qdrant.cli.failures import NOT_FOUND, REFUSED
from tests.cli.conftest import Run
from tests.models import minilm_folder

BEES = "How do honeybees tell their nestmates where to find food?"


def test_hits_are_printed_with_rank_score_title_id_text_and_payload(run: Run, notes: Path) -> None:
    ran = run("search", BEES, "--collection", "notes", "--path", notes, "--limit", "2")
    assert ran.code == 0
    first = ran.out.splitlines()[0]
    assert first.startswith(" 1. ")
    assert "[bees-waggle-dance]" in first
    assert "topic=animals" in ran.out
    assert " 2. " in ran.out
    assert " 3. " not in ran.out


def test_hits_are_printed_as_json(run: Run, notes: Path) -> None:
    hits = run("search", BEES, "--collection", "notes", "--path", notes, "--limit", "3", "--json").json["hits"]
    assert [set(hit) for hit in hits] == [{"id", "score", "text", "title", "payload"}] * 3
    assert hits[0]["id"] == "bees-waggle-dance"
    assert hits[0]["score"] > hits[1]["score"] > hits[2]["score"]
    assert hits[0]["payload"]["topic"] == "animals"


def test_a_filter_keeps_what_matches(run: Run, notes: Path) -> None:
    where = 'lang in ["de", "fr"] and year >= 2000'
    hits = run("search", BEES, "--collection", "notes", "--path", notes, "--filter", where, "--json").json["hits"]
    assert len(hits) == 10
    assert all(hit["payload"]["lang"] in {"de", "fr"} and hit["payload"]["year"] >= 2000 for hit in hits)


def test_offset_leaves_out_the_first_hits(run: Run, notes: Path) -> None:
    common = ["--collection", "notes", "--path", str(notes), "--exact", "--json"]
    every = run("search", BEES, "--limit", "5", *common).json["hits"]
    assert run("search", BEES, "--limit", "2", "--offset", "3", *common).json["hits"] == every[3:]


def test_a_threshold_leaves_out_lower_scores(run: Run, notes: Path) -> None:
    common = ["--collection", "notes", "--path", str(notes), "--exact", "--json"]
    scores = [hit["score"] for hit in run("search", BEES, *common).json["hits"]]
    between = (scores[3] + scores[4]) / 2
    kept = run("search", BEES, "--score-threshold", str(between), *common).json["hits"]
    assert [hit["score"] for hit in kept] == scores[:4]


def test_no_hits_are_said_to_be_none(run: Run, notes: Path) -> None:
    ran = run("search", BEES, "--collection", "notes", "--path", notes, "--filter", "year > 3000")
    assert (ran.code, ran.out) == (0, "No hits.\n")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ('year >= "2000"', "year is indexed as integer"),
        ("year >=", "filter, column"),
        ("lang > 3", "lang is indexed as keyword"),
    ],
)
def test_a_filter_that_can_not_match_is_an_error(run: Run, notes: Path, where: str, said: str) -> None:
    ran = run("search", BEES, "--collection", "notes", "--path", notes, "--filter", where)
    assert ran.code == 1
    assert said in ran.err
    assert ran.out == ""


def test_an_unknown_field_is_a_warning_with_the_closest_name(run: Run, notes: Path) -> None:
    ran = run("search", BEES, "--collection", "notes", "--path", notes, "--filter", "yaer > 1")
    assert ran.code == 0
    assert 'no field "yaer"' in ran.err
    assert "year" in ran.err


def test_a_collection_that_is_not_there_is_an_error_that_lists_those_there_are(run: Run, notes: Path) -> None:
    ran = run("search", BEES, "--collection", "nots", "--path", notes)
    assert ran.code == NOT_FOUND
    assert "no collection 'nots'" in ran.err
    assert "notes" in ran.err


@pytest.mark.parametrize("query", ["", "   "])
def test_an_empty_query_is_an_error(run: Run, notes: Path, query: str) -> None:
    ran = run("search", query, "--collection", "notes", "--path", notes)
    assert ran.code == 1
    assert "empty" in ran.err


def test_another_model_than_the_collection_s_is_refused(run: Run, notes: Path, tmp_path: Path) -> None:
    from tests.models import make_tasb_like

    other = make_tasb_like(tmp_path / "other", layers=1, dim=32, heads=2, hidden=64)
    ran = run("search", BEES, "--collection", "notes", "--path", notes, "--model", other)
    assert ran.code == REFUSED
    assert "dim: the collection has 384, this run has 32" in ran.err


def test_a_passage_can_not_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    from tasb_qdrant import Passage, ingest

    odd = Passage("a\nb", "\x1b[2Jcleared \x9b31m", title="\x1b]0;title\x07", payload={"x": "\x1b[31m"})
    ingest([odd], collection="c", path=tmp_path, model=minilm_folder())
    ran = run("search", "cleared", "--collection", "c", "--path", tmp_path)
    assert not set(ran.out) & {"\x1b", "\x9b", "\x07"}
    assert "[a b]" in ran.out
