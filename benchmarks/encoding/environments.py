"""A virtual environment for each peer, made when it is first needed, from pinned versions."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.encoding.contestants import Contestant
from benchmarks.encoding.conversation import ContestantFailedError

REQUIREMENTS: Final = Path(__file__).parent / "requirements"
SCRIPTS: Final = Path(__file__).parent / "peers"


def python_of(contestant: Contestant, build: Path) -> Path:
    """The Python that runs it. Raises ContestantFailedError if its packages can't be installed."""
    if contestant.ours:
        return Path(sys.executable)
    name = contestant.environment
    wanted = (REQUIREMENTS / f"{name}.txt").read_bytes()
    stamp, venv = build / name / "installed", build / name / "venv"
    digest = hashlib.sha256(wanted).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        log = build / "logs" / f"{name}-pip.log"
        print(f"installing {name} into {venv}", file=sys.stderr)
        _run([sys.executable, "-m", "venv", str(venv)], log)
        pip = [str(venv / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check"]
        _run([*pip, "--requirement", str(REQUIREMENTS / f"{name}.txt")], log)
        stamp.write_text(digest)
    return venv / "bin/python"


def is_installed(contestant: Contestant, build: Path) -> bool:
    return contestant.ours or (build / contestant.environment / "installed").is_file()


def exports_of(contestant: Contestant, build: Path, *, model: Path, texts: Path) -> Path:
    """The folder of files for the runtime that it uses, written if they aren't there yet.

    fastembed's come from the environment of sentence-transformers' ONNX backend: it has no exporter itself.
    """
    folder = build / "exports" / (contestant.exports or "none")
    done = folder.with_suffix(".done")
    if contestant.exports and not done.is_file():
        maker = Contestant("", "", "", "", "", contestant.exports)
        log = build / "logs" / f"{contestant.exports}-export.log"
        print(f"exporting the model for {contestant.exports}", file=sys.stderr)
        command = [str(python_of(maker, build)), str(SCRIPTS / "export.py"), contestant.exports]
        _run([*command, str(model), str(folder), str(texts)], log)
        done.touch()
    return folder


def offline(**more: str) -> dict[str, str]:
    """This process's environment for another Python's process: no hub, none of our import paths."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | {"HF_HUB_OFFLINE": "1"} | more


def _run(command: list[str], log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as printed:
        done = subprocess.run(command, stdout=printed, stderr=subprocess.STDOUT, check=False, env=offline())
    if done.returncode:
        lines = [line.strip() for line in log.read_text(errors="replace").split("\n") if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        raise ContestantFailedError((errors or lines or ["it said nothing"])[-1])
