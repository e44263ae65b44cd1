"""A worker process as its parent sees it: starting it, talking to it, and explaining its death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from io import FileIO
from typing import Final, cast

from tasb_qdrant.errors import WorkerError
from tasb_qdrant.processes.frames import read_frame, write_frame
from tasb_qdrant.processes.serve import Reply, Request

_MAIN: Final = "import sys; sys.path[:] = {path!r}; from tasb_qdrant.processes.serve import main; main()"
_DYING_SECONDS: Final = 5.0
_TAIL_BYTES: Final = 4096


class WorkerProcess:
    """A child process that ends with this program, however that ends. Messages call it `name`.

    It doesn't use multiprocessing, which runs the program's main module again in each process: a script without
    `if __name__ == "__main__"` would start workers in its workers.
    """

    def __init__(self, name: str, *, fewer: str) -> None:
        """`fewer` is what there should be less of where the machine has too little memory."""
        self.name = name
        self._fewer = fewer
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
            raise WorkerError(f"{name} can't be started ({error}); give fewer {fewer}") from error
        # Popen's unbuffered binary pipes are FileIO objects.
        self._requests = cast("FileIO", self._process.stdin)
        self._replies = cast("FileIO", self._process.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, request: Request) -> None:
        """Raises OSError if the process has ended. Call it from a single thread that no signal interrupts: after half
        a request, the stream can't be resynchronised."""
        write_frame(self._requests, request)

    def receive(self) -> Reply:
        """The next reply. Raises EOFError if the process has ended."""
        return cast("Reply", read_frame(self._replies))

    def death(self) -> str:
        """Why the process ended, as part of a sentence. A process that closed its pipe but still runs is killed."""
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
            return f"{cause}; the machine may have run out of memory: give it more, or fewer {self._fewer}"
        said = self._last_words()
        return f"{cause}: {said}" if said else cause

    def kill(self) -> None:
        """Kill the process, whatever it is doing: it has no state that could be lost."""
        self._process.kill()

    def close(self) -> None:
        """Wait for a killed process to end, and release its resources."""
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
