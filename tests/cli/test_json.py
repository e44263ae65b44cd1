"""What programs read: every command's JSON is as docs/cli.schema.json says, in success and in failure."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tasb_qdrant import errors
from tasb_qdrant.cli import failures
from tasb_qdrant.cli.failures import EXIT_CODES, exit_code
from tasb_qdrant.cli.said import form_of
from tests.cli.conftest import EXAMPLES, Ran, Run
from tests.models import minilm_folder
from tests.qdrant_servers import QdrantServer

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "cli.schema.json").read_text())
CORPUS = EXAMPLES / "passages.jsonl"
MODEL = ["--model", minilm_folder()]
CLASSES: list[type[errors.TasbQdrantError]] = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.TasbQdrantError) and kind.__module__ == errors.__name__
]


def valid(document: Any, kind: str) -> Any:
    """The document, which is one of this kind, and begins as all do."""
    Draft202012Validator(SCHEMA | {"anyOf": [{"$ref": f"#/$defs/{kind}"}]}).validate(document)
    assert list(document)[:3] == ["version", "warnings", "notes"]
    return document


def failed(ran: Ran, kind: str) -> Any:
    """The error of a command that failed."""
    document = valid(ran.json, "error")
    assert list(document) == ["version", "warnings", "notes", "error"]
    assert list(document["error"]) == ["kind", "message", "remedy"]
    assert document["error"]["kind"] == kind
    assert ran.code != 0
    assert ran.err  # people are told, too
    return document["error"]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_each_way_to_search_prints_what_the_schema_says(
    run: Run, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["--collection", "notes", "--path", notes, "--limit", "2"]
    found = valid(run("search", "bees", *common, "--json").json, "search")
    assert (found["query"], len(found["hits"])) == ("bees", 2)
    assert list(found["hits"][0]) == ["id", "score", "text", "title", "payload"]
    assert list(found["hits"][0]["payload"]) == sorted(found["hits"][0]["payload"])
    valid(run("search", "bees", *common, "--json", "--with-vectors").json, "search")
    valid(run("search", "--like", "bees-waggle-dance", *common, "--json").json, "search")
    valid(run("search", "bees", "--group-by", "lang", *common, "--json").json, "search-groups")
    (tmp_path / "q.txt").write_text("bees\nowls\n")
    assert len(valid(run("search", "--queries", "q.txt", *common, "--json").json, "search-queries")["queries"]) == 2
    for arguments in (["--format", "jsonl"], ["--format=jsonl"], ["--json", "--format", "jsonl"]):
        lines = run("search", "--queries", "q.txt", *common, *arguments).out.splitlines()
        assert [valid(json.loads(line), "search-line")["id"] for line in lines] == ["1", "2"]
    asked = b"bees\n:filter year >\n:filter no_such = 1\nowls\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(asked), encoding="utf-8"))
    lines = run("search", "--interactive", *common, "--json").out.splitlines()
    assert valid(json.loads(lines[0]), "search-line")["query"] == "bees"
    assert valid(json.loads(lines[1]), "error")["error"]["kind"] == "filter_syntax"
    assert 'no field "no_such"' in " ".join(valid(json.loads(lines[2]), "search-line")["warnings"])
    assert len(lines) == 3


def test_warnings_are_in_the_json_and_on_stderr(run: Run, notes: Path, tmp_path: Path) -> None:
    ran = run("search", "bees", "--collection", "notes", "--path", notes, "--filter", "yaer >= 2000", "--json")
    [warning] = ran.json["warnings"]
    assert 'no field "yaer"' in warning
    assert warning in ran.err
    long = json.dumps({"id": "long", "text": "word " * 2000})
    (tmp_path / "p.jsonl").write_text(long + '\n{"id": "none"}\n')
    ran = run("ingest", "p.jsonl", "--collection", "c", *MODEL, "--rejects", "bad.jsonl", "--json")
    report = valid(ran.json, "ingest")
    assert (ran.code, report["rejected"]) == (3, 1)
    long, rejected = report["warnings"]
    assert long.startswith("1 passage is longer than the model reads; only its beginning was encoded")
    assert rejected == "1 input was rejected; see bad.jsonl"
    assert all(f"Warning: {warning}" in ran.err for warning in report["warnings"])
    assert any(note.startswith("p.jsonl: id from id") for note in report["notes"])


@pytest.mark.model
def test_every_other_command_prints_what_the_schema_says(run: Run, tmp_path: Path) -> None:
    common = ["--collection", "c", "--json"]
    report = valid(run("ingest", CORPUS, *common, *MODEL, "--bm25", "--verify").json, "ingest")
    assert report["verification"]["equal"] is True
    valid(run("ingest", CORPUS, *common).json, "ingest")  # nothing to encode
    (tmp_path / "fewer.jsonl").write_text("".join(CORPUS.read_text().splitlines(keepends=True)[:150]))
    plan = run("ingest", "fewer.jsonl", *common, "--sync", "--dry-run")
    assert valid(plan.json, "ingest-dry-run")["delete"] == 50
    verified = run("collection", "verify", "--source", "fewer.jsonl", "--sample", "1", *common)
    assert (verified.code, valid(verified.json, "collection-verify")["extra"]) == (3, 50)
    assert "to delete what the source doesn't have, use: tasb-qdrant ingest --sync" in verified.json["warnings"]
    valid(run("collection", "info", *common).json, "collection-info")
    valid(run("collection", "optimize", *common).json, "collection-info")
    previewed = valid(run("ingest", CORPUS, *common, "--dry-run").json, "ingest-preview")
    assert (len(previewed["first"]), previewed["read"], previewed["complete"]) == (3, 200, True)
    index = ["collection", "index"]
    assert valid(run(*index, "add", "year:integer", *common).json, "collection-index")["added"] == {"year": "integer"}
    [held] = valid(run(*index, "list", *common).json, "collection-index")["indexes"]
    assert (held["field"], held["type"], held["passages"]) == ("year", "integer", 200)
    assert valid(run(*index, "drop", "year", *common).json, "collection-index")["dropped"] == {"year": "integer"}
    passage = ["collection", "passage"]
    patched = run(*passage, "patch", "bees-waggle-dance", "nobody", "--set", "seen=true", *common)
    assert (patched.code, valid(patched.json, "collection-passage")["missing"]) == (3, ["nobody"])
    assert any("no passage 'nobody'" in warning for warning in patched.json["warnings"])
    replaced = run(*passage, "replace", "bees-waggle-dance", "--text", "Bees dance.", *common)
    assert valid(replaced.json, "collection-passage")["encoded"] == 1
    deleted = run(*passage, "delete", "bees-waggle-dance", *common)
    assert valid(deleted.json, "collection-passage")["changed"] == 1
    [listed] = valid(run("collection", "list", "--json").json, "collection-list")["collections"]
    assert listed["name"] == "c"
    assert valid(run("collection", "delete", "--yes", *common).json, "collection-delete")["deleted"] == "c"
    assert valid(run("collection", "list", "--json").json, "collection-list")["collections"] == []


@pytest.mark.model
def test_demo_and_doctor_print_what_the_schema_says(run: Run) -> None:
    valid(run("demo", "--json").json, "demo")
    checks = valid(run("doctor", "--json", *MODEL).json, "doctor")["checks"]
    assert {"model", "weights", "declared", "vector"} <= {check["name"] for check in checks}


def test_keys_have_one_order_over_grpc_over_rest_and_embedded(
    run: Run, qdrant_1_17: QdrantServer, collection_name: str, tmp_path: Path
) -> None:
    nested = {"z": {"b": 1, "a": [{"y": 1, "x": 2}]}, "a": 1, "m": "text", "B": None}
    (tmp_path / "p.jsonl").write_text(json.dumps({"id": "1", "text": "one", **nested}) + "\n")
    server = ["--url", qdrant_1_17.url, "--grpc-port", str(qdrant_1_17.grpc_port)]
    places = [[*server, "--transport", "grpc"], [*server, "--transport", "rest"], ["--path", "store"]]
    seen = []
    for number, place in enumerate(places):
        common = ["--collection", collection_name, *place]
        if number != 1:
            assert run("ingest", "p.jsonl", *common, *MODEL, "--index", "m:keyword", "--index", "a:integer").code == 0
        [hit] = run("search", "one", *common, *MODEL, "--json").json["hits"]
        seen.append(json.dumps({key: value for key, value in hit.items() if key != "score"}))
        info = run("collection", "info", *common, "--json").json
        assert list(info["indexes"]) == ["a", "m"]
    assert len(set(seen)) == 1
    assert list(json.loads(seen[0])["payload"]) == ["B", "a", "m", "z"]


def test_failures_have_kinds_and_exit_codes_of_their_own(run: Run, notes: Path, tmp_path: Path) -> None:
    common = ["--path", notes, "--json"]
    found = failed(ran := run("search", "bees", "--collection", "nots", *common), "collection_not_found")
    assert ran.code == failures.NOT_FOUND == 4
    assert found["message"].startswith("no collection 'nots' at ")
    assert found["remedy"] == "create it with 'tasb-qdrant ingest', or correct --collection"
    failed(ran := run("search", "--like", "nobody", "--collection", "notes", *common), "passage_not_found")
    assert ran.code == failures.NOT_FOUND
    failed(ran := run("search", "bees", "--collection", "notes", "--dim", "7", *common), "contract_mismatch")
    assert ran.code == failures.REFUSED == 5
    gone = ["--url", "http://127.0.0.1:1", "--retry-seconds", "0", "--json"]
    failed(ran := run("search", "bees", "--collection", "notes", *gone), "server_unreachable")
    assert ran.code == failures.UNREACHABLE == 6
    failed(ran := run("search", "bees", "--collection", "notes", "--filter", "year >", *common), "filter_syntax")
    assert ran.code == failures.NAMED_ERROR == 1
    failed(ran := run("ingest", "nowhere.jsonl", "--collection", "c", "--json"), "source")
    assert ran.code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "--json"],
        ["search", "bees", "--collection", "c", "--limit", "none", "--json"],
        ["search", "bees", "--collection", "c", "--json", "--no-such-option"],
        ["ingest", "--collection", "c", "--json"],
        ["no-such-command", "--json"],
        ["search", "--queries", "nowhere.txt", "--collection", "c", "--format", "jsonl"],
    ],
    ids=" ".join,
)
def test_a_mistake_in_the_command_line_is_json_too(run: Run, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert failed(ran, "usage")["message"]
    assert ran.code == 2
    if "jsonl" in arguments:
        assert ran.out.count("\n") == 1


@pytest.mark.parametrize("way", [["bees"], ["--like", "1"], ["bees", "--group-by", "x"], ["--queries", "-"]], ids=str)
def test_a_trec_run_is_never_json(run: Run, notes: Path, way: list[str]) -> None:
    ran = run("search", *way, "--collection", "notes", "--path", notes, "--json", "--format", "trec")
    assert "--json and --format trec contradict each other" in failed(ran, "usage")["message"]


def test_without_json_an_error_leaves_stdout_empty(run: Run) -> None:
    assert run("collection", "info", "--collection", "c").out == ""
    assert run("search").out == ""
    assert run("ingest", "nowhere", "--collection", "c", "--format", "jsonl").out == ""


def test_an_error_that_nobody_expected_is_json_and_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("tasb_qdrant.manage.listing.list_collections", broken)
    from tasb_qdrant.cli.main import main

    with pytest.raises(ZeroDivisionError):
        main.main(["collection", "list", "--json"])
    assert valid(json.loads(capsys.readouterr().out), "error")["error"]["kind"] == "internal"


def test_an_interruption_is_json_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasb_qdrant.ingest.run import IngestRun

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(IngestRun, "run", interrupted)
    failed(ran := run("ingest", CORPUS, "--collection", "c", "--json"), "interrupted")
    assert ran.code == 130
    monkeypatch.setattr("tasb_qdrant.manage.listing.list_collections", interrupted)
    failed(ran := run("collection", "list", "--json"), "interrupted")
    assert ran.code == 130


def test_kinds_are_unique_and_documented_with_their_codes() -> None:
    """A kind, once documented, keeps its name: programs compare it."""
    kinds = {_kind(kind): kind for kind in CLASSES}
    assert len(kinds) == len(CLASSES)
    page = (DOCS / "cli.md").read_text()
    listed = dict(re.findall(r"^\| (\d+) \| [^|]+ \| (.*) \|$", page, re.MULTILINE))
    codes = {name: int(code) for code, names in listed.items() for name in re.findall(r"`([a-z_]+)`", names)}
    leaves = {name: kind for name, kind in kinds.items() if name not in ("tasb_qdrant", "invalid_input")}
    assert {name: codes.get(name) for name in leaves} == {name: _code(kind) for name, kind in leaves.items()}
    assert (codes["usage"], codes["interrupted"]) == (2, 130)


def _kind(kind: type[errors.TasbQdrantError]) -> str:
    return kind.__new__(kind).kind


def _code(kind: type[errors.TasbQdrantError]) -> int:
    return exit_code(kind.__new__(kind))


def test_every_class_with_a_code_is_one_of_the_tree() -> None:
    assert set(EXIT_CODES) <= set(CLASSES)


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("no collection 'c'; there are none; make one", "make one"),
        ("nothing was changed. Correct the source", "Correct the source"),
        ("one clause", ""),
        ("version 1.2.3 is too old; upgrade it", "upgrade it"),
        ("filter, column 1: expected a field, found 'x'\n  x\n  ^", ""),
    ],
)
def test_what_to_do_is_the_last_clause(message: str, remedy: str) -> None:
    assert errors.TasbQdrantError(message).remedy == remedy


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        ([], ""),
        (["--json"], "json"),
        (["search", "x", "--format", "json"], "json"),
        (["search", "x", "--format=jsonl", "--json"], "jsonl"),
        (["search", "--", "--json"], ""),
        (["search", "--format"], ""),
        (["search", "--interactive", "--json"], "jsonl"),
        (["-v", "search", "x", "--format", "jsonl"], "jsonl"),
        (["ingest", "-", "--format", "jsonl"], ""),
        (["ingest", "-", "--format=jsonl", "--json"], "json"),
        (["collection", "verify", "--json", "--format", "jsonl"], "json"),
    ],
)
def test_the_form_is_known_before_the_command_line_is_parsed(arguments: list[str], form: str) -> None:
    assert form_of(arguments) == form
