"""Runs of the program, started in a moment from a process that has imported it already."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 60.0


class Run:
    """A run under way. `pid` is the program's own process, the leader of a group with what it starts."""

    def __init__(self, connection: socket.socket, out: Path, err: Path) -> None:
        self.out, self.err = out, err
        self.started = time.monotonic()
        self.status: int | None = None
        self._connection = connection
        self._received = b""
        self.pid = int(self._answer(_START_SECONDS)["pid"])

    def wait(self, seconds: float) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs after that time."""
        if self.status is None and (answer := self._answer(seconds)):
            self.status = int(answer["status"])
            self._connection.close()
        return self.status

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to the process; False if it is known to have ended. From any thread."""
        if self.status is not None:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return True

    def end(self) -> None:
        """Kill it, if it still runs, and everything that it started."""
        for target in (self.pid, -self.pid):
            with suppress(ProcessLookupError):
                if target < 0 or self.status is None:
                    os.kill(target, signal.SIGKILL)
        self.wait(10)
        self._connection.close()

    def printed(self) -> str:
        """What it wrote to stdout; nothing, if it was killed before it had any."""
        return self.out.read_text(errors="replace") if self.out.exists() else ""

    def said(self) -> str:
        """What it wrote to stderr."""
        return self.err.read_text(errors="replace") if self.err.exists() else ""

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The next line, or an empty answer when none came in time."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._connection], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return {}
            if not (more := self._connection.recv(1 << 16)):
                raise RuntimeError(f"the process that starts runs has died; the run had written: {self.said()[-2000:]}")
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Zygote:
    """Starts runs. To be used in a `with` block; it ends with this process, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._address = folder / "zygote"
        self._log = folder / "zygote.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QDRANT_")}
        # One thread: two cores carry the program, a server and the harness.
        environment |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.zygote", str(self._address)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_ready()

    def preload(self, modules: Sequence[str]) -> None:
        """Import these once, for all runs that follow."""
        with self._connect() as connection:
            connection.sendall(json.dumps({"preload": list(modules)}).encode() + b"\n")
            connection.recv(16)

    def start(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        name: str,
        environment: Mapping[str, str],
        hooks: Sequence[Mapping[str, Any]] = (),
        pace: float = 1.0,
        seed: int = 0,
        whole_exit: bool = False,
        job: str | None = None,
    ) -> Run:
        """Run `tasb-qdrant ARGV` in `folder`, its output in `NAME.out` and `NAME.err` there.

        `pace` shortens its waits, `seed` is that of its random numbers; with `whole_exit` Python is taken down at
        the end as usual, which takes a second. With a `job`, "module:function" is called with the arguments
        instead.
        """
        out, err = folder / f"{name}.out", folder / f"{name}.err"
        request = {
            "argv": list(argv),
            "folder": str(folder),
            "out": str(out),
            "err": str(err),
            "waits": str(folder / f"{name}.waits"),
            "env": dict(environment),
            "hooks": [dict(hook) for hook in hooks],
            "pace": pace,
            "seed": seed,
            "whole_exit": whole_exit,
            "job": job,
        }
        connection = self._connect()
        connection.sendall(json.dumps(request).encode() + b"\n")
        return Run(connection, out, err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._address))
        except BaseException:
            connection.close()
            raise
        return connection

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._connect().close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the zygote didn't start: {self._log.read_text()}") from None
                time.sleep(0.05)
            else:
                return
