"""The server, or a node of a cluster, killed and started again, or stopped for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tests.faults.trial import Command, Trial
from tests.qdrant_servers import QdrantServer

_TRANSPORTS: Final = ("grpc", "rest")

FULL_PACE: Final = 1.0
"""Waits as they are: a server takes its time to come back, too."""


def killed(trial: Trial) -> None:
    """SIGKILL of the only server when it has been sent some requests, and a restart at once or a little later."""
    chance, number = trial.chance, trial.verdict.case.number
    transport = _TRANSPORTS[number % 2]
    nth = chance.randint(1, 50)
    away = chance.choice((0.0, 0.0, chance.uniform(0.0, 2.0)))
    trial.verdict.fault = f"SIGKILL of the server with request {nth}, away for {away:.1f} s, {transport}"
    command = trial.command(transport)
    node = trial.rig.server.nodes[0]

    def strike() -> None:
        node.kill()
        time.sleep(away)
        node.restart()

    _struck(trial, command, nth, strike)


def stopped(trial: Trial) -> None:
    """SIGSTOP of the only server for a while, mostly one second."""
    chance, number = trial.chance, trial.verdict.case.number
    transport = _TRANSPORTS[number % 2]
    nth = chance.randint(1, 50)
    seconds = _pause(trial)
    trial.verdict.fault = f"SIGSTOP of the server for {seconds:.1f} s with request {nth}, {transport}"
    command = trial.command(transport, extra=("--timeout", "5"))
    node = trial.rig.server.nodes[0]
    _struck(trial, command, nth, lambda: _stop(node, seconds))


def node_killed(trial: Trial) -> None:
    """SIGKILL of one node of three, each in turn, and a restart."""
    chance, number = trial.chance, trial.verdict.case.number
    transport, which = _TRANSPORTS[number % 2], number // 2 % 3
    nth = chance.randint(1, 50)
    away = chance.uniform(0.0, 3.0)
    trial.verdict.fault = f"SIGKILL of node {which} of 3 with request {nth}, away for {away:.1f} s, {transport}"
    command = trial.command(f"cluster {transport}")
    node = trial.rig.cluster.nodes[which]

    def strike() -> None:
        node.kill()
        time.sleep(away)
        node.restart()

    _struck(trial, command, nth, strike)


def node_stopped(trial: Trial) -> None:
    """SIGSTOP of one node of three, each in turn."""
    number = trial.verdict.case.number
    transport, which = _TRANSPORTS[number % 2], number // 2 % 3
    nth = trial.chance.randint(1, 50)
    seconds = _pause(trial)
    trial.verdict.fault = f"SIGSTOP of node {which} of 3 for {seconds:.1f} s with request {nth}, {transport}"
    command = trial.command(f"cluster {transport}")
    node = trial.rig.cluster.nodes[which]
    _struck(trial, command, nth, lambda: _stop(node, seconds))


def _struck(trial: Trial, command: Command, nth: int, strike: Callable[[], None]) -> None:
    """Run the command, strike with the nth request that stores points, and see it through.

    In this thread: a server ends with the thread that has started it.
    """
    due = trial.hold(command, nth)
    run = trial.start(command, pace=FULL_PACE)
    while not due.wait(0.05) and run.wait(0) is None:
        pass
    strike()
    code = trial.finish(run)
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    trial.check_acked(command)
    trial.again(command, first=code, pace=FULL_PACE)


def _pause(trial: Trial) -> float:
    """1 s to 30 s: a long one in twenty."""
    chance = trial.chance
    return chance.uniform(8.0, 30.0) if trial.verdict.case.number % 20 == 19 else chance.uniform(1.0, 2.0)


def _stop(node: QdrantServer, seconds: float) -> None:
    node.pause()
    try:
        time.sleep(seconds)
    finally:
        node.resume()
