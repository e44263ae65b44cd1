"""`collection`, `demo`, `doctor`, `completion`, and help."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click
import pytest

from tasb_qdrant.cli.failures import NOT_FOUND
from tasb_qdrant.cli.main import main
from tests.cli.conftest import EXAMPLES, Run
from tests.models import minilm_folder
from tests.qdrant_servers import QdrantServer


def _commands(group: click.Group, context: click.Context, path: str = "") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((f"{path}{name}", command))
        if isinstance(command, click.Group):
            found += _commands(command, click.Context(command), f"{path}{name} ")
    return found


COMMANDS = _commands(main, click.Context(main))


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert f"tasb-qdrant {name}" in (command.help or "")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_that_prints_results_prints_json(name: str, command: click.Command) -> None:
    if not isinstance(command, click.Group) and name != "completion":
        assert any("--json" in parameter.opts for parameter in command.params)


def test_options_mean_the_same_in_every_command() -> None:
    helps: dict[str, set[str]] = {}
    for _, command in COMMANDS:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                helps.setdefault(parameter.opts[0], set()).add(parameter.help or "")
    differing = {option for option, texts in helps.items() if len(texts) > 1}
    # The model's default differs; what is read has a format, and what a search prints; a source is looked at where
    # there is nothing to be done yet; and passages are limited on the way in, and on the way out.
    assert differing <= {"--model", "--format", "--dry-run", "--limit"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    assert "_TASB_QDRANT_COMPLETE" in ran.out


def test_bash_accepts_the_completion_script(run: Run) -> None:
    subprocess.run(["bash", "-n"], input=run("completion", "bash").out, text=True, check=True)


def test_collections_are_listed(run: Run, notes: Path) -> None:
    ran = run("collection", "list", "--path", notes)
    assert ran.out.splitlines()[1].split("\t")[:2] == ["notes", "200"]
    (listed,) = run("collection", "list", "--path", notes, "--json").json["collections"]
    assert (listed["name"], listed["info"]["points"]) == ("notes", 200)


def test_an_empty_store_lists_none(run: Run) -> None:
    assert run("collection", "list", "--json").json["collections"] == []


def test_info_tells_what_made_the_vectors(run: Run, notes: Path) -> None:
    info = run("collection", "info", "--collection", "notes", "--path", notes, "--json").json
    assert (info["points"], info["indexed"]) == (200, 200)
    assert info["contract"]["pooling"] == "mean"
    assert info["contract"]["dim"] == 384
    assert len(info["contract"]["weights"]) == 64
    assert info["indexes"] == {"topic": "keyword", "year": "integer", "lang": "keyword"}
    text = run("collection", "info", "--collection", "notes", "--path", notes).out
    assert "200" in text


def test_optimize_indexes_what_was_left(run: Run) -> None:
    corpus, model = EXAMPLES / "passages.jsonl", minilm_folder()
    assert run("ingest", corpus, "--collection", "c", "--model", model, "--no-optimize").code == 0
    assert run("collection", "info", "--collection", "c", "--json").json["indexed"] == 0
    ran = run("collection", "optimize", "--collection", "c")
    assert ran.code == 0
    assert "200 of 200 vectors" in ran.out


def test_an_unfinished_load_is_told_by_info_and_search_until_it_is_optimized(
    run: Run, qdrant_1_17: QdrantServer
) -> None:
    corpus, model = EXAMPLES / "passages.jsonl", minilm_folder()
    where = ["--collection", "c", "--url", qdrant_1_17.url, "--grpc-port", str(qdrant_1_17.grpc_port)]
    assert run("ingest", corpus, *where, "--model", model, "--vectors", "float16", "--no-optimize").code == 0
    try:
        told = "tasb-qdrant collection optimize --collection c"
        assert told in run("collection", "info", *where).out
        assert run("collection", "info", *where, "--json").json["index_deferred"] is True
        assert told in run("search", "bees", *where, "--model", model).err
        assert run("collection", "optimize", *where).code == 0
        info = run("collection", "info", *where)
        assert told not in info.out
        assert "384 float16" in info.out
        assert told not in run("search", "bees", *where, "--model", model).err
    finally:
        run("collection", "delete", *where, "--yes")


def test_delete_asks_first(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, model = EXAMPLES / "passages.jsonl", minilm_folder()
    assert run("ingest", corpus, "--collection", "c", "--model", model, "--no-optimize").code == 0
    unasked = run("collection", "delete", "--collection", "c")
    assert unasked.code == 2
    assert "say --yes" in unasked.err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    refused = run("collection", "delete", "--collection", "c")
    assert refused.code == 1
    assert "Nothing was deleted." in refused.err
    assert run("collection", "list", "--json").json["collections"] != []
    assert run("collection", "delete", "--collection", "c", "--yes").code == 0
    assert run("collection", "list", "--json").json["collections"] == []
    missing = run("collection", "delete", "--collection", "c", "--yes")
    assert missing.code == NOT_FOUND
    assert "no collection 'c'" in missing.err


@pytest.mark.model
def test_the_demo_searches_what_it_ingested(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("demo", "--json")
    assert ran.code == 0
    assert ran.json["report"]["points"] == 200
    assert ran.json["report"]["model"] == "minilm"  # by its name: the folder is another on another machine
    assert [len(search["hits"]) for search in ran.json["searches"]] == [3, 3, 3, 3]
    assert all(hit["payload"]["year"] < 1800 for hit in ran.json["searches"][3]["hits"])
    again = run("demo")
    assert "skipped 200" in again.out
    assert "[bees-waggle-dance]" in again.out


def test_doctor_checks_everything_and_says_what_to_do(run: Run, qdrant_1_17: QdrantServer) -> None:
    ran = run("doctor", "--url", qdrant_1_17.url, "--grpc-port", qdrant_1_17.grpc_port, "--json")
    checks = {check["name"]: check for check in json.loads(ran.out)["checks"]}
    assert set(checks) == {
        "versions",
        "settings",
        "CPU",
        "GPU",
        "embedded store",
        "server",
        "server version",
        "hub",
        "model",
    }
    assert checks["server"]["status"] == "ok"
    assert qdrant_1_17.version in checks["server"]["found"]
    assert "an update queue" in checks["server version"]["found"]
    assert "prefix in filters (1.19); substring in filters (1.20)" in checks["server version"]["advice"]
    assert checks["embedded store"]["status"] == "ok"
    assert checks["embedded store"]["found"].startswith("works in ")
    for check in checks.values():
        assert check["status"] in {"ok", "warning", "failed"}


def test_doctor_fails_where_the_server_named_does_not_answer(run: Run) -> None:
    ran = run("doctor", "--url", "http://127.0.0.1:1")
    assert ran.code == 1
    assert "nothing answers there" in " ".join(ran.out.split())


def test_options_of_a_store_reach_it(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tasb_qdrant.manage import listing
    from tasb_qdrant.settings import StoreSettings

    asked: list[StoreSettings] = []

    def list_none(settings: StoreSettings) -> list[object]:
        asked.append(settings)
        return []

    monkeypatch.setattr(listing, "list_collections", list_none)
    (tmp_path / "key").write_text("secret\n")
    for name in ("ca.pem", "me.pem", "mine.pem"):
        (tmp_path / name).touch()
    options = ["--url", "https://a:1", "--api-key-file", "key", "--grpc-port", "2", "--transport", "rest"]
    options += ["--ca-file", "ca.pem", "--client-cert", "me.pem", "--client-key", "mine.pem"]
    assert (
        run("collection", "list", *options, "--timeout", "3", "--retry-seconds", "4", "--allow-plain-http-key").code
        == 0
    )
    (given,) = asked
    assert given.api_key is not None
    assert given.api_key.get_secret_value() == "secret"
    assert given.model_dump(exclude={"api_key"}) == {
        "url": "https://a:1",
        "path": None,
        "transport": "rest",
        "grpc_port": 2,
        "timeout": 3.0,
        "retry_seconds": 4.0,
        "read_timeout": None,
        "allow_plain_http_key": True,
        "ca_file": Path("ca.pem"),
        "client_cert": Path("me.pem"),
        "client_key": Path("mine.pem"),
    }
