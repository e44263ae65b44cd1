"""The raw measurements of a run, as kept in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.running.machine import Machine


@dataclass(frozen=True, slots=True)
class Turn:
    """One contestant in one round. `seconds` until the server counts every point, `call_s` until the call returned;
    CPU seconds of the client with all its workers, and of the server."""

    round: int
    points: int
    seconds: float
    call_s: float
    client_cpu_s: float
    server_cpu_s: float


@dataclass(frozen=True, slots=True)
class Trial:
    batch: int
    parallel: int
    points: int
    seconds: float


@dataclass(slots=True)
class Entry:
    name: str
    title: str
    batch: int = 0
    parallel: int = 1
    failure: str = ""
    tuning: list[Trial] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    date: str
    commit: str
    minutes: float
    machine: Machine
    server: str
    points: int
    dim: int
    payload_bytes: float
    entries: list[Entry]
    ceiling: Entry
    packages: dict[str, dict[str, str]] = field(default_factory=dict)


def read_result(path: Path) -> Result:
    return TypeAdapter(Result).validate_json(path.read_bytes())
