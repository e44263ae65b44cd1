"""Waits made shorter: what would wait for 30 s waits for a fraction of it, and says so in a file.

A server that asks for a pause of 30 s, on each of 50 requests, would make a case last half an hour. Only
`time.sleep` is changed, and only by a run that asks for it; deadlines and the system's own waits are real.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, SupportsIndex

_real_sleep = time.sleep
_LOGGED: Final = 0.5


class _Pace:
    factor = 1.0
    log: int | None = None


def install() -> None:
    """Put our `sleep` in the place of time's, at its own pace."""
    time.sleep = _sleep


def set_pace(factor: float, *, log: Path) -> None:
    """From now on a second takes `factor` seconds; waits of half a second and more stand in `log`, a line each."""
    _Pace.factor = factor
    _Pace.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def shorten(make_sleep: Callable[..., Callable[[float], None]]) -> Callable[..., Callable[[float], None]]:
    """The same for what makes a `sleep` that can be woken from."""

    def make(*args: object, **options: object) -> Callable[[float], None]:
        sleep = make_sleep(*args, **options)

        def shortened(seconds: float) -> None:
            _note(seconds)
            sleep(seconds * _Pace.factor)

        return shortened

    return make


def _sleep(seconds: float | SupportsIndex, /) -> None:
    seconds = float(seconds)
    _note(seconds)
    _real_sleep(seconds * _Pace.factor)


def _note(seconds: float) -> None:
    if _Pace.log is not None and seconds >= _LOGGED:
        os.write(_Pace.log, f"{seconds:.3f}\n".encode())
