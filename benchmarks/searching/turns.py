"""What one contestant is asked, and what is kept of its answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.running.conversation import ContestantFailedError, Conversation
from benchmarks.running.environments import offline
from benchmarks.searching.contestants import CEILING, SCRIPTS, Contestant
from benchmarks.searching.points import LANG, YEAR, Points
from benchmarks.searching.recall import recall
from benchmarks.searching.results import (
    ENCODED_ONE,
    ENCODED_TOGETHER,
    FILTERED,
    GIVEN_FILTERED,
    Entry,
    Parts,
    Recall,
    Turn,
)
from benchmarks.searching.stores import COLLECTION

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 900.0
LIMIT: Final = 10
_WARMING: Final = 3


@dataclass(slots=True)
class Guest:
    """A contestant whose process waits, its model loaded and connected, until it is asked."""

    contestant: Contestant
    entry: Entry
    points: Points
    conversation: Conversation
    questions: list[str] = field(init=False)

    def __post_init__(self) -> None:
        every = self.points.questions
        rows = self.contestant.name == CEILING
        self.questions = [str(row) for row in range(len(every))] if rows else every

    def some(self, start: int, count: int) -> list[str]:
        """So many questions from that one on, from the first again after the last."""
        return [self.questions[(start + row) % len(self.questions)] for row in range(count)]

    def singles(self, number: int, task: str, *, start: int, count: int) -> None:
        filtered = task == FILTERED
        warm = _warming(count)
        self.conversation.ask(do="singles", texts=self.some(start - warm, warm), filtered=filtered)
        took = self.conversation.ask(do="singles", texts=self.some(start, count), filtered=filtered)["milliseconds"]
        self._keep(Turn(number, task, count, sum(took) / 1e3, took))

    def parts(self, number: int, task: str, *, start: int, count: int) -> None:
        filtered = task == FILTERED
        warm = _warming(count)
        self.conversation.ask(do="parts", texts=self.some(start - warm, warm), filtered=filtered)
        found = self.conversation.ask(do="parts", texts=self.some(start, count), filtered=filtered)
        self.entry.parts.append(Parts(number, task, **found))

    def batch(self, number: int, task: str, *, start: int, count: int) -> None:
        took = self.conversation.ask(do="batch", texts=self.some(start, count))["seconds"]
        self._keep(Turn(number, task, count, took))

    def together(self, number: int, task: str, *, start: int, count: int, at_once: int) -> None:
        do = "encode" if task in (ENCODED_ONE, ENCODED_TOGETHER) else "together"
        took = self.conversation.ask(do=do, texts=self.some(start, count), at_once=at_once)["seconds"]
        self._keep(Turn(number, task, count, took))

    def given(self, number: int, task: str, *, start: int, count: int, ef: int) -> None:
        request = {"vectors": str(self.points.question_file), "filtered": task == GIVEN_FILTERED, "ef": ef}
        self.conversation.ask(do="given", start=start, count=_warming(count), **request)
        took = self.conversation.ask(do="given", start=start, count=count, **request)["milliseconds"]
        self._keep(Turn(number, task, count, sum(took) / 1e3, took, ef))

    def recalled(self, task: str, *, count: int) -> None:
        """Against the truth for the contestant's own vectors: another encoder's precision is no fault of a search."""
        file = self.points.folder / f"vectors-{os.getpid()}.npy"
        texts = self.some(0, count)
        found = self.conversation.ask(do="found", texts=texts, filtered=task == FILTERED, vectors=str(file))["ids"]
        vectors = np.load(file)
        file.unlink()
        self.entry.recalls.append(Recall(task, count, _recall(found, vectors, self.points, filtered=task == FILTERED)))

    def recalled_given(self, task: str, *, count: int, ef: int = 0) -> None:
        request = {"vectors": str(self.points.question_file), "filtered": task == GIVEN_FILTERED, "ef": ef}
        found = self.conversation.ask(do="given", start=0, count=count, **request)["ids"]
        vectors = np.load(self.points.question_file)[:count]
        value = _recall(found, vectors, self.points, filtered=task == GIVEN_FILTERED)
        self.entry.recalls.append(Recall(task, count, value, ef))

    def _keep(self, turn: Turn) -> None:
        self.entry.turns.append(turn)


def _warming(count: int) -> int:
    """Queries beforehand, not counted: after another's turn caches are cold. None where one takes seconds."""
    return min(_WARMING, count // 4)


def _recall(found: list[list[int]], vectors: Any, points: Points, *, filtered: bool) -> float:
    allowed = points.matching if filtered else None
    return recall(found, vectors, points.vectors, limit=LIMIT, allowed=allowed)


@contextmanager
def invited(
    contestant: Contestant, entry: Entry, points: Points, build: Path, place: dict[str, Any]
) -> Iterator[Guest]:
    """Its process, opened on that place. Raises ContestantFailedError."""
    script = str(SCRIPTS / "answering.py")
    command = [str(contestant.python(build)), script, contestant.script, json.dumps({"variant": contestant.variant})]
    variables = {} if contestant.environment else {"PYTHONPATH": str(ROOT)}
    log = build / "logs" / f"{contestant.name}.log"
    with Conversation(command, log=log, environment=offline(**variables), patience=PATIENCE) as conversation:
        more = {"vectors": str(points.question_file)} if contestant.name == CEILING else {}
        filters = {"collection": COLLECTION, "year": YEAR, "lang": LANG, "limit": LIMIT}
        conversation.ask(do="open", **place, **filters, **more)
        yield Guest(contestant, entry, points, conversation)
        with suppress(ContestantFailedError):  # its failure has been reported already
            conversation.ask(do="close")


def choose_ef(entry: Entry, task: str, wanted: float) -> int:
    """The smallest `ef` whose recall is at least `wanted`, else the one of the best recall; 0 is the default."""
    found = sorted((each for each in entry.recalls if each.task == task), key=lambda each: each.ef)
    enough = [each for each in found if each.value >= wanted] or sorted(found, key=lambda each: -each.value)
    return enough[0].ef if enough else 0


def told(guest: Guest, task: str) -> str:
    """What the last turn of the task took, for a person who waits."""
    turn = next(turn for turn in reversed(guest.entry.turns) if turn.task == task)
    if turn.milliseconds:
        return f"{guest.contestant.name} {task}: {median(turn.milliseconds):.2f} ms"
    return f"{guest.contestant.name} {task}: {turn.queries / turn.seconds:,.0f} queries/s"


def packages_of(contestant: Contestant, build: Path) -> dict[str, str]:
    """The versions in its environment."""
    code = "from importlib.metadata import distributions as d; import json; "
    code += "print(json.dumps({x.metadata['Name']: x.version for x in d()}))"
    command = [str(contestant.python(build)), "-c", code]
    said = subprocess.run(command, capture_output=True, check=True, env=offline()).stdout
    found: dict[str, str] = json.loads(said)
    return dict(sorted(found.items()))
