"""`tasb-qdrant ingest`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasb_qdrant.cli.failures import NOT_FOUND, REFUSED, UNAUTHORIZED, UNREACHABLE
from tests.cli.conftest import EXAMPLES, Run
from tests.models import minilm_folder
from tests.qdrant_servers import QdrantServer
from tests.waiting import PATIENCE

CORPUS = EXAMPLES / "passages.jsonl"
pytestmark = pytest.mark.model

MODEL = ["--model", str(minilm_folder())]


def _few(folder: Path, *lines: str) -> Path:
    file = folder / "few.jsonl"
    good = [json.dumps({"_id": f"p{number}", "text": f"Passage number {number}.", "n": number}) for number in range(5)]
    file.write_text("\n".join([*good, *lines]) + "\n")
    return file


def test_a_run_reports_its_counts(run: Run) -> None:
    ran = run("ingest", CORPUS, "--collection", "notes", *MODEL)
    assert ran.code == 0
    assert "Stored 200 passages in collection 'notes' at tasb_qdrant_data, which now holds 200." in ran.out
    assert "Read 200: stored 200, updated 0, skipped 0, rejected 0." in ran.out
    assert "encoding" in ran.err  # progress and notes are kept out of the results
    assert "Pooling is mean" in ran.err


def test_a_run_reports_its_counts_as_json(run: Run) -> None:
    report = run("ingest", CORPUS, "--collection", "notes", *MODEL, "--json").json
    counts = {name: report[name] for name in ("read", "stored", "skipped", "rejected", "points", "verified")}
    assert counts == {"read": 200, "stored": 200, "skipped": 0, "rejected": 0, "points": 200, "verified": True}
    assert report["tokens"] > 10_000
    assert set(report["stages"]) >= {"read", "tokenize", "encode", "upload"}


def test_vectors_and_copies_are_chosen_by_options(run: Run) -> None:
    asked = ["--vectors", "float16", "--replicas", "auto"]
    assert run("ingest", CORPUS, "--collection", "notes", *MODEL, *asked).code == 0
    assert run("collection", "info", "--collection", "notes", "--json").json["vectors"] == "float16"
    wrong = run("ingest", CORPUS, "--collection", "notes", *MODEL, "--replicas", "some")
    assert (wrong.code, "'--replicas': expected a number or auto, got 'some'" in wrong.err) == (2, True)


def test_words_get_vectors_of_their_own_by_options(run: Run) -> None:
    asked = ["--bm25", "--bm25-language", "french", "--no-bm25-stemmer", "--bm25-avg-len", "80"]
    assert run("ingest", CORPUS, "--collection", "notes", *MODEL, *asked).code == 0
    assert (
        "BM25, french, without stemmer, k 1.2, b 0.75, average length 80"
        in run("collection", "info", "--collection", "notes").out
    )
    info = run("collection", "info", "--collection", "notes", "--json").json
    assert (info["bm25"]["language"], info["bm25"]["avg_len"], info["indexed"]) == ("french", 80.0, 200)
    other = run("ingest", CORPUS, "--collection", "notes", *MODEL, "--bm25")
    assert (other.code, "BM25 language: the collection has french, this run has english" in other.err) == (
        REFUSED,
        True,
    )
    assert run("ingest", CORPUS, "--collection", "notes", *MODEL, "--json").json["skipped"] == 200
    assert run("collection", "info", "--collection", "notes", "--json").json["bm25"] == info["bm25"]


def test_options_of_bm25_that_make_no_sense_are_named(run: Run) -> None:
    alone = run("ingest", CORPUS, "--collection", "notes", *MODEL, "--bm25-avg-len", "80")
    assert (alone.code, "--bm25-avg-len is for --bm25; give that, too" in alone.err) == (2, True)
    unknown = run("ingest", CORPUS, "--collection", "notes", *MODEL, "--bm25", "--bm25-language", "klingon")
    assert unknown.code == 1
    assert "language: Input should be 'none', 'arabic'" in unknown.err


def test_the_same_again_changes_nothing(run: Run) -> None:
    run("ingest", CORPUS, "--collection", "notes", *MODEL)
    report = run("ingest", CORPUS, "--collection", "notes", *MODEL, "--json").json
    assert (report["stored"], report["skipped"], report["points"]) == (0, 200, 200)


def test_indexes_are_proposed_where_none_were_asked_for(run: Run) -> None:
    ran = run("ingest", CORPUS, "--collection", "notes", *MODEL)
    assert "--index lang:keyword --index tags:keyword --index topic:keyword --index year:integer" in " ".join(
        ran.out.split()
    )


def test_a_bad_line_stops_the_run_with_its_number(run: Run, tmp_path: Path) -> None:
    ran = run("ingest", _few(tmp_path, '{"_id": "x", "text": '), "--collection", "c", *MODEL)
    assert ran.code == 1
    assert "few.jsonl:6: " in ran.err
    assert "--rejects FILE" in ran.err


def test_bad_lines_go_to_the_rejects_file_and_the_exit_code_says_so(run: Run, tmp_path: Path) -> None:
    file = _few(tmp_path, '{"_id": "x"}', '{"_id": "p1", "text": "Other content."}')
    ran = run("ingest", file, "--collection", "c", "--rejects", "bad.jsonl", *MODEL)
    assert ran.code == 3
    rejects = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == [6, 7]
    assert "in line 2" in rejects[1]["reason"]
    assert "rejected 2" in ran.out


def test_a_value_that_its_index_would_not_hold_is_rejected(run: Run, tmp_path: Path) -> None:
    file = _few(tmp_path, '{"_id": "x", "text": "t", "n": "twelve"}')
    ran = run("ingest", file, "--collection", "c", "--index", "n:integer", *MODEL)
    assert ran.code == 1
    assert "field 'n' is indexed as integer, got \"twelve\"" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--index", "year:int"], "--index takes FIELD:TYPE"),
        (["--device", "tpu"], "no device 'tpu'"),
        (["--url", "localhost:6333"], "must start with http://"),
        (["--url", "http://127.0.0.1:1", "--path", "x"], "give one of --url and --path"),
        (["--url", "http://127.0.0.1:1"], "nothing answers there"),
        (["--model", "no/such folder"], "no folder"),
        (["--format", "parquet"], "few.jsonl"),
        (["--hnsw-m", "1"], "hnsw_m"),
        (["--shards", "2"], "the embedded store has no shards"),
        (["--text-key", "title"], "must differ"),
    ],
)
def test_what_makes_no_sense_is_a_named_error(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    model = [] if "--model" in arguments else MODEL
    ran = run("ingest", _few(tmp_path), "--collection", "c", *model, *arguments)
    assert ran.code == {"nothing answers there": UNREACHABLE, "no folder": NOT_FOUND}.get(said, 1)
    assert said in ran.err
    assert ran.err.count("Error:") == 1


@pytest.mark.parametrize("arguments", [[], ["few.jsonl"], ["few.jsonl", "--collection", "c", "--nonsense"]])
def test_a_wrong_command_line_is_a_usage_error(run: Run, arguments: list[str]) -> None:
    assert run("ingest", *arguments).code == 2


def test_standard_input_is_a_source(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tasb_qdrant", "ingest", "-", "--format", "jsonl", "--collection", "c", "--json"]
    done = subprocess.run(
        [*command, *MODEL], cwd=tmp_path, input=_few(tmp_path).read_bytes(), capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["points"] == 5


def test_an_interrupt_ends_with_130_and_what_was_stored_stays(tmp_path: Path, run: Run) -> None:
    command = [sys.executable, "-m", "tasb_qdrant", "ingest", "-", "--format", "jsonl", "--collection", "c", *MODEL]
    lines = b"".join(b'{"_id": "%d", "text": "Passage %d."}\n' % (number, number) for number in range(2500))
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(lines)
        child.stdin.flush()
        for line in child.stderr:
            if line.startswith(b"encoding") and b"stored" in line:
                break
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130
    assert b"run the same again to go on" in err
    # Closing the pipe was the end of the source: the same again, whole this time, completes it.
    (tmp_path / "all.jsonl").write_bytes(lines)
    report = run("ingest", "all.jsonl", "--collection", "c", *MODEL, "--json").json
    assert report["points"] == 2500


def test_a_server_and_the_embedded_store_are_given_the_same(
    run: Run, qdrant_1_17: QdrantServer, collection_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_URL", qdrant_1_17.url)
    grpc = ["--grpc-port", str(qdrant_1_17.grpc_port)]
    indexes = ["--index", "year:integer", "--index", "lang:keyword"]
    assert run("ingest", CORPUS, "--collection", collection_name, *grpc, *MODEL, *indexes).code == 0
    assert run("ingest", CORPUS, "--collection", collection_name, "--path", "here", *MODEL, *indexes).code == 0
    question = ["search", "early telescopes", "--collection", collection_name, "--filter", "year < 1900", "--json"]
    on_server = run(*question, *grpc, *MODEL).json["hits"]  # a folder that a server names isn't opened
    embedded = run(*question, "--path", "here").json["hits"]
    assert [hit["id"] for hit in on_server] == [hit["id"] for hit in embedded]
    assert [hit["payload"] for hit in on_server] == [hit["payload"] for hit in embedded]
    over_rest = run(*question, *MODEL, "--transport", "rest").json["hits"]
    assert [list(hit["payload"]) for hit in on_server] == [list(hit["payload"]) for hit in over_rest]
    assert [list(hit) for hit in on_server] == [list(hit) for hit in embedded]


def test_a_key_is_shown_nowhere(run: Run, keyed_server: QdrantServer, tmp_path: Path, collection_name: str) -> None:
    key = keyed_server.api_key
    assert key is not None
    (tmp_path / "key").write_text(key + "\n")
    (tmp_path / "wrong").write_text("wrong-key-canary")
    store = ["--url", keyed_server.url, "--grpc-port", str(keyed_server.grpc_port)]
    ran = run(
        "ingest", _few(tmp_path), "--collection", collection_name, *store, "--api-key-file", "key", *MODEL, "--json"
    )
    assert ran.code == 0
    refused = run("collection", "list", *store, "--api-key-file", "wrong")
    assert refused.code == UNAUTHORIZED
    assert "QDRANT_API_KEY" in refused.err
    absent = run("collection", "list", *store)
    assert absent.code == UNAUTHORIZED
    for text in (ran.out, ran.err, refused.out, refused.err, absent.err):
        assert key not in text
        assert "wrong-key-canary" not in text


def test_the_key_of_the_environment_is_used(
    run: Run, keyed_server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", str(keyed_server.api_key))
    monkeypatch.setenv("QDRANT_URL", keyed_server.url)
    assert run("collection", "list", "--grpc-port", str(keyed_server.grpc_port)).code == 0


def test_a_key_is_not_sent_in_the_clear_to_another_host(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "canary-key")
    ran = run("collection", "list", "--url", "http://qdrant.invalid:6333")
    assert ran.code == 1
    assert "unencrypted" in ran.err
    assert "canary-key" not in ran.err


def test_the_program_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasb_qdrant", "--version"], capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.startswith("tasb-qdrant, version ")


def test_a_dry_run_shows_what_would_be_read_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,text,title,year\n1,the first text,One,2000\n2,the second,Two,2001\n")
    ran = run("ingest", "p.csv", "--dry-run", "--model", "nothing/there")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "p.csv: csv, 67 bytes; id from id, text from text, title from title; fields: year (integer)",
        "[1] One",
        "    the first text",
        "    year=2000",
        "[2] Two",
        "    the second",
        "    year=2001",
        "2 passages. Nothing was stored.",
        "Indexes that suit: --index year:integer",
    ]
    assert not (tmp_path / "tasb_qdrant_data").exists()
    found = run("ingest", "p.csv", "--collection", "c", "--dry-run", "--limit", "1", "--json").json
    assert [one["id"] for one in found["first"]] == ["1"]
    assert (found["estimate"], found["complete"]) == (2, True)


def test_replacing_by_another_field_is_refused_and_counted_when_it_is_wanted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,body,summary\n1,the first,one\n2,the second,two\n")
    same = ("ingest", "p.csv", "--collection", "c", "--model", minilm_folder())
    assert run(*same, "--text-field", "body").code == 0
    refused = run(*same, "--text-field", "summary")
    assert refused.code == REFUSED
    assert "the field of the text: the collection has body, this run has summary" in refused.err
    ran = run(*same, "--text-field", "summary", "--replace")
    assert "Stored 2 passages (0 new, 2 replaced) in collection 'c'" in ran.out
    found = run(*same, "--text-field", "summary", "--replace", "--overwrite", "--json").json
    assert (found["stored"], found["new"], found["replaced"]) == (2, 0, 2)
