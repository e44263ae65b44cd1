"""The raw measurements of a run, as kept in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from benchmarks.running.machine import Machine

SINGLE: Final = "single"
FILTERED: Final = "filtered"
"""Queries one at a time, from text to hits."""

BATCH: Final = "batch"
"""Many queries in one call."""

ONE: Final = "one"
TOGETHER: Final = "together"
"""One query at a time, and many concurrently."""

ENCODED_ONE: Final = "encoding alone, one"
ENCODED_TOGETHER: Final = "encoding alone, together"
"""Only encoding the same queries, one by one, and as many in a batch."""

GIVEN: Final = "given"
GIVEN_FILTERED: Final = "given, filtered"
"""Queries one at a time, with given vectors."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One contestant's work in one round. `milliseconds` are per query, if they were sent one at a time; `ef` is the
    `hnsw_ef` asked for, if any."""

    round: int
    task: str
    queries: int
    seconds: float
    milliseconds: list[float] = field(default_factory=list)
    ef: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """Milliseconds of each query: the whole search, encoding alone, a bare stub's request alone."""

    round: int
    task: str
    search: list[float]
    encode: list[float]
    query: list[float]


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall over that many queries; `ef` as in Turn."""

    task: str
    queries: int
    value: float
    ef: int = 0


@dataclass(slots=True)
class Entry:
    """`plain` says that a peer is used as its documentation first shows; `failures` has what went wrong, by task."""

    name: str
    title: str
    plain: bool = True
    failures: dict[str, str] = field(default_factory=dict)
    recalls: list[Recall] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    parts: list[Parts] = field(default_factory=list)

    def recall(self, task: str, ef: int = 0) -> float | None:
        """None if it wasn't measured."""
        return next((found.value for found in self.recalls if (found.task, found.ef) == (task, ef)), None)


@dataclass(slots=True)
class Result:
    """`matching` is the share of points that pass the filter, `at_once` the number of concurrent queries."""

    date: str
    commit: str
    minutes: float
    machine: Machine
    server: str
    points: int
    dim: int
    payload_bytes: float
    matching: float
    limit: int
    at_once: int
    entries: list[Entry]
    packages: dict[str, dict[str, str]] = field(default_factory=dict)


def read_result(path: Path) -> Result:
    return TypeAdapter(Result).validate_json(path.read_bytes())
