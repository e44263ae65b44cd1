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
from collections.abc import Callable
from importlib import import_module
from typing import IO, Any, Protocol

import numpy as np


class Contestant(Protocol):
    """What is measured: `search`, and `batch` if there is one. Any other method may be called as well."""

    def open(self, **place: Any) -> None:
        """Connect, and load the model."""

    def search(self, query: str, *, filtered: bool) -> Any:
        """The ten best, with their payloads, in whatever form they are returned."""

    def ids(self, found: Any) -> list[int]:
        """The point ids of what `search` gave."""

    def vector(self, query: str) -> Any:
        """The query's vector, as `search` makes it."""

    def close(self) -> None:
        """Disconnect."""


def singles(contestant: Contestant, *, texts: list[str], filtered: bool) -> dict[str, Any]:
    """Milliseconds of each query, one after the other."""
    milliseconds = []
    for text in texts:
        start = time.perf_counter()
        contestant.search(text, filtered=filtered)
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return {"milliseconds": milliseconds}


def batch(contestant: Any, *, texts: list[str]) -> dict[str, Any]:
    """Seconds for all queries in one call."""
    start = time.perf_counter()
    contestant.batch(texts)
    return {"seconds": time.perf_counter() - start}


def found(contestant: Contestant, *, texts: list[str], filtered: bool, vectors: str) -> dict[str, Any]:
    """What is found, by ids; the queries' vectors go to the file `vectors`."""
    ids = [contestant.ids(contestant.search(text, filtered=filtered)) for text in texts]
    np.save(vectors, np.asarray([contestant.vector(text) for text in texts], dtype=np.float32))
    return {"ids": ids}


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {"singles": singles, "batch": batch, "found": found}


def answer_to(contestant: Any, request: dict[str, Any]) -> dict[str, Any]:
    do = request.pop("do")
    if measure := MEASURES.get(do):
        return measure(contestant, **request)
    answer: dict[str, Any] | None = getattr(contestant, do)(**request)
    return answer or {}


def serve(contestant: Contestant, answers: IO[str]) -> int:
    """Answer until stdin ends."""
    for line in sys.stdin:
        try:
            answer = answer_to(contestant, json.loads(line))
        except Exception as error:  # whatever a library raises belongs in the report, not in a dead pipe
            traceback.print_exc()
            text = str(error).strip().splitlines()
            answer = {"error": f"{type(error).__name__}: {text[-1] if text else ''}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def main(module: str, settings: str) -> int:
    """`module` is a file of this folder; `settings` is JSON: its variant."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to stderr
    return serve(import_module(module).CONTESTANT(**json.loads(settings)), answers)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
