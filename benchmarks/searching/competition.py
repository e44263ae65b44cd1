"""The whole run: everyone is started, then takes turns, round by round; first on the server, then embedded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.running.conversation import ContestantFailedError
from benchmarks.searching.contestants import CEILING, LOCAL, OURS, Contestant
from benchmarks.searching.points import Points
from benchmarks.searching.results import (
    BATCH,
    ENCODED_ONE,
    ENCODED_TOGETHER,
    FILTERED,
    GIVEN,
    GIVEN_FILTERED,
    ONE,
    SINGLE,
    TOGETHER,
    Entry,
)
from benchmarks.searching.stores import ensure_embedded_store, ensure_server_store, running
from benchmarks.searching.turns import Guest, choose_ef, invited, told

EFS: Final = (0, 256, 512)
"""Values of `hnsw_ef` to try on the embedded index until it finds as much as an exact search; 0 is the default."""

AT_ONCE: Final = {OURS: ((ONE, TOGETHER), (ENCODED_ONE, ENCODED_TOGETHER)), CEILING: ((ONE, TOGETHER),)}
"""Whose queries are also run concurrently, and the tasks: one at a time, and many."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to run. `singles` and `parts` are queries per turn, `batch` our queries in one call and `few` the
    peers', `given` those with vectors; local mode, which is slow, gets `slow` of them, and `slowest` with a filter."""

    points: int
    rounds: int
    singles: int = 60
    parts: int = 150
    batch: int = 1_000
    few: int = 200
    one: int = 100
    together: int = 640
    at_once: int = 64
    recalled: int = 100
    given: int = 200
    slow: int = 12
    slowest: int = 2


def compete(plan: Plan, contestants: Sequence[Contestant], points: Points, *, build: Path, model: Path) -> list[Entry]:
    """One entry per contestant."""
    entries = {one.name: Entry(one.name, one.title, one.plain) for one in contestants}
    if at_server := [one for one in contestants if not one.embedded]:
        say("the server's store")
        with running(ensure_server_store(build, points)) as server:
            place = {"url": server.url, "grpc_port": server.grpc_port, "model": str(model)}
            with _all(at_server, entries, points, build, place) as guests:
                _at_server(plan, guests)
    if embedded := [one for one in contestants if one.embedded]:
        say("the embedded store")
        path = ensure_embedded_store(build, points)
        place = {"points": str(points.folder), "count": points.count, "path": str(path), "model": str(model)}
        with _all(embedded, entries, points, build, place) as guests:
            _embedded(plan, guests)
    return list(entries.values())


@contextmanager
def _all(
    contestants: Sequence[Contestant],
    entries: dict[str, Entry],
    points: Points,
    build: Path,
    place: dict[str, Any],
) -> Iterator[list[Guest]]:
    """Those that could be started. They stay until the last turn, and sleep during the others' turns."""
    with ExitStack() as stack:
        guests = []
        for one in contestants:
            say(f"opening {one.name}")
            try:
                guests.append(stack.enter_context(invited(one, entries[one.name], points, build, place)))
            except ContestantFailedError as error:
                entries[one.name].failures["open"] = str(error)
                say(f"{one.name} failed: {error}")
        yield guests


def _at_server(plan: Plan, guests: Sequence[Guest]) -> None:
    for guest in guests:
        for task in (SINGLE, FILTERED):
            _attempt(guest, f"recall, {task}", partial(guest.recalled, task, count=plan.recalled))
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        for guest in _from_another(guests, number, plan.rounds):
            _round_at_server(plan, guest, number)


def _round_at_server(plan: Plan, guest: Guest, number: int) -> None:
    start, name = number * plan.singles, guest.contestant.name
    for task in (SINGLE, FILTERED):
        _attempt(guest, task, partial(guest.singles, number, task, start=start, count=plan.singles))
        if name == OURS:
            run = partial(guest.parts, number, task, start=start, count=plan.parts)
            _attempt(guest, f"parts, {task}", run)
    if guest.contestant.batches:
        many = plan.batch if name == OURS else plan.few
        _attempt(guest, BATCH, partial(guest.batch, number, BATCH, start=number * many, count=many))
    for one, together in AT_ONCE.get(name, ()):
        for task, count, at_once in ((one, plan.one, 1), (together, plan.together, plan.at_once)):
            run = partial(guest.together, number, task, start=number * count, count=count, at_once=at_once)
            _attempt(guest, task, run)


def _embedded(plan: Plan, guests: Sequence[Guest]) -> None:
    wanted = {task: _recall_embedded(plan, guests, task) for task in (GIVEN, GIVEN_FILTERED)}
    for number in range(plan.rounds):
        say(f"embedded, round {number + 1} of {plan.rounds}")
        for guest in _from_another(guests, number, plan.rounds):
            _round_embedded(plan, guest, number, wanted)


def _recall_embedded(plan: Plan, guests: Sequence[Guest], task: str) -> float:
    """Local mode's recall, measured on few queries, because each can take seconds."""
    for guest in guests:
        count = _given(plan, guest, task)
        for ef in (0,) if guest.contestant.name == LOCAL else EFS:
            _attempt(guest, f"recall, {task}", partial(guest.recalled_given, task, count=count, ef=ef))
    found = [guest.entry.recall(task) for guest in guests if guest.contestant.name == LOCAL]
    return (found[0] if found else None) or 1.0


def _round_embedded(plan: Plan, guest: Guest, number: int, wanted: dict[str, float]) -> None:
    slow = guest.contestant.name == LOCAL
    for task in (GIVEN, GIVEN_FILTERED):
        count = _given(plan, guest, task)
        chosen = 0 if slow else choose_ef(guest.entry, task, wanted[task])
        for ef in sorted({0, chosen}):
            _attempt(guest, task, partial(guest.given, number, task, start=number * count, count=count, ef=ef))
    for task, few in ((SINGLE, plan.slow), (FILTERED, plan.slowest)):
        count = few if slow else plan.singles
        _attempt(guest, task, partial(guest.singles, number, task, start=number * count, count=count))


def _given(plan: Plan, guest: Guest, task: str) -> int:
    if guest.contestant.name != LOCAL:
        return plan.given
    return plan.slowest if task == GIVEN_FILTERED else plan.slow


def _attempt(guest: Guest, task: str, run: Callable[[], object]) -> None:
    """One turn; a contestant that failed a task isn't asked to do it again."""
    if task in guest.entry.failures:
        return
    try:
        run()
    except ContestantFailedError as error:
        guest.entry.failures[task] = str(error)
        say(f"{guest.contestant.name}, {task}, failed: {error}")
        return
    if any(turn.task == task for turn in guest.entry.turns):
        say(told(guest, task))


def _from_another(guests: Sequence[Guest], number: int, rounds: int) -> list[Guest]:
    first = number * len(guests) // rounds
    return [*guests[first:], *guests[:first]]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
