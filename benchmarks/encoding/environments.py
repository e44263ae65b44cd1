"""Each contestant's environment, and the exported files that some of them read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from benchmarks.encoding.contestants import Contestant
from benchmarks.running.environments import python_in, run_logged

REQUIREMENTS: Final = Path(__file__).parent / "requirements"
SCRIPTS: Final = Path(__file__).parent / "peers"


def python_of(contestant: Contestant, build: Path) -> Path:
    """The Python that runs it. Raises ContestantFailedError if its packages can't be installed."""
    if contestant.ours:
        return Path(sys.executable)
    return python_in(REQUIREMENTS / f"{contestant.environment}.txt", build)


def is_installed(contestant: Contestant, build: Path) -> bool:
    return contestant.ours or (build / contestant.environment / "installed").is_file()


def exports_of(contestant: Contestant, build: Path, *, model: Path, texts: Path) -> Path:
    """The folder with the files for its runtime, exported if they don't exist yet.

    fastembed has no exporter, so its files come from the environment of sentence-transformers' ONNX backend.
    """
    folder = build / "exports" / (contestant.exports or "none")
    done = folder.with_suffix(".done")
    if contestant.exports and not done.is_file():
        maker = Contestant("", "", "", "", "", contestant.exports)
        log = build / "logs" / f"{contestant.exports}-export.log"
        print(f"exporting the model for {contestant.exports}", file=sys.stderr)
        command = [str(python_of(maker, build)), str(SCRIPTS / "export.py"), contestant.exports]
        run_logged([*command, str(model), str(folder), str(texts)], log)
        done.touch()
    return folder
