"""What deletes wants its collection typed and prints a document whatever becomes of it; who waits, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from tasb_qdrant import Passage, ingest
from tasb_qdrant.cli.main import main
from tasb_qdrant.collection import open as opening
from tasb_qdrant.settings import CollectionSettings, StoreSettings
from tests.cli.conftest import Run
from tests.cli.test_json import failed, valid
from tests.ingest.fakes import StubEncoder

PLACE = ("--collection", "c", "--path", "s")
PASSAGE = ("collection", "passage")
INDEX = ("collection", "index")


@pytest.fixture(autouse=True)
def filled(run: Run) -> None:
    """Four passages in collection `c` of the folder `s`, with an index on their topic."""
    docs = [Passage(f"d{n}", f"text {n}", payload={"topic": "bees", "year": 2000 + n}) for n in range(4)]
    settings = CollectionSettings(indexes={"topic": "keyword"})
    ingest(docs, collection="c", path=Path("s"), encoder=StubEncoder(), settings=settings)


@pytest.mark.parametrize("place", ["variable", "file"])
@pytest.mark.parametrize(
    "command",
    [
        ["collection", "delete", "--yes"],
        [*PASSAGE, "delete", "d1"],
        [*PASSAGE, "delete", "--filter", "year > 2000", "--yes"],
        [*INDEX, "drop", "topic"],
    ],
    ids=" ".join,
)
def test_nothing_is_deleted_from_a_collection_that_nobody_typed(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], place: str
) -> None:
    if place == "variable":
        monkeypatch.setenv("TASB_QDRANT_COLLECTION", "c")
    else:
        Path("tasb-qdrant.toml").write_text('collection = "c"\n')
    ran = run(*command, "--path", "s")
    assert (ran.code, "name the collection to d" in ran.err) == (2, True)
    info = run("collection", "info", *PLACE, "--json").json
    assert (info["points"], info["indexes"]) == (4, {"topic": "keyword"})
    assert run(*command, *PLACE).code == 0


def test_a_dry_run_deletes_nothing_and_takes_the_default(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASB_QDRANT_COLLECTION", "c")
    tried = run(*PASSAGE, "delete", "--filter", "year > 2000", "--dry-run", "--path", "s")
    assert (tried.code, "3 passages of collection 'c' at s would be deleted." in tried.out) == (0, True)


def test_a_deletion_without_a_match_is_a_report(run: Run) -> None:
    none = ("--filter", 'topic = "bees" and year > 2003', *PLACE)
    ran = run(*PASSAGE, "delete", *none, "--json")
    report = valid(ran.json, "collection-passage")
    assert (ran.code, report["matched"], report["changed"], report["dry_run"]) == (0, 0, 0, False)
    assert run(*PASSAGE, "delete", *none, "--yes", "--json").json == ran.json
    assert run(*PASSAGE, "delete", *none).out == ""


@pytest.mark.parametrize(
    "command", [[*PASSAGE, "delete", "--filter", "year > 2000"], ["collection", "delete"]], ids=" ".join
)
def test_a_deletion_that_is_declined_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    ran = run(*command, *PLACE, "--json")
    assert (ran.code, failed(ran, "declined")["message"]) == (1, "Nothing was deleted.")
    assert (run(*command, *PLACE).out, run("collection", "info", *PLACE, "--json").json["points"]) == ("", 4)


def test_long_work_is_patient_and_the_rest_waits_as_long_as_it_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[bool, float | None]] = []
    open_store_at = opening.open_store_at

    def spied(settings: StoreSettings, **options: Any) -> Any:
        opened.append((options["patient"], settings.read_timeout))
        return open_store_at(settings, **options)

    monkeypatch.setattr(opening, "open_store_at", spied)

    def waits(*command: str) -> tuple[bool, float | None]:
        assert run(*command, *PLACE).code == 0
        return opened.pop()

    told = ("--read-timeout", "5")
    where = ("--filter", "year > 2000")
    assert waits(*INDEX, "add", "year:integer") == (True, None)
    assert waits("collection", "optimize") == (True, None)
    assert waits(*PASSAGE, "patch", *where, "--set", "a=1") == (True, None)
    assert waits(*PASSAGE, "patch", *where, "--set", "a=1", *told) == (False, 5)
    assert waits(*PASSAGE, "patch", "d1", "--set", "a=1") == (False, None)
    assert waits(*PASSAGE, "delete", "d1", *told) == (False, 5)
    assert waits(*PASSAGE, "delete", *where, "--yes") == (True, None)
    assert waits(*INDEX, "list", *told) == (False, 5)
    assert waits(*INDEX, "drop", "topic", *told) == (False, 5)
    Path("tasb-qdrant.toml").write_text("read-timeout = 7\n")
    assert waits("collection", "info") == (False, 7)
    assert waits("collection", "delete", "--yes", *told) == (False, 5)


def test_who_waits_only_so_long_can_be_told_to_wait_longer() -> None:
    def names(*path: str) -> set[str]:
        command: click.Command | None = main
        for name in path:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        assert command is not None
        return {str(parameter.name) for parameter in command.params}

    for path in (*((*PASSAGE, one) for one in ("delete", "patch", "replace")), (*INDEX, "drop"), (*INDEX, "list")):
        assert "read_timeout" in names(*path), path
    assert "read_timeout" in names("collection", "delete")
