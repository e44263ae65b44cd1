"""What the docs tell a person to type works as it is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Page, all_pages
from tests.models import cache_as_tas_b, minilm_folder
from tests.qdrant_servers import QdrantServer

EXAMPLES = ROOT / "tasb_qdrant" / "examples"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_FOR_TESTS = ("make ", "pip ", "docker ", "cp ")  # they install, start containers, or are what runs this suite
ELSEWHERE = {
    "docs/performance.md": "benchmarks, which take minutes and have tests of their own",
    "docs/walk.md": "a walk in an environment of its own, which tests/wheel_smoke.py does",
    "docs/filters.md": "parts of programs, which tests/filters/test_documentation.py runs",
}
"""Pages whose blocks are not run here, and why."""
DOCS = ["README.md", *(path for path in all_pages() if path.startswith("docs/") and path not in ELSEWHERE)]
DOCS = [path for path in DOCS if BLOCK.search(Page.read(path).text)]
NOTHING = re.compile(r'^No hits\.$|"hits": \[\]', re.MULTILINE)
"""What the program says of a search that finds nothing, which nobody would show."""
CHECKED = """
import tasb_qdrant

def _found(search):
    if inspect.iscoroutinefunction(search):
        async def checked(*given, **options):
            return _something(await search(*given, **options))
    else:
        def checked(*given, **options):
            return _something(search(*given, **options))
    return checked

def _something(found):
    assert found, "a search on this page finds nothing"
    return found

import inspect
for _kind in (tasb_qdrant.Searcher, tasb_qdrant.AsyncSearcher):
    for _name in ("search", "search_groups", "more_like_this", "recommend", "rerank", "facet", "count", "get"):
        setattr(_kind, _name, _found(getattr(_kind, _name)))
"""
"""Run before the Python of a page: a search that finds nothing fails."""
NAMED = re.compile(r"# (\w+\.py)\n")  # a block that is a file of its own


def _blocks(document: str) -> list[tuple[str, str]]:
    found = BLOCK.findall((ROOT / document).read_text())
    return [(kind, text) for kind, text in found if not text.startswith(NOT_FOR_TESTS)]


@pytest.fixture(scope="session")
def hub_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cache_as_tas_b(tmp_path_factory.mktemp("hub"), minilm_folder())


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCS)
def test_the_commands_of_a_document_run_in_order(
    document: str, tmp_path: Path, hub_home: Path, qdrant_1_17: QdrantServer
) -> None:
    shutil.copy(EXAMPLES / "passages.jsonl", tmp_path)
    shutil.copy(EXAMPLES / "queries.jsonl", tmp_path)
    environment = os.environ | {
        "HF_HOME": str(hub_home),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "error",
    }
    for kind, text in _blocks(document):
        script = text.replace("http://localhost:6333", qdrant_1_17.url)
        if named := NAMED.match(text):
            (tmp_path / named[1]).write_text(script)
        command = ["sh", "-e", "-c", script] if kind == "sh" else [sys.executable, "-c", CHECKED + script]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{document}:\n{text}\n{done.stdout}\n{done.stderr}"
        assert not NOTHING.search(done.stdout), f"{document}: this finds nothing:\n{text}"
