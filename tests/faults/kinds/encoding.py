"""An encoder that runs out of memory, gives vectors that can't be stored, or loses a worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.faults.points import wrap
from tests.faults.trial import Trial

_STORES: Final = ("embedded", "grpc", "rest")
_MODEL: Final = "tasb_qdrant.encoder.batching:BatchedEncoder._submit"


def _out_of_memory(vectors: Any) -> Any:
    raise MemoryError


def _torch_out_of_memory(vectors: Any) -> Any:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def _nan(vectors: Any) -> Any:
    spoiled = vectors.copy()
    spoiled[len(spoiled) // 2, 3] = np.nan
    return spoiled


def _infinite(vectors: Any) -> Any:
    spoiled = vectors.copy()
    spoiled[-1] = np.inf
    return spoiled


SPOILERS: Final[dict[str, Callable[[Any], Any]]] = {
    "out of memory": _out_of_memory,
    "torch out of memory": _torch_out_of_memory,
    "NaN": _nan,
    "infinity": _infinite,
    "a vector too few": lambda vectors: vectors[:-1],
    "a vector too many": lambda vectors: np.concatenate([vectors, vectors[:1]]),
    "too short vectors": lambda vectors: np.ascontiguousarray(vectors[:, :-1]),
    "double precision": lambda vectors: vectors.astype(np.float64),
}


class _Spoiled:
    """A batch under way in the encoder, whose vectors come out otherwise."""

    def __init__(self, pending: Any, how: str) -> None:
        self._pending, self._how = pending, how

    def result(self) -> Any:
        return SPOILERS[self._how](self._pending.result())


def spoil(nth: int, how: str, lasting: bool) -> None:
    """A hook: the nth call of the model gives something else, or fails; with `lasting` all later ones, too."""
    calls = 0

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def submit(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            pending = original(*args, **options)
            if calls != nth and not (lasting and calls > nth):
                return pending
            return SPOILERS[how](None) if "memory" in how else _Spoiled(pending, how)

        return submit

    wrap(_MODEL, make)


def spoiled_cases() -> list[tuple[str, bool, str]]:
    """What the encoder does, whether it goes on doing so, and the store."""
    return list(product(SPOILERS, (True, False), _STORES))


def spoiled(trial: Trial) -> None:
    """A random batch is spoiled: nothing of it may be stored, and a run that can't mend it must say so."""
    every = spoiled_cases()
    how, lasting, store = every[trial.verdict.case.number % len(every)]
    nth = trial.chance.randint(1, 50)
    trial.verdict.fault = f"{how} at batch {nth} of 50{' and all later ones' if lasting else ''}, {store}"
    command = trial.command(store)
    hook = {"hook": "tests.faults.kinds.encoding:spoil", "nth": nth, "how": how, "lasting": lasting}
    code = trial.finish(trial.start(command, [hook]))
    trial.expect(code == 1 if lasting else code in (0, 1), f"expected exit code 1, got {code}")
    trial.check_acked(command)
    trial.again(command, first=code)


def worker_killed(trial: Trial) -> None:
    """One of two worker processes is killed."""
    chance = trial.chance
    store = _STORES[trial.verdict.case.number % 3]
    wait = chance.uniform(0.0, 6.0)
    trial.verdict.fault = f"SIGKILL of a worker after {wait:.1f} s, {store}"
    command = trial.command(store, extra=("--device", "cpu,cpu"))
    run = trial.start(command)
    time.sleep(wait)
    if run.wait(0) is None and (children := _children(run.pid)):
        os.kill(chance.choice(children), signal.SIGKILL)
    code = trial.finish(run)
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    trial.check_acked(command)
    trial.again(command, first=code)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found
