"""What mypy and pyright say of typed filters and of options, line by line, and that running them says the same."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tasb_qdrant
from tasb_qdrant.errors import FilterError, SettingsError

HERE = Path(__file__).parent
ROOT = Path(tasb_qdrant.__file__).parents[1]
ACCEPTED, REFUSED = HERE / "accepted.py", HERE / "refused.py"
EXPECTED = re.compile(r"  # E: (?P<mypy>.+?) \| (?P<pyright>.+?)$")

Said = dict[tuple[str, int], str]
"""(file, line) -> all that a checker says there."""


def mypy() -> Said:
    """With the project's own settings, and the cache that checking the project has left."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(ACCEPTED), str(REFUSED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said: Said = {}
    for file, line, message in re.findall(r"^(\S+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE):
        _say(said, file, int(line), message)
    assert done.returncode == 1, done.stdout + done.stderr
    return said


def pyright() -> Said:
    assert shutil.which("node"), "pyright needs node on the PATH; it comes with npm, as the Qdrant servers do"
    command = [sys.executable, "-m", "pyright", "-p", str(HERE), "--pythonpath", sys.executable, "--outputjson"]
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}  # of newer releases
    done = subprocess.run(command, env=os.environ | quiet, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    said: Said = {}
    for each in json.loads(done.stdout)["generalDiagnostics"]:
        _say(said, each["file"], each["range"]["start"]["line"] + 1, each["message"])
    return said


def _say(said: Said, file: str, line: int, message: str) -> None:
    place = Path(file).name, line
    said[place] = f"{said.get(place, '')}\n{message}"


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_slips_are_refused_and_what_is_right_is_accepted(checker: Callable[[], Said]) -> None:
    said = checker()
    expected = {
        (REFUSED.name, number): found[checker.__name__]
        for number, line in enumerate(REFUSED.read_text().splitlines(), 1)
        if (found := EXPECTED.search(line))
    }
    assert len(expected) > 25
    assert {place: said[place] for place in sorted(said.keys() - expected.keys())} == {}
    wrong = {place: said.get(place) for place, text in expected.items() if text not in said.get(place, "")}
    assert not wrong


def test_what_checkers_accept_runs() -> None:
    runpy.run_path(str(ACCEPTED))


def _slips() -> list[str]:
    return [EXPECTED.sub("", line) for line in REFUSED.read_text().splitlines() if EXPECTED.search(line)]


@pytest.mark.parametrize("slip", _slips())
def test_what_checkers_refuse_raises_when_it_is_run(slip: str) -> None:
    preamble = REFUSED.read_text().split("\nsearch(")[0]
    names: dict[str, object] = {}
    exec(preamble, names)
    with pytest.raises((FilterError, SettingsError, TypeError, AttributeError)):
        exec(slip, names)
