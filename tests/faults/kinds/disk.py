"""The embedded store's disk: too small from the start, or filled by others while a run stores."""

from __future__ import annotations

import time
from typing import Final

from tests.faults.targets import Embedded
from tests.faults.trial import Trial
from tests.small_disk import NoDiskError, small_disk

_KINDS: Final = ("tmpfs", "ext4")
_ROOM: Final = 200.0


def embedded(trial: Trial) -> None:
    """A run on a disk that is too small, or that is filled at a random time; again when it is full; again with room."""
    chance, number = trial.chance, trial.verdict.case.number
    kind, filled = _KINDS[number % 2], number // 2 % 2 == 1
    free = _ROOM if filled else chance.choice((chance.uniform(0.0, 12.0), chance.uniform(0.0, 60.0)))
    wait = chance.uniform(0.0, 0.6)
    trial.verdict.fault = f"{kind}, filled after {wait:.2f} s" if filled else f"{kind} with {free:.2f} MiB free"
    command = trial.command("embedded", optimize=chance.random() < 0.5)
    if not isinstance(command.target, Embedded):
        raise TypeError
    try:
        with small_disk(command.target.root, kind=kind, mebibytes=free) as disk:
            run = trial.start(command)
            if filled:
                time.sleep(wait)
                disk.fill()
            _see_through(trial, trial.finish(run))
            trial.check_acked(command)
            disk.fill()
            _see_through(trial, trial.finish(trial.start(command)))
            trial.check_acked(command)
            disk.free()
            trial.again(command, first=None)
    except NoDiskError as error:
        trial.verdict.skipped = str(error)


def _see_through(trial: Trial, code: int | None) -> None:
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
