"""The program's own files failing at each call, and the server's disk full."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, Final

from tests.faults.corpus import write_source
from tests.faults.trial import Command, Trial

_STORES: Final = ("embedded", "rest")
_ERRORS: Final = ("ENOSPC", "EIO", "EACCES", "EMFILE")
_CALLS: Final = 64
"""More than a run makes on its own files, if it has a checkpoint every 50 ms; how many there are is counted before."""


_SPACED: Final = {"hook": "tests.faults.child:space_checkpoints", "seconds": 0.05}


def failing_cases() -> list[tuple[str, str, bool, int]]:
    """Store, errno, whether it lasts, and from which call on."""
    return list(product(_STORES, _ERRORS, (False, True), range(1, _CALLS + 1)))


def failing(trial: Trial) -> None:
    """The nth call on our own files (rejects, checkpoints, the embedded store's sidecar and lock) fails."""
    every = failing_cases()
    store, error, lasting, nth = every[trial.verdict.case.number % len(every)]
    calls = _calls(trial, store)
    command = with_rejects(trial, store)
    nth = (nth - 1) % calls + 1 if nth <= calls else trial.chance.randint(1, calls)
    how = "and every later" if lasting else "alone"
    trial.verdict.fault = f"{error} at call {nth} of {calls} on our own files, {how}, {store}"
    hook = _hook(trial, nth=nth, error=getattr(errno, error), lasting=lasting)
    code = trial.finish(trial.start(command, [_SPACED, hook]))
    trial.expect(code in (0, 1, 3), f"expected exit code 0, 1 or 3, got {code}")
    trial.check_acked(command)
    trial.again(command, first=code)
    trial.expect(_rejects(command) == 10, f"expected 10 lines in the rejects file, got {_rejects(command)}")


def with_rejects(trial: Trial, store: str) -> Command:
    """The command on a source that has some lines that can't be stored."""
    source = write_source(trial.folder / "with-rejects.jsonl", rejects=True)
    rejects = trial.folder / "rejects.jsonl"
    return trial.command(store, source=source, extra=("--rejects", str(rejects)), well=(3,))


def _rejects(command: Command) -> int:
    return len(Path(command.extra[1]).read_text().splitlines())


def _calls(trial: Trial, store: str) -> int:
    """How many calls an undisturbed run makes."""
    known: dict[str, int] = trial.rig.notes.setdefault("calls", {})
    if store not in known:
        command = with_rejects(trial, store)
        run = trial.start(command, [_SPACED, _hook(trial, nth=0, error=0, lasting=False)])
        if trial.finish(run) != 3:
            raise RuntimeError(f"an undisturbed run failed: {run.said()}")
        known[store] = int((trial.folder / "calls").read_text())
        trial.forget(command)
    return known[store]


def _hook(trial: Trial, *, nth: int, error: int, lasting: bool) -> dict[str, Any]:
    watched = [str(trial.folder / name) for name in ("store", "xdg-state", "rejects.jsonl")]
    return {
        "hook": "tests.faults.syscalls:fail",
        "watched": watched,
        "nth": nth,
        "error": error,
        "lasting": lasting,
        "count": str(trial.folder / "calls"),
    }


def disk_full(trial: Trial) -> None:
    """The server's disk is full from the nth request on, for a while."""
    chance, number = trial.chance, trial.verdict.case.number
    transport = ("grpc", "rest")[number % 2]
    nth, seconds = chance.randint(1, 45), chance.choice((0.3, 1.0, 3.0))
    trial.verdict.fault = f"the server's disk full for {seconds} s from request {nth} on, {transport}"
    station = trial.rig.small_disk
    if station is None:
        trial.verdict.skipped = "a tmpfs can't be mounted here (that takes root)"
        return
    command = trial.command(f"disk {transport}")
    due = trial.hold(command, nth)
    run = trial.start(command, pace=0.3)
    while not due.wait(0.02) and run.wait(0) is None:
        pass
    ballast = trial.rig.small_disk_folder / "ballast"
    _fill(ballast)
    time.sleep(seconds)
    ballast.unlink()
    # A disk that is full may take the server down: it writes to maps of files.
    station.mend_nodes()
    code = trial.finish(run)
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    trial.check_acked(command)
    trial.again(command, first=code, pace=0.3)


def _fill(ballast: Path) -> None:
    """Write until nothing more can be written."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        block = bytes(1 << 20)
        while True:
            if file.write(block) < len(block):
                block = bytes(4096)
