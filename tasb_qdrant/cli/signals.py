"""SIGINT and SIGTERM: the run ends in good order, and in time even if something hangs."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

from tasb_qdrant.cli.failures import INTERRUPTED

SAID: Final = "Interrupted. What was stored stays stored; run the same again to go on."

PATIENCE_SECONDS: Final = 8.0
"""The longest from the signal to the end. Container engines and service managers kill after 10."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STDERR: Final = 2
_SHOW_CURSOR: Final = "\x1b[?25h"


@contextmanager
def ending_in_time() -> Iterator[None]:
    """The first of the signals raises KeyboardInterrupt in the block, once; whatever else the block raises after
    that becomes a KeyboardInterrupt, too. A second signal ends the process at once.

    So does a process that is still there PATIENCE_SECONDS after the first. For the main thread only; a signal that
    is ignored stays ignored, as `nohup` and scripts that run things in the background want it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, watch.on_signal)
    try:
        yield
    except Exception as error:
        if watch.signalled:  # a library has turned the interrupt into an error of its own
            raise KeyboardInterrupt from error
        raise
    finally:
        watch.stop()
        for number, handler in before.items():
            if watch.signalled and handler is not signal.SIG_IGN:
                # What is left to do must end in time, too, and must not be interrupted again.
                continue
            signal.signal(number, handler)


class _Watch:
    """A thread that sees signals while the main one is busy in a library, where Python's handlers must wait."""

    def __init__(self) -> None:
        self.signalled = False
        self._raised = False
        self._stopped = False
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        threading.Thread(target=self._run, name="tasb-qdrant signals", daemon=True).start()

    def on_signal(self, _: int, __: FrameType | None) -> None:
        """The handler, in the main thread."""
        self.signalled = True
        if not self._raised:
            self._raised = True
            raise KeyboardInterrupt

    def stop(self) -> None:
        """End the watch, unless a signal has come: then until the process ends."""
        if not self.signalled:
            self._stopped = True
            signal.set_wakeup_fd(self._before)
            os.write(self._writing, b"\0")

    def _run(self) -> None:
        self._wait_for_one()
        if self._stopped:
            os.close(self._reading)
            os.close(self._writing)
            return
        timer = threading.Timer(PATIENCE_SECONDS, _end_now)
        timer.daemon = True
        timer.start()
        self._wait_for_one()
        _end_now()

    def _wait_for_one(self) -> None:
        while (said := os.read(self._reading, 1)) and said[0] not in (0, *_SIGNALS):
            pass


def _end_now() -> NoReturn:
    """End without any cleanup by Python: a checkpoint is whole at any moment."""
    try:
        # Only if somebody reads it: else this, too, would wait forever.
        ready = select.poll()
        ready.register(_STDERR, select.POLLOUT)
        if ready.poll(0):
            show = _SHOW_CURSOR if os.isatty(_STDERR) else ""  # a live bar has hidden it
            os.write(_STDERR, f"{show}\n{SAID}\n".encode())
    finally:
        os._exit(INTERRUPTED)
