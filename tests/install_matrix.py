"""`python -m tests.install_matrix`: install without constraints, with the newest and the lowest versions that
pyproject.toml allows, on every Python that it allows; load and search with each; write the outcome to docs/install.md.

One environment after the other, each gone before the next: a PyTorch with CUDA takes gigabytes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.docs.pages import ROOT
from tests.qdrant_servers import QdrantServer

PAGE: Final = ROOT / "docs" / "install.md"
BEGIN, END = "<!-- begin generated: matrix -->\n", "<!-- end generated: matrix -->\n"
PYTHONS: Final = ("3.11", "3.12", "3.13")
SHOWN: Final = ("torch", "transformers", "numpy", "pyarrow", "pydantic", "qdrant-client", "qdrant-edge-py", "grpcio")
"""Packages whose versions the page names."""
Versions = Literal["newest", "lowest"]
CHECK: Final = """
import json, pathlib, sys
from importlib.metadata import version
import numpy, pyarrow as pa, pyarrow.parquet as pq
from tasb_qdrant import CollectionSettings, F, Searcher, ingest, load_encoder

rows = [{"id": "a", "text": "Bees dance.", "year": 2011, "new": True}, {"id": "b", "text": "Owls hunt.", "year": 1, "new": False}]
pathlib.Path("rows.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
pq.write_table(pa.Table.from_pylist([{"id": "c", "text": "Ants march.", "year": 2020, "new": True}]), "rows.parquet")
encoder = load_encoder("minilm")
places = [{"path": "store"}, *({"url": sys.argv[1], "grpc_port": int(sys.argv[2]), "transport": each} for each in ("grpc", "rest"))]
for number, place in enumerate(places):
    name = f"matrix-{number}"
    settings = CollectionSettings(indexes={"year": "integer"})
    report = ingest(["rows.jsonl", "rows.parquet"], collection=name, encoder=encoder, bm25=True, settings=settings, **place)
    assert report.stored == report.points == 3, report
    assert ingest("rows.jsonl", collection=name, encoder=encoder, **place).skipped == 2
    with Searcher(name, encoder=encoder, **place) as searcher:
        assert searcher.search("insects that dance", limit=1)[0].id == "a"
        assert {hit.id for hit in searcher.search("animals", where=F("new") == True)} == {"a", "c"}
        assert {hit.id for hit in searcher.search("animals", where="year >= 2000")} == {"a", "c"}
        assert searcher.search("march", mode="hybrid", limit=1)[0].id == "c"
print(json.dumps({name: version(name) for name in sys.argv[3:]}))
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One installation. `problem` is empty where everything worked."""

    python: str
    versions: Versions
    installed: dict[str, str]
    seconds: float
    problem: str = ""


def main() -> None:
    """Exits with 1 where a cell fails."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        uv = _uv(folder)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", temporary, str(ROOT))
        (wheel,) = folder.glob("*.whl")
        cells = []
        for cell in _cells(folder, uv, wheel):
            cells.append(cell)
            PAGE.write_text(_written(PAGE.read_text(), cells))  # each one, as all of them take a while
    sys.exit(any(cell.problem for cell in cells))


def _cells(folder: Path, uv: str, wheel: Path) -> Iterator[Cell]:
    for number in PYTHONS:
        python = _python(number)
        for versions in ("newest", "lowest"):
            if python is None:
                yield Cell(number, versions, {}, 0.0, f"Python {number} is not on this machine")
                continue
            cell = _tried(number, python, versions, folder / "cell", uv, wheel)
            print(f"Python {number}, {versions}: {cell.problem or 'works'}, {cell.seconds:.0f} s", flush=True)
            yield cell


def _tried(number: str, python: str, versions: Versions, folder: Path, uv: str, wheel: Path) -> Cell:
    began = time.monotonic()
    (folder / "server").mkdir(parents=True)
    try:
        environment = folder / "venv"
        run(uv, "venv", "--quiet", "--python", python, str(environment))
        own = str(environment / "bin" / "python")
        install = [uv, "pip", "install", "--quiet", "--python", own]
        if versions == "lowest":
            # Of a wheel's requirements, uv takes the newest: only those of a file are "direct".
            chosen = ["--resolution", "lowest-direct", "--only-binary", ":all:"]
            run(*install, *chosen, "--requirements", str(ROOT / "pyproject.toml"), "--extra", "demo")
            run(*install, "--no-deps", str(wheel))
        else:
            run(*install, f"{wheel}[demo]")
        with QdrantServer.start("1.17.0", folder / "server") as server:
            said = run(own, "-W", "ignore", "-c", CHECK, server.url, str(server.grpc_port), *SHOWN, cwd=folder)
        run(str(environment / "bin" / "tasb-qdrant"), "collection", "list", "--path", "store", cwd=folder)
        return Cell(number, versions, json.loads(said.splitlines()[-1]), time.monotonic() - began)
    except subprocess.CalledProcessError as error:
        return Cell(
            number, versions, {}, time.monotonic() - began, (error.stderr.strip().splitlines() or ["failed"])[-1]
        )
    finally:
        shutil.rmtree(folder)


def run(*command: str, cwd: Path | None = None) -> str:
    """Its standard output. Raises CalledProcessError, with its errors."""
    ours = ("QDRANT_", "HF_", "PYTHON", "XDG_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    clean |= {"HF_HUB_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never"}
    if cwd is not None:
        clean["XDG_STATE_HOME"] = str(cwd / "state")
    return subprocess.run(command, cwd=cwd, env=clean, check=True, capture_output=True, text=True).stdout


def _uv(folder: Path) -> str:
    """uv, in an environment of its own: it knows how to resolve to the lowest versions, and links what it has."""
    os.environ["UV_CACHE_DIR"] = str(folder / "cache")
    run(sys.executable, "-m", "venv", str(folder / "tools"))
    run(str(folder / "tools" / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv")
    return str(folder / "tools" / "bin" / "uv")


def _python(number: str) -> str | None:
    """A Python of this version that runs: on the PATH, or of pyenv, whose shims may stand for nothing."""
    own = Path.home() / ".pyenv" / "versions"
    candidates = [shutil.which(f"python{number}"), *map(str, sorted(own.glob(f"{number}.*/bin/python{number}")))]
    for each in filter(None, candidates):
        if subprocess.run([each, "--version"], capture_output=True).returncode == 0:
            return each
    return None


def _written(page: str, cells: list[Cell]) -> str:
    before, rest = page.split(BEGIN)
    return before + BEGIN + _table(cells) + END + rest.split(END)[1]


def _table(cells: list[Cell]) -> str:
    lines = [f"| Python | versions | outcome | {' | '.join(SHOWN)} |", "|---" * (3 + len(SHOWN)) + "|"]
    for cell in cells:
        installed = " | ".join(cell.installed.get(name, "") for name in SHOWN)
        lines.append(f"| {cell.python} | {cell.versions} | {cell.problem or 'works'} | {installed} |")
    return "\n" + "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    main()
