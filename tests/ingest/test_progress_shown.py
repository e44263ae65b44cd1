"""progress=True: a long call in Python shows how far it is, in a terminal, a notebook, and elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from tasb_qdrant import Passage, ingest, verify
from tasb_qdrant.ingest import display
from tasb_qdrant.ingest.display import ProgressDisplay
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.ingest.verify.plan import plan_sync
from tests.models import minilm_folder

PASSAGES = [Passage(str(n), f"passage {n}") for n in range(5)]


class _Shown:
    """Stands for what a notebook's output is, and for the handle by which it is replaced."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def display(self, html: str, *, display_id: bool) -> _Shown:
        self.pages.append(html)
        return self

    def update(self, html: str) -> None:
        self.pages.append(html)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> _Shown:
    shown = _Shown()
    module: Any = ModuleType("IPython.display")
    module.HTML, module.display = str, shown.display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(Console, "is_jupyter", True, raising=False)
    monkeypatch.setattr(display, "Console", lambda **_: type("C", (), {"is_jupyter": True, "is_terminal": False})())
    return shown


def test_nothing_is_shown_unless_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest(PASSAGES, collection="c", path=tmp_path, model=minilm_folder())
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_long_calls_show_how_far_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where: dict[str, Any] = {"collection": "c", "path": tmp_path}
    moments: list[Progress] = []
    ingest(PASSAGES, **where, model=minilm_folder(), progress=True, on_progress=moments.append)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "encoding" in captured.err
    assert "building the vector index" in captured.err
    assert moments[-1].stored == 5
    assert verify(PASSAGES, **where, sample=0, progress=True).equal
    assert "comparing" in capsys.readouterr().err
    plan_sync(PASSAGES, **where, progress=True)
    assert capsys.readouterr().err


def test_a_notebook_has_one_bar_that_is_replaced(notebook: _Shown, tmp_path: Path) -> None:
    ingest(PASSAGES, collection="c", path=tmp_path, model=minilm_folder(), progress=True)
    assert len(notebook.pages) > 3
    assert all(page.startswith("<div><progress") for page in notebook.pages)
    assert "done" in notebook.pages[-1]
    assert "5 stored" in notebook.pages[-1]
    assert "value='1'" in notebook.pages[-1]


def test_a_notebooks_bar_escapes_and_says_how_it_ended(notebook: _Shown) -> None:
    shown = ProgressDisplay()
    with shown:
        shown(Progress(phase="<b>", notes=("a <script>",)))
        shown(Progress(phase="<b>", notes=("a <script>",)))  # the same, and too soon for another picture
    assert "(failed)" not in notebook.pages[-1]
    shown.__exit__(KeyError, KeyError(), None)
    assert "&lt;b&gt;" in notebook.pages[0] + notebook.pages[-1]
    assert "<script" not in "".join(notebook.pages)
    assert "(failed)" in notebook.pages[-1]


def test_a_quiet_display_shows_nothing_and_remembers_no_less(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(quiet=True) as shown:
        shown(Progress(phase="encoding", notes=("chosen",)))
    assert capsys.readouterr().err == ""
    assert shown.untold(["chosen", "other"]) == ["other"]
