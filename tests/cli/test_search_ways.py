"""The ways of `tasb-qdrant search`: by words, in groups, by example, from files, at a prompt, as a TREC run."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from tasb_qdrant.cli.failures import NOT_FOUND
from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder import options as encoder_options
from tests.cli.conftest import Run

BEES = "How do honeybees tell their nestmates where to find food?"


_load = cache(load_encoder)


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same model for every search of this file: loading it takes longer than searching."""
    monkeypatch.setattr(encoder_options, "load_encoder", _load)


@pytest.fixture
def common(notes: Path) -> list[str]:
    return ["--collection", "notes", "--path", str(notes), "--exact"]


def ids(hits: list[dict[str, object]]) -> list[object]:
    return [hit["id"] for hit in hits]


def test_words_and_both_ways_find_what_has_them(run: Run, common: list[str]) -> None:
    words = run("search", "telescope", "--mode", "bm25", "--json", *common).json["hits"]
    assert all("telescope" in f"{hit['title']} {hit['text']}".lower() for hit in words)
    dense = run("search", "telescope", "--json", *common).json["hits"]
    weighed = run("search", "telescope", "--mode", "hybrid", "--weights", "1", "0", "--json", *common).json["hits"]
    assert ids(weighed) == ids(dense)
    scored = run("search", "telescope", "--mode", "hybrid", "--fusion", "dbsf", "--limit", "3", "--json", *common)
    assert len(scored.json["hits"]) == 3


def test_groups_are_printed_under_their_values(run: Run, common: list[str]) -> None:
    groups = run("search", BEES, "--group-by", "lang", "--group-size", "2", "--json", *common).json["groups"]
    assert groups[0]["hits"][0]["id"] == "bees-waggle-dance"
    assert all(hit["payload"]["lang"] == group["value"] for group in groups for hit in group["hits"])
    shown = run("search", BEES, "--group-by", "lang", *common).out
    assert shown.startswith("lang = en\n 1. ")


def test_passages_are_found_by_example(run: Run, common: list[str]) -> None:
    alike = run("search", "--like", "bees-waggle-dance", "--json", *common).json["hits"]
    assert "bees-waggle-dance" not in ids(alike)
    first = str(alike[0]["id"])
    away = run("search", "--like", "bees-waggle-dance", "--unlike", first, "--json", *common).json["hits"]
    assert first not in ids(away)
    missing = run("search", "--like", "nowhere", *common)
    assert missing.code == NOT_FOUND
    assert "Error: collection 'notes' has no passage 'nowhere'; give ids as the source wrote them\n" in missing.err


def test_fields_are_chosen_and_vectors_added(run: Run, common: list[str]) -> None:
    [hit] = run("search", BEES, "--limit", "1", "--field", "year", "--with-vectors", "--json", *common).json["hits"]
    assert set(hit["payload"]) == {"year"}
    assert len(hit["vector"]) == 384


def test_a_file_of_queries_is_answered_in_its_order(run: Run, common: list[str], tmp_path: Path) -> None:
    queries = tmp_path / "queries.tsv"
    queries.write_text(f"b\t{BEES}\nt\tearly telescopes\n")
    answers = run("search", "--queries", queries, "--limit", "2", "--json", *common).json["queries"]
    assert [(answer["id"], answer["query"], len(answer["hits"])) for answer in answers] == [
        ("b", BEES, 2),
        ("t", "early telescopes", 2),
    ]
    assert ids(answers[0]["hits"]) == ids(run("search", BEES, "--limit", "2", "--json", *common).json["hits"])
    lines = run("search", "--queries", queries, "--limit", "2", "--format", "jsonl", *common).out.splitlines()
    documents = [json.loads(line) for line in lines]
    assert [[each.pop(name) for name in ("version", "warnings")] for each in documents] == [[1, []], [1, []]]
    assert [bool(each.pop("notes")) for each in documents] == [True, False]  # said once
    assert documents == answers
    shown = run("search", "--queries", queries, "--limit", "1", *common).out
    assert shown.startswith(f"b  {BEES}\n 1. ")


def test_queries_come_from_standard_input_too(run: Run, common: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bees\ntelescopes\n"), encoding="utf-8"))
    answers = run("search", "--queries", "-", "--limit", "1", "--json", *common).json["queries"]
    assert [answer["query"] for answer in answers] == ["bees", "telescopes"]


def test_a_run_is_written_as_trec_has_them(run: Run, common: list[str], tmp_path: Path) -> None:
    queries = tmp_path / "queries.tsv"
    queries.write_text(f"b\t{BEES}\nt\tearly telescopes\n")
    out = run("search", "--queries", queries, "--limit", "3", "--format", "trec", "--run-name", "mine", *common).out
    rows = [line.split(" ") for line in out.splitlines()]
    assert [(row[0], row[1], row[3], row[5]) for row in rows] == [
        (query, "Q0", str(rank), "mine") for query in "bt" for rank in (1, 2, 3)
    ]
    assert rows[0][2] == "bees-waggle-dance"
    assert float(rows[0][4]) > float(rows[1][4])


def test_a_bad_line_of_queries_is_named(run: Run, common: list[str], tmp_path: Path) -> None:
    queries = tmp_path / "queries.tsv"
    queries.write_text("1\tbees\nno tab\n")
    ran = run("search", "--queries", queries, *common)
    assert ran.code == 1
    assert f"{queries}:2: expected id<TAB>query" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give one of QUERY, --like, --queries, --interactive; got none"),
        (["bees", "--interactive"], "got QUERY and --interactive"),
        (["--unlike", "x", "bees"], "--unlike goes with --like"),
        (["--group-by", "lang", "--like", "x"], "--group-by needs a QUERY"),
        (["bees", "--group-by", "lang", "--offset", "1"], "--group-by goes without --offset"),
        (["--like", "bees-waggle-dance", "--mode", "bm25"], "--like goes without --mode"),
    ],
)
def test_ways_that_do_not_go_together_are_refused(run: Run, common: list[str], options: list[str], said: str) -> None:
    ran = run("search", *options, *common)
    assert ran.code == 2
    assert said in ran.err


def test_options_of_the_command_are_those_of_the_searcher() -> None:
    """What `Searcher.search` takes can be said on the command line."""
    import inspect

    from tasb_qdrant import Searcher
    from tasb_qdrant.cli.search import search_command

    here = {"with_payload": "fields", "timeout": "deadline"}
    taken = set(inspect.signature(Searcher.search).parameters) - {"self", "query", "with_text"}
    assert {here.get(name, name) for name in taken} <= {option.name for option in search_command.params}


def test_a_prompt_reads_queries_and_changes_of_mind(
    run: Run, common: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = "\n".join(
        [BEES, ":limit 1", "telescopes", ":filter lang =", ':filter lang = "de"', "x", ":nonsense", ":quit", "no"]
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode()), encoding="utf-8"))
    ran = run("search", "--interactive", "--limit", "2", *common)
    assert ran.code == 0
    assert ran.out.count("\n 2. ") == 1
    assert ran.out.count(" 1. ") == 3
    assert "lang=de" in ran.out
    assert "filter, column 7: expected" in ran.err
    assert "':nonsense' is not known here" in ran.err
    assert ran.err.count(" hits in ") == 3


def test_at_a_terminal_words_are_marked_and_ctrl_d_ends(notes: Path) -> None:
    command = [sys.executable, "-m", "tasb_qdrant", "search", "--interactive", "--collection", "notes", "--path"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    process = subprocess.Popen(
        [*command, str(notes), "--limit", "1"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    try:
        shown = _until(ours, "> ")
        assert "200 passages in 'notes'" in shown
        os.write(ours, b"honeybees food\n")
        shown = _until(ours, "hits in", "> ")  # what is typed before the prompt is there may be lost
        assert "\x1b[1;33m" in shown, f"the query's words are not marked: {shown!r}"
        os.write(ours, b"\x04")
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _until(terminal: int, *texts: str) -> str:
    """What is shown until the texts are, one after the other."""
    shown, end = "", time.monotonic() + 120
    pattern = re.compile(".*?".join(map(re.escape, texts)), re.DOTALL)
    while not pattern.search(shown):
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 4096).decode(errors="replace")
    return shown
