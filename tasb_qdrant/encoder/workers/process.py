"""A worker process seen from its parent: started, spoken to, and its death explained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from io import FileIO
from typing import Final, cast

from tasb_qdrant.encoder.workers.frames import read_frame, write_frame
from tasb_qdrant.encoder.workers.serve import Reply, Request
from tasb_qdrant.errors import WorkerError

_MAIN: Final = "import sys; sys.path[:] = {path!r}; from tasb_qdrant.encoder.workers.serve import main; main()"
_DYING_SECONDS: Final = 5.0
_TAIL_BYTES: Final = 4096


class WorkerProcess:
    """A process of this program's own, which ends with it, however that ends. `name` says in messages what it is.

    Not multiprocessing's: that runs the program's main module again in each process, and a script without
    `if __name__ == "__main__"` would start workers in its workers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process
        try:
            self._process = subprocess.Popen(  # noqa: S603  # this program itself
                [sys.executable, "-c", _MAIN.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
            )
        except OSError as error:
            self._errors.close()
            raise WorkerError(f"{name} can't be started ({error}); give a single --device") from error
        # Unbuffered pipes of bytes, which is what these two are.
        self._requests = cast("FileIO", self._process.stdin)
        self._replies = cast("FileIO", self._process.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, request: Request) -> None:
        """Raises OSError if the process has ended. To be called from one thread that no signal interrupts:
        the rest of half a request can't be found again."""
        write_frame(self._requests, request)

    def receive(self) -> Reply:
        """The next reply. Raises EOFError when the process has ended."""
        return cast("Reply", read_frame(self._replies))

    def death(self) -> str:
        """Why the process ended, as half a sentence. One that hung up without ending is ended."""
        try:
            status = self._process.wait(_DYING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return "stopped answering"
        if status >= 0:
            said = self._last_words()
            return f"died (exit status {status})" + (f": {said}" if said else "")
        cause = f"died (killed by signal {-status}, {_signal_name(-status)})"
        if -status == signal.SIGKILL:
            return f"{cause}; the machine may have run out of memory: give it more, or fewer devices"
        said = self._last_words()
        return f"{cause}: {said}" if said else cause

    def kill(self) -> None:
        """Ends the process, which keeps nothing that could be lost, in the middle of whatever it does."""
        self._process.kill()

    def close(self) -> None:
        """Waits for the end of a killed process and frees what is left of it."""
        self._process.wait()
        for stream in (self._requests, self._replies, self._errors):
            with suppress(OSError):
                stream.close()

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _TAIL_BYTES))
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
