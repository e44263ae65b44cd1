"""A virtual environment for each peer, created from pinned versions when it is first needed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.running.conversation import ContestantFailedError


def python_in(requirements: Path, build: Path) -> Path:
    """The Python of the environment that a file of pinned versions describes, below `build`, by the file's name.

    Raises ContestantFailedError if its packages can't be installed.
    """
    name = requirements.stem
    stamp, venv = build / name / "installed", build / name / "venv"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        log = build / "logs" / f"{name}-pip.log"
        print(f"installing {name} into {venv}", file=sys.stderr)
        run_logged([sys.executable, "-m", "venv", str(venv)], log)
        pip = [str(venv / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check"]
        run_logged([*pip, "--requirement", str(requirements)], log)
        stamp.write_text(digest)
    return venv / "bin/python"


def offline(**more: str) -> dict[str, str]:
    """This process's environment for another Python's process: no hub, none of our import paths."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | {"HF_HUB_OFFLINE": "1"} | more


def inherited(*paths: Path) -> dict[str, str]:
    """This process's environment for a process of this Python: no hub, and these import paths before its own."""
    return offline(PYTHONPATH=os.pathsep.join(filter(None, [*map(str, paths), os.environ.get("PYTHONPATH", "")])))


def run_logged(command: list[str], log: Path) -> None:
    """Raises ContestantFailedError with its last line of output, or its error, if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as printed:
        done = subprocess.run(command, stdout=printed, stderr=subprocess.STDOUT, check=False, env=offline())
    if done.returncode:
        lines = [line.strip() for line in log.read_text(errors="replace").split("\n") if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        raise ContestantFailedError((errors or lines or ["it said nothing"])[-1])
