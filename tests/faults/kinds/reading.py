"""The processes that read a source: killed, stopped for a while, or left without the one that they read for."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.faults.launch import Run
from tests.faults.trial import Command, Trial

_STORES: Final = ("embedded", "grpc", "rest")
_WAYS: Final = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)

_SMALL_BLOCKS: Final = {"hook": "tests.faults.kinds.reading:read_small_blocks"}
"""The source of a run is otherwise a single block."""

_START_SECONDS: Final = 30.0

_LEFT_SECONDS: Final = 10.0
"""Seconds within which a reading process ends after the one that it reads for."""


def read_small_blocks() -> None:
    """A hook: some dozens of blocks, whose ends fall into windows."""
    from tasb_qdrant.sources.blocks import line_pieces
    from tasb_qdrant.sources.input import compression

    assert line_pieces.__kwdefaults__ is not None
    line_pieces.__kwdefaults__["size"] = 1_500
    compression.PIECE_BYTES = 1_000  # type: ignore[misc]  # a block is at least a piece


def killed(trial: Trial) -> None:
    """One of the reading processes is killed: the run ends with an error that names it, unless it needed it no more."""
    chance, number = trial.chance, trial.verdict.case.number
    store, workers = _STORES[number % 3], (2, 4)[number // 3 % 2]
    command = _command(trial, store, workers)
    run = trial.start(command, [_SMALL_BLOCKS])
    children = _wait_for_children(run, workers)
    wait = chance.uniform(0.0, 1.5)
    trial.verdict.fault = f"SIGKILL of a process of {workers} that read, after {wait:.2f} s, {store}"
    time.sleep(wait)
    if run.wait(0) is None and children:
        _send(chance.choice(children), signal.SIGKILL)
    code = trial.finish(run)
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    if code == 1:
        named = "a reading worker died (killed by signal 9, SIGKILL)"
        trial.expect(named in run.said(), f"the dead process is not named: {run.said()[-300:]}")
    trial.check_acked(command)
    _again_by_others(trial, command, first=code)


def stopped(trial: Trial) -> None:
    """One of them stands still for a moment: nothing comes of it but the wait."""
    chance, number = trial.chance, trial.verdict.case.number
    store, workers = _STORES[number % 3], (2, 4)[number // 3 % 2]
    command = _command(trial, store, workers)
    run = trial.start(command, [_SMALL_BLOCKS])
    children = _wait_for_children(run, workers)
    wait, still = chance.uniform(0.0, 1.0), chance.uniform(0.1, 0.8)
    trial.verdict.fault = f"SIGSTOP of a process of {workers} that read, for {still:.2f} s, {store}"
    time.sleep(wait)
    if run.wait(0) is None and children:
        stands = chance.choice(children)
        _send(stands, signal.SIGSTOP)
        time.sleep(still)
        _send(stands, signal.SIGCONT)
    code = trial.finish(run)
    trial.expect(code == 0, f"expected exit code 0, got {code}")
    trial.again(command, first=code)


def left(trial: Trial) -> None:
    """The program is killed, or asked to end: no process that read for it stays, and other numbers of them go on."""
    chance, number = trial.chance, trial.verdict.case.number
    store, way = _STORES[number % 3], _WAYS[number // 3 % 3]
    command = _command(trial, store, 2)
    run = trial.start(command, [_SMALL_BLOCKS])
    children = _wait_for_children(run, 2)
    wait = chance.uniform(0.0, 1.5)
    trial.verdict.fault = f"{way.name} after {wait:.2f} s, with 2 processes that read, {store}"
    time.sleep(wait)
    run.send(way)
    code = trial.finish(run)
    over = code is not None and code < 0 and ("Interrupted" in run.said() or bool(run.printed()))
    trial.expect(code in (0, 130, -way) or over, f"expected a run that was ended, got exit code {code}")
    deadline = time.monotonic() + _LEFT_SECONDS
    while there := [child for child in children if _runs(child)]:
        if time.monotonic() > deadline:
            trial.verdict.hangs += 1
            trial.verdict.problems.append(f"reading processes that live on: {there}")
            break
        time.sleep(0.02)
    trial.check_acked(command)
    _again_by_others(trial, command, first=code)


def _command(trial: Trial, store: str, workers: int) -> Command:
    return trial.command(store, optimize=trial.chance.random() < 0.2, extra=("--workers", str(workers)))


def _again_by_others(trial: Trial, command: Command, *, first: int | None) -> None:
    """The same command, but with another number of processes."""
    trial.again(replace(command, extra=("--workers", str(trial.chance.choice((1, 3))))), first=first)


def _wait_for_children(run: Run, count: int) -> list[int]:
    """The run's processes, once there are so many; fewer if it ends before, or takes long."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and len(found := _children(run.pid)) < count and run.wait(0) is None:
        time.sleep(0.005)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:  # the thread has ended meanwhile
            continue
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _runs(pid: int) -> bool:
    """Whether the process is there, and not only until somebody asks how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
