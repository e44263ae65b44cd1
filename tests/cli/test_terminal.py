"""Whatever a corpus, a file's name or a command line holds: it can't steer the terminal."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from rich.text import Text

from tasb_qdrant.cli.screen import stdout
from tasb_qdrant.ingest.display import ProgressDisplay
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.printable import STEERING
from tests.cli.conftest import Run
from tests.models import minilm_folder

EVIL = "\x1b]0;PWNED\x07\x1b[31mEVIL\u202eevil\x9b31m\u2028x"


def _lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose collection `g` has such ids, titles, texts, field names and values."""
    from tasb_qdrant import Passage, ingest

    folder = tmp_path_factory.mktemp("evil")
    payload = {EVIL: EVIL, "lang": EVIL, "year": 3, "yaar": 1}
    passages = [Passage(EVIL, f"{EVIL} [bold]z", title=f"{EVIL} [red]x[/] [link=http://e]y", payload=payload)]
    ingest([*passages, Passage("b", "plain")], collection="g", path=folder, model=minilm_folder())
    return folder


def _is_clean(said: str) -> bool:
    return not STEERING.search(said.replace("\n", "").replace("\t", ""))


def test_no_answer_and_no_error_brings_it_to_the_terminal(run: Run, evil: Path, tmp_path: Path) -> None:
    there = ("--collection", "g", "--path", evil)
    new = ("--collection", "t", "--path", "s")
    odd_name = tmp_path / f"{EVIL}.jsonl".replace("/", "")
    _lines(odd_name, {"id": "a"})
    (tmp_path / "h.csv").write_text(f"{EVIL.replace(chr(0x2028), '')},text\n1,x\n")
    (tmp_path / "h2.csv").write_text(f"id,text,{EVIL},{EVIL}\n1,x,2,3\n")
    (tmp_path / "q.tsv").write_text(f"1\t{EVIL}\n")
    no_id = _lines(tmp_path / "n.jsonl", {EVIL: 1, "text": "x"})
    bad = _lines(tmp_path / "bad.jsonl", {"id": EVIL, "text": ""})
    other = _lines(tmp_path / "v.jsonl", {"id": EVIL, "text": "other", EVIL: 1})
    for arguments in (
        ("ingest", no_id, *new),
        ("ingest", "h.csv", *new),
        ("ingest", "h2.csv", *new),
        ("ingest", odd_name, *new),
        ("ingest", odd_name, *new, "--json"),
        ("ingest", "*EVIL*.jsonl", *new),
        ("ingest", bad, *new, "--model", minilm_folder()),
        ("ingest", other, "--dry-run", *new),
        ("ingest", other, "--dry-run", *new, "--json"),
        ("ingest", f"missing{EVIL}", *new),
        ("search", "evil", *there),
        ("search", "evil", *there, "--json"),
        ("search", "evil", *there, "--format", "jsonl"),
        ("search", "evil", *there, "--group-by", "lang"),
        ("search", "evil", *there, "--group-by", "lang", "--json"),
        ("search", "evil", *there, "--filter", "yeaar = 1"),
        ("search", "evil", *there, "--filter", f"`{EVIL}x` = 1"),
        ("search", "evil", *there, "--filter", f"{EVIL} = 1"),
        ("search", "evil", *there, "--filter", 'lang contains "x"'),
        ("search", "--queries", "q.tsv", *there),
        ("search", "--queries", "q.tsv", *there, "--json"),
        ("search", "--like", f"{EVIL}x", *there),
        ("collection", "verify", *there, "--source", other, "--sample", "0"),
        ("collection", "verify", *there, "--source", other, "--sample", "0", "--json"),
        ("collection", "info", "--collection", EVIL, "--path", evil),
        ("collection", "list", "--path", EVIL),
        (f"no{EVIL}",),
        ("search", f"--no{EVIL}"),
        ("search", "x", *there, "--limit", EVIL),
    ):
        ran = run(*arguments)
        assert _is_clean(ran.out), (arguments, ran.out)
        assert _is_clean(ran.err), (arguments, ran.err)
        if "--json" in arguments:
            json.loads(ran.out)


def test_json_says_the_same_with_escapes(run: Run, evil: Path) -> None:
    hits = run("search", "evil", "--collection", "g", "--path", evil, "--json").json["hits"]
    (hit,) = (hit for hit in hits if hit["id"] != "b")
    assert (hit["id"], hit["payload"]["lang"], hit["payload"][EVIL]) == (EVIL, EVIL, EVIL)


def test_a_run_for_trec_eval_is_refused_an_id_that_steers(run: Run, evil: Path) -> None:
    ran = run("search", "evil", "--collection", "g", "--path", evil, "--format", "trec")
    assert ran.code == 1
    assert _is_clean(ran.out + ran.err)


def test_a_console_escapes_whatever_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    stdout().print(Text(EVIL), EVIL, f"[bold]{EVIL}", markup=False)
    assert _is_clean(shown.getvalue())


def test_the_progress_lines_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay() as display:
        display(Progress(phase="encoding", notes=(EVIL,), waiting_for=EVIL))
    assert _is_clean(capsys.readouterr().err)


def test_an_error_that_nobody_foresaw_is_clean_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasb_qdrant.cli.screen import print_traceback

    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    error = KeyError(EVIL)
    print_traceback(KeyError, RuntimeError(EVIL), None)
    print_traceback(KeyError, error, None)
    assert _is_clean(shown.getvalue())


def test_names_that_are_not_utf_8_are_shown_kept_and_retried(run: Run, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.jsonl")
    Path(name).write_text('{"id": "a", "text": "bees"}\n{"id": "b", "text": ""}\n')
    new = ("--collection", "c", "--path", "emb", "--model", str(minilm_folder()))
    stopped = run("ingest", name, *new)
    assert stopped.code == 1
    assert "\\udcff" in stopped.err
    kept = run("ingest", name, *new, "--rejects", "r.jsonl", "--json")
    assert kept.code == 3
    assert json.loads(kept.out)["rejected"] == 1
    (reject,) = map(json.loads, Path("r.jsonl").read_text().splitlines())
    assert reject["source"].endswith("\\udcff\\udcfe.jsonl")
    Path(name).write_text('{"id": "a", "text": "bees"}\n{"id": "b", "text": "owls"}\n')
    again = run("ingest", "--retry-rejects", "r.jsonl", *new, "--json")
    assert (again.code, json.loads(again.out)["stored"]) == (0, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--api-key-file", "s3cret-4711"),
        ("--api-key-file", "s3cret-4711\0"),
        ("--api-key-file", "."),
        ("--api-key", "s3cret-4711"),
        ("--url", "s3cret-4711"),
        ("--url", "http://u:s3cret-4711@127.0.0.1:1"),
        ("--url", "http://127.0.0.1:1/?api-key=s3cret-4711", "--path", "x"),
    ],
)
def test_a_key_typed_in_the_wrong_place_is_not_repeated(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    ran = run("search", "q", "--collection", "c", *arguments, "--json")
    assert ran.code in (1, 2)
    assert "s3cret" not in ran.out + ran.err
    if arguments[0] == "--url" and len(arguments) == 2:
        monkeypatch.setenv("QDRANT_URL", arguments[1])
        ran = run("search", "q", "--collection", "c")
        assert ran.code == 1
        assert "s3cret" not in ran.out + ran.err
