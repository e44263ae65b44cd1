"""SIGKILL of the program: at each named point, first, in the middle and last, and at random times."""

from __future__ import annotations

import signal
import time
from itertools import product
from typing import Final

from tests.faults.points import names
from tests.faults.trial import Trial
from tests.faults.wire import Exchange, Fault

_STORES: Final = ("embedded", "grpc", "rest")
WHICH: Final = ("first", "middle", "last")


def combinations() -> list[tuple[str, str, str]]:
    """Store, point, and which time that the point is reached."""
    return [
        (store, point, which)
        for store in _STORES
        for point, which in product(names("embedded" if store == "embedded" else "server"), WHICH)
    ]


def at_point(trial: Trial) -> None:
    """Kill at a named point. The first cases are all combinations, the others have a random one of the times."""
    case, chance = trial.verdict.case, trial.chance
    every = combinations()
    store, point, which = every[case.number % len(every)]
    reached = trial.rig.census(store, *trial.options)[point]
    nth = {"first": 1, "middle": (reached + 1) // 2, "last": reached}[which]
    if case.number >= len(every):
        nth = chance.randint(1, reached)
    trial.verdict.fault = f"SIGKILL at {point!r}, {nth} of {reached}, {store}"
    command = trial.command(store, optimize=True)
    strike = {"hook": "strike", "point": point, "nth": nth, "action": "kill"}
    code = trial.finish(trial.start(command, [strike]))
    # Threads race: a point that is reached for the last time in one run may be reached less often in another.
    trial.expect(code in (-signal.SIGKILL, 0), f"expected a killed run, got exit code {code}")
    trial.check_acked(command)
    trial.again(command, first=code)


def at_sent(trial: Trial) -> None:
    """Kill when the server has the whole of the nth request, and its answer is still under way."""
    chance = trial.chance
    store = ("grpc", "rest")[trial.verdict.case.number % 2]
    nth = chance.randint(1, 50)
    trial.verdict.fault = f"SIGKILL when request {nth} has been sent, {store}"
    command = trial.command(store)
    wire = trial.rig.server.wire
    run = trial.start(command)

    def hold(exchange: Exchange, number: int) -> Fault | None:
        return Fault("delay", seconds=0.3) if number == nth else None

    wire.plan = hold
    wire.on_sent = lambda number: run.send(signal.SIGKILL) if number == nth else None
    code = trial.finish(run)
    trial.expect(code == -signal.SIGKILL, f"expected a killed run, got exit code {code}")
    trial.check_acked(command)
    trial.again(command, first=code)


def at_random(trial: Trial) -> None:
    """Kill at a random time, twice at times."""
    chance = trial.chance
    store = _STORES[trial.verdict.case.number % 3]
    command = trial.command(store, optimize=chance.random() < 0.3)
    trial.verdict.fault = f"SIGKILL at a random time, {store}"
    code: int | None = None
    for _ in range(chance.choice((1, 1, 2))):
        run = trial.start(command)
        time.sleep(chance.uniform(0.0, 1.0))
        run.send(signal.SIGKILL)
        code = trial.finish(run)
        trial.expect(code in (-signal.SIGKILL, 0), f"expected a killed run, got exit code {code}")
        trial.check_acked(command)
    trial.again(command, first=code)
