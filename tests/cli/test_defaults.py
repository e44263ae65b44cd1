"""Options that nobody types come from the environment, then from a file; what is typed goes first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasb_qdrant.cli.failures import NOT_FOUND, REFUSED, UNREACHABLE
from tests.cli.conftest import Run

pytestmark = pytest.mark.model

PASSAGES = '{"id": "1", "text": "Bees dance."}\n{"id": "2", "text": "Owls swallow mice."}\n'


@pytest.fixture
def stored(run: Run, tmp_path: Path) -> Path:
    """Two passages in the collection `c` of the folder `store`, which a file names, as it does one hit and the model."""
    (tmp_path / "p.jsonl").write_text(PASSAGES)
    (tmp_path / "tasb-qdrant.toml").write_text('collection = "c"\npath = "store"\nmodel = "minilm"\nlimit = 1\n')
    assert run("ingest", "p.jsonl").code == 0
    return tmp_path


def test_a_file_stands_for_what_is_not_typed(run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (stored / "store").is_dir()
    (stored / "sub").mkdir()
    monkeypatch.chdir(stored / "sub")
    found = run("search", "what do owls eat?", "--json").json
    assert [hit["id"] for hit in found["hits"]] == ["2"]
    assert len(run("search", "owls", "--limit", "2", "--json").json["hits"]) == 2
    info = run("collection", "info", "--json").json
    assert (info["name"], info["contract"]["model"]) == ("c", "minilm")


def test_the_limit_of_searches_is_not_that_of_loads(run: Run, stored: Path) -> None:
    assert run("collection", "info", "--json").json["points"] == 2
    assert len(run("search", "owls", "--json").json["hits"]) == 1
    assert run("ingest", "p.jsonl", "--dry-run", "--json").json["read"] == 2
    assert run("ingest", "p.jsonl", "--collection", "other", "--sync", "--json").json["read"] == 2


def test_the_commands_of_groups_in_groups_read_the_file_too(run: Run, stored: Path) -> None:
    assert run("collection", "index", "list").code == 0
    assert run("collection", "index", "add", "n:integer").code == 0
    assert run("collection", "passage", "patch", "1", "--set", "n=1").code == 0
    assert run("collection", "passage", "replace", "1", "--text", "Bees sting.").code == 0
    assert run("search", "--like", "2", "--json").json["hits"][0]["text"] == "Bees sting."
    assert run("collection", "passage", "delete", "2", "--collection", "c").code == 0
    assert run("collection", "info", "--json").json["points"] == 1


def test_typed_then_environment_then_file(run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: str) -> str:
        ran = run("search", "x", *arguments)
        assert ran.code == NOT_FOUND
        return ran.err

    monkeypatch.setenv("TASB_QDRANT_COLLECTION", "from-env")
    assert "no collection 'from-env'" in (said := missing())
    assert "(--collection from-env comes from $TASB_QDRANT_COLLECTION" in said
    assert "no collection 'typed'" in (said := missing("--collection", "typed"))
    assert "comes from $TASB" not in said
    monkeypatch.setenv("TASB_QDRANT_COLLECTION", "")  # as if it were not set
    assert run("search", "x").code == 0
    (stored / "tasb-qdrant.toml").write_text('collection = "from-file"\npath = "store"\n')
    assert f"(--collection from-file comes from {stored / 'tasb-qdrant.toml'}" in missing()


def test_the_model_comes_from_the_environment_and_an_error_says_so(
    run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.models import make_tasb_like

    other = make_tasb_like(stored / "other", layers=1, dim=32, heads=2, hidden=64)
    monkeypatch.setenv("TASB_QDRANT_MODEL", str(other))
    assert run("ingest", "p.jsonl", "--collection", "new", "--json").json["model"] == str(other)
    ran = run("search", "bees")
    assert ran.code == REFUSED
    assert f"--model {other} comes from $TASB_QDRANT_MODEL" in ran.err
    assert run("search", "bees", "--model", "minilm").code == 0
    assert run("search", "--like", "1").code == 0  # nothing is encoded


def test_where_a_collection_is_follows_the_nearer_of_the_two(
    run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = "http://127.0.0.1:1"
    monkeypatch.setenv("QDRANT_URL", gone)
    unreachable = run("collection", "list", "--retry-seconds", "0")  # the environment goes before the file's path
    assert unreachable.code == UNREACHABLE
    assert "comes from $QDRANT_URL" in unreachable.err
    assert run("collection", "list", "--path", "store").code == 0
    monkeypatch.delenv("QDRANT_URL")
    (stored / "tasb-qdrant.toml").write_text(f'url = "{gone}"\nretry-seconds = 0\n')
    assert run("collection", "list").code == UNREACHABLE
    assert run("collection", "list", "--path", "store").code == 0
    assert run("collection", "list", "--path", "store", "--url", gone).code == 1  # both typed
    (stored / "tasb-qdrant.toml").write_text(f'url = "{gone}"\npath = "store"\n')
    assert "give one of --url and --path" in run("collection", "list").err


def test_a_wrong_value_or_key_names_the_file(run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = stored / "tasb-qdrant.toml"
    file.write_text('collection = "c"\nlimit = 0\n')
    ran = run("search", "bees")
    assert ran.code == 2
    assert f"(it comes from {file})" in ran.err
    file.write_text('colection = "c"\n')
    ran = run("search", "bees", "--json")
    assert ran.code == 1
    assert "did you mean collection?" in ran.json["error"]["message"]
    assert ran.json["error"]["kind"] == "settings"
    assert run("--help").code == 0
    assert run("--version").code == 0


def test_nothing_is_deleted_by_default(run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASB_QDRANT_COLLECTION", "c")
    ran = run("collection", "delete", "--yes")
    assert ran.code == 2
    assert "name the collection to delete" in ran.err
    assert run("collection", "info").code == 0


def test_what_was_used_is_in_doctor_and_in_the_log(run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = stored / "tasb-qdrant.toml"
    monkeypatch.setenv("TASB_QDRANT_COLLECTION", "c")
    monkeypatch.setenv("QDRANT_API_KEY", "canary")
    checks = {check["name"]: check for check in run("doctor", "--json").json["checks"]}
    assert checks["settings"]["found"] == (
        f"{file} (collection, path, model, limit); QDRANT_API_KEY, TASB_QDRANT_COLLECTION"
    )
    [said] = [line for line in run("search", "bees", "-v").err.splitlines() if f"From {file}: " in line]
    assert set(said.partition(f"From {file}: ")[2].rstrip(".").split(", ")) == {"model", "limit", "path"}
    assert f"From {file}" not in run("search", "bees").err


def test_doctor_checks_the_model_that_would_be_used(run: Run, stored: Path, tmp_path: Path) -> None:
    checks = {check["name"]: check for check in run("doctor", "--json").json["checks"]}
    assert checks["model"]["found"].startswith("minilm in ")
    assert checks["weights"]["found"].startswith("safetensors, ")
    assert "mean pooling, normalised" in checks["declared"]["found"]
    assert checks["vector"]["found"].startswith("384 numbers of length 1, 256 tokens at most, in ")
    assert {checks[name]["status"] for name in ("model", "weights", "declared", "vector")} == {"ok"}
    ran = run("doctor", "--model", "./nowhere", "--json")
    [model] = [check for check in ran.json["checks"] if check["name"] == "model"]
    assert (ran.code, model["status"]) == (1, "failed")
    assert "'./nowhere' is neither a folder nor a hub id" in model["found"] or "no folder ./nowhere" in model["found"]
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text(json.dumps({"model_type": "bert"}))
    ran = run("doctor", "--model", damaged, "--json")
    assert ran.code == 1
    assert [check["status"] for check in ran.json["checks"] if check["name"] == "model"] == ["failed"]
