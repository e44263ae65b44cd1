"""Forks children of this process, and says what each of them came to. The tests run programs that use it: a process with
the threads of a whole test run is no place to fork from."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 60.0
"""Seconds: a child that has said nothing by then waits for ever."""

ROOT: Final = Path(__file__).resolve().parents[1]


def in_children(work: Callable[[], Any], *, count: int = 1) -> list[Any]:
    """What `work` returns in so many children at once, as JSON has it; the kind of error that it raises; "hangs"."""
    readers = [_fork(work) for _ in range(count)]
    return [_outcome(pid, reader) for pid, reader in readers]


def _fork(work: Callable[[], Any]) -> tuple[int, int]:
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            outcome = work()
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        os.write(writer, json.dumps(outcome).encode())
        os._exit(0)
    os.close(writer)
    return pid, reader


def _outcome(pid: int, reader: int) -> Any:
    ready, _, _ = select.select([reader], [], [], PATIENCE)
    said = os.read(reader, 2**16) if ready else b'"hangs"'
    os.close(reader)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return json.loads(said or b'"died"')


def run_program(program: str, **values: Any) -> Any:
    """What a program prints last, which is JSON. It finds the `values` as its variables."""
    given = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    command = [sys.executable, "-c", f"{given}\n{program}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
