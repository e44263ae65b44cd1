"""The container files, read: stages of the Dockerfile, services of compose, commands of the README."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DOCKER: Final = ROOT / "docker"

VARIABLE: Final = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?(?P<demand>[^}]*))?\}")
"""Compose's interpolation, as far as these files use it; `$$` is a plain dollar."""


def compose(name: str) -> dict[str, Any]:
    """The compose file as data, its merge keys resolved, its variables not."""
    data = yaml.safe_load((DOCKER / name).read_text())
    assert isinstance(data, dict)
    return data


def services(name: str) -> dict[str, dict[str, Any]]:
    """The services of a compose file by name."""
    found = compose(name)["services"]
    assert isinstance(found, dict)
    return found


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """What compose makes of a string. KeyError where a setting must be given and isn't."""

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        given = environment.get(match["name"], "")
        if not given and match["demand"] is not None:
            raise KeyError(match["demand"])
        return given or match["default"] or ""

    return VARIABLE.sub(value, text)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: (name, arguments in one line)."""
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    joined = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    found = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(name, re.sub(r"\s+", " ", arguments)) for name, arguments in found]


@dataclass(slots=True)
class Stage:
    """A stage of the Dockerfile, with what it takes over from the stage that it begins with."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        """The arguments in force of an instruction of which the last one counts."""
        return [arguments for name, arguments in self.steps if name == instruction][-1]


def stages() -> dict[str, Stage]:
    """The stages of the Dockerfile by name."""
    found: dict[str, Stage] = {}
    for name, arguments in instructions():
        if name == "FROM":
            base, _, stage = arguments.split()
            found[stage] = Stage(base, list(found[base].steps) if base in found else [])
        else:
            found[stage].steps.append((name, arguments))
    return found


def readme_commands() -> list[list[str]]:
    """The `docker` commands in the README's shell blocks, split into words."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCKER / "README.md").read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("docker ")]
