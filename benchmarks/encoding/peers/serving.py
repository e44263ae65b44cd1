"""A contestant's side of the conversation: requests on stdin, answers on stdout, a line of JSON each.

`serving.py MODULE SETTINGS`, run by the contestant's own Python.

Other environments than the project's run this folder, so nothing here imports the project, and nothing outside the
standard library and NumPy is imported before a contestant does so itself.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np


class Contestant(Protocol):
    """What is measured. Vectors are whatever the library gives; they are converted for the check alone."""

    def load(self, *, threads: int) -> None:
        """Get ready, or get ready again with that many threads; 0: its own choice."""

    def passages(self, texts: list[str], *, batch: int) -> Any:
        """Vectors of many texts, `batch` at a time; 0: its own choice."""

    def query(self, text: str) -> Any:
        """The vector of one."""


def serve(contestant: Contestant, answers: IO[str]) -> int:
    """Answer until stdin ends."""
    for line in sys.stdin:
        try:
            answer = answer_to(contestant, json.loads(line))
        except Exception as error:  # whatever a library raises belongs in the report, not in a dead pipe
            traceback.print_exc()
            answer = {"error": last_line(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def answer_to(contestant: Contestant, request: dict[str, Any]) -> dict[str, Any]:
    kind = request["do"]
    if kind == "load":
        return {"seconds": timed(lambda: contestant.load(threads=request["threads"]))[0]}
    if kind == "passages":
        return passages(contestant, request["texts"], request["batch"], request.get("vectors"))
    if kind == "queries":
        texts = request["texts"]
        one_by_one = [1e3 * timed(lambda text=text: contestant.query(text))[0] for text in texts]  # type: ignore[misc]
        return {"milliseconds": one_by_one}
    if kind == "environment":
        return {"packages": packages()}
    raise ValueError(f"no request {kind!r}")


def passages(contestant: Contestant, texts: list[str], batch: int, path: str | None) -> dict[str, Any]:
    before = peak_mib()
    forget_peak()
    seconds, vectors = timed(lambda: contestant.passages(texts, batch=batch))
    during = peak_mib()
    if path:
        np.save(path, np.asarray(vectors, dtype=np.float32))
    return {"seconds": seconds, "peak_mib": max(before, during), "bulk_mib": during, "gpu_mib": gpu_mib()}


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def peak_mib() -> float:
    """This process's peak resident memory since `forget_peak`; 0 if Linux doesn't report it."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # the peak of the bulk work is then that of the whole process
        return


def gpu_mib() -> float:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0.0
    return float(torch.cuda.max_memory_allocated()) / 2**20


def packages() -> dict[str, str]:
    from importlib.metadata import distributions

    return {dist.metadata["Name"]: dist.version for dist in distributions()}


def last_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1]}" if text else type(error).__name__


def main(module: str, settings: str) -> int:
    """`module` is a file of this folder. `settings`, JSON: model, device, exports (a folder), variant."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print, even while they are imported, goes to stderr
    return serve(import_module(module).CONTESTANT(**json.loads(settings)), answers)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
