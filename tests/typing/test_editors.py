"""Editors complete every option and show what it means: asked of pyright's language server, and of Jedi."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jedi
import pytest

from tests.typing.language_server import LanguageServer, pyright_server

CODE = """\
from tasb_qdrant import AsyncSearcher, Searcher, ingest, open_collection
from tasb_qdrant.search.options import SearchOptions

searcher = Searcher("notes", retry_s)
searcher.search("bees", hnsw)
searcher.search_batch(["bees"], hnsw)
searcher.search_batch(["bees"], score_threshold=3)
searcher.recommend(["a"], over)
open_collection("notes", grpc_port=6334)
ingest([], collection="notes", retry_s)
ingest([], collection="notes", max_rejects=1)
"""
LINES = CODE.splitlines()


def _line(start: str) -> int:
    return next(number for number, line in enumerate(LINES) if line.startswith(start))


def _end_of(line: int) -> int:
    """Where somebody types who has just begun the name of an option."""
    return len(LINES[line]) - 1


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("editor") / "program.py"
    path.write_text(CODE)
    return path


@pytest.fixture(scope="module")
def pyright(file: Path) -> Iterator[LanguageServer]:
    with pyright_server(file) as server:
        yield server


@pytest.mark.parametrize(
    ("call", "option"),
    [
        ("searcher = Searcher", "retry_seconds="),
        ('searcher.search("', "hnsw_ef="),
        ('searcher.search_batch(["bees"], hnsw', "hnsw_ef="),
        ("searcher.recommend", "oversampling="),
        ('ingest([], collection="notes", retry', "retry_seconds="),
    ],
)
def test_pyright_completes_options(call: str, option: str, pyright: LanguageServer) -> None:
    line = _line(call)
    assert option in pyright.completions(line, _end_of(line))


def test_pyright_shows_the_whole_signature_of_options_said_once(pyright: LanguageServer) -> None:
    shown = pyright.signature(_line("searcher.recommend"), len('searcher.recommend(["a"]'))
    assert "oversampling: float | None" in shown
    assert "with_text: bool" in shown


@pytest.mark.parametrize(
    ("call", "option", "meaning"),
    [
        ('searcher.search_batch(["bees"], score', "score_threshold", "score"),
        ("open_collection(", "grpc_port", "The server's port for gRPC"),
    ],
)
def test_pyright_shows_the_meaning_of_an_option(call: str, option: str, meaning: str, pyright: LanguageServer) -> None:
    line = _line(call)
    column = LINES[line].index(option) + 1
    assert meaning in pyright.hover(line, column)


@pytest.mark.parametrize(
    ("call", "option"),
    [('searcher.search("', "hnsw_ef="), ('ingest([], collection="notes", retry', "retry_seconds=")],
)
def test_jedi_completes_the_two_functions_that_everybody_calls(call: str, option: str, file: Path) -> None:
    """It knows nothing of dictionaries of options, so that these two spell theirs out."""
    line = _line(call)
    found = jedi.Script(CODE, path=file).complete(line + 1, _end_of(line))
    assert option in [each.name_with_symbols for each in found]


@pytest.mark.parametrize("call", ['searcher.search("', 'ingest([], collection="notes", max_rejects'])
def test_jedi_shows_what_they_mean(call: str, file: Path) -> None:
    line = _line(call)
    (shown,) = jedi.Script(CODE, path=file).help(line + 1, LINES[line].index("(") - 1)[:1]
    assert "=" in shown.docstring()
    assert "Raises" in shown.docstring()
