"""-v, -q and TASB_QDRANT_LOG: what the program says on standard error while it works."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from tasb_qdrant.cli.failures import UNREACHABLE
from tasb_qdrant.cli.logs import LineHandler
from tests.cli.conftest import EXAMPLES, Run
from tests.models import minilm_folder
from tests.qdrant_servers import free_port


def _search(notes: Path) -> list[str | Path]:
    return ["search", "bees", "--collection", "notes", "--path", notes, "--limit", "1", "--model", minilm_folder()]


def test_more_is_said_with_v_wherever_it_stands(run: Run, notes: Path) -> None:
    quiet = run(*_search(notes))
    assert "info " not in quiet.err
    for arguments in ((*_search(notes), "-v"), ("-v", *_search(notes))):
        ran = run(*arguments)
        assert (ran.code, ran.out) == (0, quiet.out)
        assert "info    encoder.load: loaded " in ran.err
        assert "Took " in ran.err
        assert "debug " not in ran.err
    for arguments in ((*_search(notes), "-vv"), (*_search(notes), "-v", "-v"), ("-v", *_search(notes), "-v")):
        assert "debug   search.stopwatch: encoded ['bees']" in run(*arguments).err
    before = (logging.NOTSET, len(logging.getLogger("tasb_qdrant").handlers))
    for given in (_search(notes), ["search", "-v", "--no-such-option"], ["search", "--limit", "none"]):
        run(*given)
        logger = logging.getLogger("tasb_qdrant")  # each run configures for itself alone, however it ends
        assert (logger.level, len(logger.handlers)) == before


def test_less_is_said_with_q(run: Run, tmp_path: Path) -> None:
    load = ("ingest", EXAMPLES / "passages.jsonl", "--collection", "c", "--model", minilm_folder(), "-q")
    ran = run(*load)
    assert (ran.code, ran.err) == (0, "")
    assert "Stored" in ran.out
    found = run("-q", "search", "bees", "--collection", "c", "--model", minilm_folder(), "--filter", "yaer > 3")
    assert found.err.startswith("Warning: ")  # what may be wrong is said all the same
    assert len(found.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("level", "said"), [("debug", "debug "), ("INFO", "info "), ("warning", ""), ("error", ""), ("off", ""), ("", "")]
)
def test_the_environment_sets_the_level(
    run: Run, notes: Path, monkeypatch: pytest.MonkeyPatch, level: str, said: str
) -> None:
    monkeypatch.setenv("TASB_QDRANT_LOG", level)
    err = run(*_search(notes)).err
    assert said in err
    assert ("encoder.load" in err) is bool(said)


def test_a_level_that_there_is_not_is_a_named_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASB_QDRANT_LOG", "loud")
    ran = run("collection", "list")
    assert ran.code == 1
    assert "TASB_QDRANT_LOG is one of debug, info, warning, error, off; got 'loud'" in ran.err
    assert run("-v", "collection", "list").code == 0  # what is said on the command line goes before


def test_every_command_has_them(run: Run) -> None:
    for command in ((), ("ingest",), ("search",), ("collection",), ("collection", "list"), ("doctor",)):
        help_text = run(*command, "--help").out
        assert "--verbose" in help_text
        assert "--quiet" in help_text


def test_timings_are_said_beside_the_result(run: Run, notes: Path) -> None:
    plain, timed = run(*_search(notes)), run(*_search(notes), "--timings")
    assert timed.out == plain.out
    assert "Took " not in plain.err
    took = next(line for line in timed.err.splitlines() if line.startswith("Took "))
    assert all(part in took for part in ("encode", "store", "rest", "ms"))
    for more in (("--json",), ("--group-by", "topic"), ("--format", "jsonl")):
        assert "Took " in run(*_search(notes), "--timings", *more).err
    like = ("search", "--like", "bees-waggle-dance", "--collection", "notes", "--path", notes, "--timings")
    assert "Took " in run(*like, "--model", minilm_folder()).err


def test_lines_stand_above_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler asks for standard error when it writes: a live bar has put itself in its place."""
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=100)
    logger = logging.getLogger("tasb_qdrant.bar")
    handler = LineHandler()
    logger.addHandler(handler)
    monkeypatch.setattr(sys, "stderr", terminal)
    try:
        with Progress(console=console, transient=True) as bar:
            bar.add_task("encoding", total=2)
            bar.refresh()
            logger.warning("the server: %s", "\x1b[31m429\x07\nforged line")
            bar.refresh()
    finally:
        logger.removeHandler(handler)
    (line,) = [part for part in terminal.getvalue().split("\n") if "429" in part]
    assert "the server:  [31m429 forged line" in line
    assert "encoding" not in line.split("429")[1]


def test_a_closed_standard_error_costs_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    LineHandler().emit(logging.LogRecord("tasb_qdrant.x", logging.INFO, "", 0, "said", None, None))


def test_an_error_is_said_once(run: Run) -> None:
    ran = run("collection", "list", "--url", f"http://127.0.0.1:{free_port()}", "-v")
    assert ran.code == UNREACHABLE
    assert ran.err.count("start the server") == 1
