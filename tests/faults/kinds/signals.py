"""Ctrl-C, SIGTERM, and Ctrl-C twice, at random times: exit code 130 within ten seconds, and resumable."""

from __future__ import annotations

import signal
import time
from typing import Final

from tests.faults.trial import Trial

PROMPT_SECONDS: Final = 10.0

_STORES: Final = ("embedded", "grpc", "rest")
_WAYS: Final = ("SIGINT", "SIGTERM", "SIGINT twice")


def at_random(trial: Trial) -> None:
    """Send the signal when a run has begun, and see that it ends in time."""
    chance, number = trial.chance, trial.verdict.case.number
    store, way = _STORES[number % 3], _WAYS[number // 3 % 3]
    command = trial.command(store, optimize=chance.random() < 0.3)
    wait = chance.uniform(0.0, 0.6)
    trial.verdict.fault = f"{way} after {wait:.2f} s, {store}"
    # Whole: what goes wrong between the signal and the very end of the process is the program's.
    run = trial.start(command, whole_exit=number % 4 == 0)
    time.sleep(wait)
    sent = time.monotonic()
    run.send(signal.SIGTERM if way == "SIGTERM" else signal.SIGINT)
    if way == "SIGINT twice":
        time.sleep(chance.uniform(0.0, 0.1))
        run.send(signal.SIGINT)
    # Python can't raise the interrupt out of a callback of its own, such as those that tidy up at its end.
    code = trial.finish(run, ignored="Exception ignored in")
    took = time.monotonic() - sent
    trial.expect(took < PROMPT_SECONDS, f"ended {took:.1f} s after {way}")
    # The signal may also come before the program's handlers are there, or after everything has been done. It
    # may come, too, when Python has put its handlers away: a shell says 130 for that as well.
    early = code in (-signal.SIGINT, -signal.SIGTERM) and not run.said()
    over = "Interrupted" in run.said() or bool(run.printed())
    late = code in (-signal.SIGINT, -signal.SIGTERM) and over
    trial.expect(code in (0, 130) or early or late, f"expected exit code 130, got {code}")
    trial.check_acked(command)
    trial.again(command, first=code)
