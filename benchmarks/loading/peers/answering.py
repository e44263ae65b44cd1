"""A contestant's side of the conversation: requests on stdin, answers on stdout, a line of JSON each.

`answering.py MODULE SETTINGS`, run by the contestant's own Python. Some run in other environments
than the project's, so nothing here imports the project.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from importlib import import_module
from typing import IO, Any, Protocol


class Contestant(Protocol):
    """What is measured: `load`. The others are done before the clock starts."""

    def prepare(self, *, folder: str, count: int) -> None:
        """Read that many of the points, in the form in which `load` is given them."""

    def create(self, *, url: str, grpc_port: int, collection: str) -> None:
        """Make an empty collection that builds no vector index, and connect."""

    def load(self, *, batch: int, parallel: int) -> None:
        """Store all points, `batch` at a time, by that many workers; 0: its own choice."""

    def close(self) -> None:
        """Disconnect."""


def serve(contestant: Contestant, answers: IO[str]) -> int:
    """Answer until stdin ends."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            start = time.perf_counter()
            getattr(contestant, request.pop("do"))(**request)
            answer: dict[str, Any] = {"seconds": time.perf_counter() - start}
        except Exception as error:  # whatever a library raises belongs in the report, not in a dead pipe
            traceback.print_exc()
            text = str(error).strip().splitlines()
            answer = {"error": f"{type(error).__name__}: {text[-1] if text else ''}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def main(module: str, settings: str) -> int:
    """`module` is a file of this folder; `settings` is JSON: its variant."""
    os.setsid()  # by its session the CPU time of a process and all of its workers is found
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to stderr
    return serve(import_module(module).CONTESTANT(**json.loads(settings)), answers)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
