"""The program, run in this process: its exit code and what it printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tasb_qdrant
from tasb_qdrant.cli.main import main
from tests.models import minilm_folder

EXAMPLES = Path(tasb_qdrant.__file__).parent / "examples"


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `tasb-qdrant ARGUMENTS` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundled corpus in collection `notes`; tests that use it only read."""
    from tasb_qdrant import CollectionSettings, ingest

    folder = tmp_path_factory.mktemp("notes")
    settings = CollectionSettings(indexes={"topic": "keyword", "year": "integer", "lang": "keyword"})
    ingest(
        EXAMPLES / "passages.jsonl",
        collection="notes",
        path=folder,
        model=minilm_folder(),
        settings=settings,
        bm25=True,
    )
    return folder
