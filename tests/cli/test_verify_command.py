"""`collection verify`, and the options of `ingest` around it: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasb_qdrant.cli.failures import NOT_FOUND, REFUSED
from tasb_qdrant.collection.open import open_collection
from tests.cli.conftest import Run
from tests.collection.helpers import payloads_of
from tests.models import minilm_folder

pytestmark = pytest.mark.model

MODEL = ["--model", str(minilm_folder())]


@pytest.fixture
def source(run: Run, tmp_path: Path) -> Path:
    """A file of 20 passages that are in collection `c`."""
    file = tmp_path / "p.jsonl"
    write(file, range(20))
    assert run("ingest", file, "--collection", "c", *MODEL, "--no-optimize").code == 0
    return file


def write(file: Path, numbers: range, *lines: str) -> None:
    records = [json.dumps({"_id": f"p{n}", "text": f"Passage number {n}.", "n": n}) for n in numbers]
    file.write_text("\n".join([*records, *lines]) + "\n")


def test_an_equal_collection_ends_with_0(run: Run, source: Path) -> None:
    ran = run("collection", "verify", "--collection", "c", "--source", source)
    assert ran.code == 0
    assert ran.out.startswith("Equal: 20 passages of the source, collection 'c'\n  20 points in it at tasb_qdrant_data")
    assert "20 vectors compared, lowest cosine 1.00" in ran.out
    assert "comparing payloads" in ran.err


def test_differences_end_with_3_and_are_named(run: Run, source: Path) -> None:
    write(source, range(2, 22), '{"_id": "p5", "text": "once more"}')
    options = ["--collection", "c", "--source", source, "--sample", "0"]
    ran = run("collection", "verify", *options, "--report", "r.jsonl")
    assert ran.code == 3
    assert "5 differences: 20 passages" in ran.out
    assert "2 are not in the collection: p20, p21" in ran.out
    assert "2 are in the collection and not in the source: p0, p1" in " ".join(ran.out.split()).replace(
        "p1, p0", "p0, p1"
    )
    assert "1 occur more than once with different content: p5 (line 4 of " in ran.out
    assert "ingest --sync" in ran.err
    assert len(Path("r.jsonl").read_text().splitlines()) == 5
    found = run("collection", "verify", *options, "--json").json
    assert (found["missing"], found["extra"], found["duplicates"], found["equal"]) == (2, 2, 1, False)
    assert found["examples"]["missing"] == ["p20", "p21"]


def test_a_repair_ends_with_0_where_it_made_all_equal(run: Run, source: Path) -> None:
    write(source, range(25))
    ran = run("collection", "verify", "--collection", "c", "--source", source, "--repair")
    assert ran.code == 0
    assert "Repaired: 5 passages encoded and stored, 0 payloads replaced. Now:" in ran.out
    assert "Equal: 25 passages" in ran.out


def test_inputs_that_cannot_be_stored_end_with_3(run: Run, source: Path) -> None:
    write(source, range(20), "no json")
    ran = run("collection", "verify", "--collection", "c", "--source", source, "--sample", "0")
    assert ran.code == 3
    assert "1 inputs of the source can't be stored" in ran.err


def test_a_missing_collection_or_source_is_an_error(run: Run, source: Path) -> None:
    assert run("collection", "verify", "--collection", "x", "--source", source).code == NOT_FOUND
    assert run("collection", "verify", "--collection", "c", "--source", "nowhere.jsonl").code == 1
    assert run("collection", "verify", "--collection", "c").code == 2


def test_an_ingest_can_verify_at_its_end(run: Run, source: Path) -> None:
    ran = run("ingest", source, "--collection", "d", *MODEL, "--verify")
    assert ran.code == 0
    assert "Equal: 20 passages" in ran.out
    report = run("ingest", source, "--collection", "c", *MODEL, "--verify", "--json").json
    assert (report["verified"], report["verification"]["equal"]) == (True, True)


def test_an_ingest_whose_verification_fails_ends_with_3(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasb_qdrant.ingest.read import sieve

    with open_collection("c", path=tmp_path / "tasb_qdrant_data") as collection:
        (point,) = [point.id for point in collection.reads.scroll().points if (point.payload or {})["n"] == 3]
        collection.replace_payloads({point: {**payloads_of(collection, [point])[point], "n": 4}})
    monkeypatch.setattr(sieve, "update_payloads", lambda *_: None)  # an update that gets lost
    ran = run("ingest", source, "--collection", "c", *MODEL, "--verify")
    assert ran.code == 3
    assert "1 are stored with other fields: p3" in ran.out


def test_a_synchronisation_prints_its_counts(run: Run, source: Path) -> None:
    write(source, range(5, 30))
    dry = run("ingest", source, "--collection", "c", *MODEL, "--sync", "--dry-run")
    assert dry.code == 0
    assert "Would delete 5 of 20 points, encode 10 passages, update 0 payloads and leave 15 as they are." in dry.out
    by_two = run("ingest", source, "--collection", "c", *MODEL, "--sync", "--dry-run", "--workers", "2", "--json")
    assert by_two.json["delete"] == 5
    assert "The source is read by 2 processes." in by_two.err
    ran = run("ingest", source, "--collection", "c", *MODEL, "--sync", "--verify")
    assert ran.code == 0
    assert "5 of the collection's 20 points are not in the source, and will be deleted" in ran.err
    assert "Deleted 5 points that the source doesn't have." in ran.out
    assert "Read 25: stored 10, updated 0, skipped 15, rejected 0." in ran.out


def test_a_deletion_of_everything_is_refused(run: Run, source: Path) -> None:
    source.write_text("\n")
    dry = run("ingest", source, "--collection", "c", *MODEL, "--sync", "--dry-run", "--format", "jsonl")
    assert "the deletion would be refused, as the source is empty" in dry.err
    ran = run("ingest", source, "--collection", "c", *MODEL, "--sync", "--format", "jsonl")
    assert ran.code == REFUSED
    assert "--delete-anyway" in ran.err
    ran = run("ingest", source, "--collection", "c", *MODEL, "--sync", "--delete-anyway", "--format", "jsonl")
    assert ran.code == 0


def test_rejects_can_be_tried_again_and_be_limited(run: Run, source: Path) -> None:
    write(source, range(20), '{"_id": "x"}', "no json")
    assert run("ingest", source, "--collection", "c", *MODEL, "--rejects", "bad.jsonl").code == 3
    write(source, range(20), '{"_id": "x", "text": "corrected"}', "no json")
    ran = run("ingest", "--retry-rejects", "bad.jsonl", "--collection", "c", *MODEL)
    assert ran.code == 3
    assert "Read 2: stored 1, updated 0, skipped 0, rejected 1." in ran.out
    assert [json.loads(line)["line"] for line in Path("bad.jsonl").read_text().splitlines()] == [22]
    ran = run("ingest", source, "--collection", "c", *MODEL, "--rejects", "bad.jsonl", "--max-rejects", "0")
    assert ran.code == 1
    assert "more than 0 inputs were rejected, the most that --max-rejects allows; see bad.jsonl" in ran.err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["p.jsonl", "--retry-rejects", "bad.jsonl"],
        ["--retry-rejects", "bad.jsonl", "--sync"],
        ["--retry-rejects", "p.jsonl", "--dry-run"],
        ["p.jsonl", "--delete-anyway"],
        ["--retry-rejects", "bad.jsonl", "--limit", "1"],
        ["p.jsonl", "--sync", "--limit", "1"],
        ["p.jsonl", "--sync", "--dry-run", "--limit", "1"],
    ],
)
def test_options_that_make_no_sense_together_end_with_2(run: Run, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "bad.jsonl").write_text("")
    assert run("ingest", *options, "--collection", "c").code == 2


def test_texts_of_another_field_are_replaced_by_an_ingest_and_not_by_a_repair(run: Run, tmp_path: Path) -> None:
    (tmp_path / "two.jsonl").write_text('{"id": "1", "body": "One text.", "summary": "Another."}\n')
    options = ("--collection", "two", *MODEL)
    assert run("ingest", "two.jsonl", "--text-field", "body", *options).code == 0
    summary = ("--text-field", "summary", *options)
    repaired = run("collection", "verify", "--source", "two.jsonl", "--repair", *summary, "--json")
    assert repaired.code == REFUSED
    assert repaired.json["error"]["message"].endswith("--title-field, or ingest with --replace")
    sync = ("ingest", "two.jsonl", "--sync", *summary, "--json")
    assert "not replaced without --replace" in " ".join(run(*sync, "--dry-run").json["warnings"])
    planned = run(*sync, "--dry-run", "--replace")
    assert (planned.code, planned.json["replace"], planned.json["warnings"]) == (0, 1, [])
    assert planned.json["field_refusal"] == ""
    assert "body, and is summary: stored texts are replaced." in " ".join(planned.json["notes"])
    assert run(*sync, "--replace").json["replaced"] == 1
