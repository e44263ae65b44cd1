"""The raw measurements of a run, as kept in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.running.kept import write_json
from benchmarks.running.machine import Machine


@dataclass(frozen=True, slots=True)
class Turn:
    """One contestant in one round: a fresh process. `startup_s` reaches from its start to its first vector."""

    round: int
    startup_s: float
    load_s: float
    first_query_ms: float
    query_ms: list[float]
    queries_s: list[float]
    bulk_s: float
    passages: int
    tokens: int
    peak_mib: float
    bulk_mib: float
    gpu_mib: float


@dataclass(frozen=True, slots=True)
class Trial:
    threads: int
    batch: int
    passages: int
    seconds: float


@dataclass(slots=True)
class Entry:
    """`cosine` is the lowest against transformers fp32, `length` the worst ratio of the vectors' lengths."""

    name: str
    title: str
    precision: str
    ours: bool
    threads: int = 0
    batch: int = 0
    cosine: float = 0.0
    length: float = 0.0
    failure: str = ""
    tuning: list[Trial] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """FLOP/s of a large product by precision, bytes/s of a copy (read and written), after one turn."""

    round: int
    gemm: dict[str, float]
    bandwidth: float


@dataclass(slots=True)
class Competition:
    entries: list[Entry]
    ceilings: list[Ceiling] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole corpus encoded once."""

    name: str
    passages: int
    tokens: int
    seconds: float
    bulk_mib: float


@dataclass(frozen=True, slots=True)
class Tokenizing:
    """CPU seconds of one thread, a number a round. `same` says whether all ids were equal."""

    passages: int
    cold_s: list[float]
    warm_s: list[float]
    batch_fast_s: list[float]
    same: bool


@dataclass(slots=True)
class Result:
    date: str
    commit: str
    minutes: float
    device: str
    machine: Machine
    source: str
    corpus: int
    mean_tokens: float
    main: Competition
    without_amx: Competition | None = None
    whole: list[Whole] = field(default_factory=list)
    tokenizing: Tokenizing | None = None
    packages: dict[str, dict[str, str]] = field(default_factory=dict)


def write_result(result: Result, path: Path) -> None:
    write_json(result, path)


def read_result(path: Path) -> Result:
    return TypeAdapter(Result).validate_json(path.read_bytes())
