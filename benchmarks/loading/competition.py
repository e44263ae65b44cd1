"""The whole run: everyone is tuned, then takes turns, round by round, with the server's ceiling between."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loading.contestants import CEILING, Contestant
from benchmarks.loading.points import Points
from benchmarks.loading.results import Entry, Trial
from benchmarks.loading.turns import Settings, take_turn
from benchmarks.running.conversation import ContestantFailedError


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to run. `tuned` 0 leaves batch size and workers at their defaults."""

    points: int
    rounds: int
    tuned: int


def tune(contestant: Contestant, points: Points, *, count: int, build: Path) -> Entry:
    """The entry with the best batch size at the middle number of workers, and then the best number of workers."""
    entry = Entry(contestant.name, contestant.title)
    if not count or contestant.batches == (0,):
        return entry

    def attempt(batch: int, parallel: int) -> None:
        turn = take_turn(contestant, points, count=count, settings=Settings(batch, parallel), build=build, number=-1)
        entry.tuning.append(Trial(batch, parallel, count, turn.seconds))
        say(f"tuning {contestant.name}: batch {batch}, parallel {parallel}: {count / turn.seconds:,.0f} points/s")

    try:
        middle = contestant.parallel[len(contestant.parallel) // 2]
        for batch in contestant.batches:
            attempt(batch, middle)
        best = min(entry.tuning, key=lambda trial: trial.seconds)
        for parallel in contestant.parallel:
            if parallel != middle:
                attempt(best.batch, parallel)
    except ContestantFailedError as error:
        entry.failure = str(error)
        say(f"{contestant.name} failed: {error}")
        return entry
    best = min(entry.tuning, key=lambda trial: trial.seconds)
    entry.batch, entry.parallel = best.batch, best.parallel
    return entry


def compete(
    contestants: Sequence[Contestant], entries: Sequence[Entry], points: Points, *, rounds: int, build: Path
) -> Entry:
    """Everyone loads the same points in each round, and a different one starts it. Returns the ceiling's entry."""
    ceiling = Entry(CEILING.name, CEILING.title)
    pairs = [*zip(contestants, entries, strict=True), (CEILING, ceiling)]
    for number in range(rounds):
        first = number * len(pairs) // rounds
        for contestant, entry in pairs[first:] + pairs[:first]:
            if not entry.failure:
                _turn(contestant, entry, points, number, build)
    return ceiling


def _turn(contestant: Contestant, entry: Entry, points: Points, number: int, build: Path) -> None:
    count = max(1, round(points.count * contestant.share))
    settings = Settings(entry.batch, entry.parallel)
    try:
        turn = take_turn(contestant, points, count=count, settings=settings, build=build, number=number)
    except ContestantFailedError as error:
        entry.failure = str(error)
        say(f"{contestant.name} failed: {error}")
        return
    entry.turns.append(turn)
    cpu = 1e6 * turn.client_cpu_s / count
    say(f"round {number + 1}: {contestant.name} {count / turn.seconds:,.0f} points/s, {cpu:.1f} µs of CPU a point")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
