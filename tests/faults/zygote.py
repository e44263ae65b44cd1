"""A process that has imported everything once, and forks a child for each run of the program.

python -m tests.faults.zygote SOCKET

Importing torch and qdrant-client takes two seconds, which thousands of runs can't spend. A request is a
line of JSON on the socket: `{"preload": [modules]}`, or a run (see `child`). A run is answered with a line
that has its `pid`, and when it has ended with one that has its `status` (negative: the signal).
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, Final

from tests.faults import pace

_PDEATHSIG: Final = 1


def main(address: str) -> None:
    """Serve until the process that started this one ends. In a forked child: be the program, and exit as it does."""
    pace.install()  # before anything of the program is imported, which keeps `time.sleep` as a default argument
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the harness, and with it this
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(16)
        run = _serve(listener)
    from tests.faults import child

    child.become(run)


def _serve(listener: socket.socket) -> dict[str, Any]:
    """Returns in a forked child only, with what it shall run."""
    while True:
        connection, _ = listener.accept()
        with connection:
            if not (line := _line(connection)):
                continue  # somebody looked whether we are here
            request = json.loads(line)
            if modules := request.get("preload"):
                _preload(modules)
                connection.sendall(b"{}\n")
                continue
            if os.fork() == 0:
                _die_with_parent()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                if (run := _watch(connection, request)) is not None:
                    return run


def _watch(connection: socket.socket, run: dict[str, Any]) -> dict[str, Any] | None:
    """Fork once more: the child gets the run, and this process tells what becomes of it."""
    child = os.fork()
    if child == 0:
        _die_with_parent()
        os.setsid()
        return run
    with suppress(BrokenPipeError):
        connection.sendall(json.dumps({"pid": child}).encode() + b"\n")
        _, status = os.waitpid(child, 0)
        connection.sendall(json.dumps({"status": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
    os._exit(0)


def _line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        if not (more := connection.recv(1 << 20)):
            break
        received += more
    return received


def _preload(modules: list[str]) -> None:
    for name in modules:
        with suppress(ImportError):  # made on the fly by another module
            importlib.import_module(name)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
