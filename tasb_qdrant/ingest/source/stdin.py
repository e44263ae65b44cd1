"""Standard input for a thread that must be able to give up waiting for it."""

from __future__ import annotations

import io
import select
import sys
import threading
from typing import BinaryIO, Final, cast

from tasb_qdrant.ingest.flow import StoppedError

_POLL_MILLISECONDS: Final = 100


def patient_stdin(stopped: threading.Event) -> BinaryIO | None:
    """Standard input whose `read1` raises StoppedError when `stopped` is set while nothing comes.

    A thread that waits inside Python's own sys.stdin holds its lock: the interpreter can't end without
    it and aborts, and what comes later is taken by a thread that was abandoned. None if standard input
    is nothing that can be polled.
    """
    try:
        return cast("BinaryIO", _PatientInput(sys.stdin.buffer, stopped))
    except (AttributeError, OSError):  # no standard input, a test's own object, or a system without poll
        return None


class _PatientInput:
    """The part of a BinaryIO that a reader of streams uses."""

    def __init__(self, stream: BinaryIO, stopped: threading.Event) -> None:
        self._stream = cast("io.BufferedReader", stream)
        self._stopped = stopped
        self._poll = select.poll()
        self._poll.register(stream.fileno(), select.POLLIN)

    def read1(self, size: int = -1) -> bytes:
        """What there is, up to `size` bytes; waits for the first, and is empty at the end."""
        while not self._poll.poll(_POLL_MILLISECONDS):
            if self._stopped.is_set():
                raise StoppedError
        return self._stream.read1(size)

    read = read1
