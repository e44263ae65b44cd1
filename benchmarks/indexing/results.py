"""The raw measurements of a run, as kept in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.running.machine import Machine


@dataclass(frozen=True, slots=True)
class Turn:
    """One strategy with one pace. `load_s` until everything is stored, `end_s` until everything is indexed as well;
    the server's CPU seconds in both parts, its peaks of memory that is its own and of disk, in MiB, and its segments at
    the end."""

    strategy: str
    points: int
    dim: int
    pace: float
    load_s: float
    end_s: float
    load_cpu_s: float
    end_cpu_s: float
    memory_mib: float
    disk_mib: float
    kept_mib: float
    segments: int


@dataclass(slots=True)
class Result:
    """`pace` in a turn is points a second; 0: as fast as the server takes them."""

    date: str
    commit: str
    minutes: float
    machine: Machine
    server: str
    turns: list[Turn] = field(default_factory=list)


def read_result(path: Path) -> Result:
    return TypeAdapter(Result).validate_json(path.read_bytes())
