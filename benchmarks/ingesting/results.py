"""The raw measurements of a run, as kept in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from benchmarks.running.machine import Machine

STARTED: Final = "start-up"
STORED: Final = "text to stored"
AGAIN: Final = "the same again, nothing new"
VERIFIED: Final = "verify"
SEARCHABLE: Final = "text to searchable"
EMBEDDED: Final = "text to stored, embedded store"
"""The works that are measured."""


@dataclass(frozen=True, slots=True)
class Run:
    """One work in one round. `seconds` of the whole command with its start, `busy_s` of the part that the work is
    about; CPU seconds of the whole command's main process, of its other processes, and of the server meanwhile; the
    most processes at once, and the most memory of all."""

    work: str
    round: int
    passages: int
    seconds: float
    busy_s: float
    main_cpu_s: float = 0.0
    children_cpu_s: float = 0.0
    server_cpu_s: float = 0.0
    processes: int = 1
    memory_mib: float = 0.0


@dataclass(slots=True)
class Entry:
    name: str
    title: str
    failure: str = ""
    runs: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """`stages` are passages a second of each stage alone, `server_rate` the points a second of requests that were made
    beforehand; `workers` is what ours was asked for, "" for its own choice; `skipped` is what there was no time for."""

    date: str
    commit: str
    minutes: float
    device: str
    machine: Machine
    server: str
    source: str
    mean_tokens: float
    layers: int
    passages: int
    workers: str = ""
    shards: int = 0
    entries: list[Entry] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    server_rate: float = 0.0
    packages: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def read_result(path: Path) -> Result:
    return TypeAdapter(Result).validate_json(path.read_bytes())
