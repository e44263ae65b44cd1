"""One contestant at a time: its vectors, its best settings, and its turn in a round."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoding.contestants import Contestant
from benchmarks.encoding.environments import SCRIPTS, exports_of, python_of
from benchmarks.encoding.results import Entry, Trial, Turn
from benchmarks.encoding.texts import Corpus
from benchmarks.running.conversation import Conversation
from benchmarks.running.environments import offline
from benchmarks.running.machine import available_threads

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 600.0
QUERIES_AT_ONCE: Final = 64
BULK_SECONDS: Final = 4.0
WARMING: Final = 32
WITHOUT_AMX: Final = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where everyone works. `samples` is a JSON list of texts for calibrating int8."""

    build: Path
    model: Path
    samples: Path
    device: str
    variables: dict[str, str] = field(default_factory=dict)

    def invite(self, contestant: Contestant) -> Conversation:
        """Start it. Raises ContestantFailedError if it can't be installed."""
        python = python_of(contestant, self.build)
        exports = exports_of(contestant, self.build, model=self.model, texts=self.samples)
        settings = {
            "model": str(self.model),
            "device": self.device,
            "exports": str(exports),
            "variant": contestant.variant,
        }
        command = [str(python), str(SCRIPTS / "serving.py"), contestant.script, json.dumps(settings)]
        # Ours is imported from this tree, whatever is installed; nobody else gets to see it.
        variables = self.variables | ({"PYTHONPATH": str(ROOT)} if contestant.ours else {})
        log = self.build / "logs" / f"{contestant.name}.log"
        return Conversation(command, log=log, environment=offline(**variables), patience=PATIENCE)


def vectors_of(conversation: Conversation, texts: Sequence[str], *, batch: int, folder: Path) -> NDArray[np.float32]:
    """float32 (n, dim), by way of a file."""
    path = folder / f"vectors-{os.getpid()}.npy"
    conversation.ask(do="passages", texts=list(texts), batch=batch, vectors=str(path))
    found: NDArray[np.float32] = np.load(path)
    path.unlink()
    return found


def agreement(found: NDArray[np.float32], truth: NDArray[np.float32]) -> tuple[float, float]:
    """The lowest cosine, and the ratio of lengths that is furthest from 1."""
    if found.shape != truth.shape:
        return 0.0, 0.0
    own, right = np.linalg.norm(found, axis=1), np.linalg.norm(truth, axis=1)
    ratios = own / right
    cosines = (found * truth).sum(axis=1) / (own * right)
    return float(cosines.min()), float(ratios[np.abs(ratios - 1).argmax()])


def tune(conversation: Conversation, contestant: Contestant, texts: Corpus, *, batches: Sequence[int]) -> list[Trial]:
    """Trials, the best first: batch sizes from the middle one outwards as long as it gets faster, with all threads;
    then one thread. The last two use fewer texts, because one thread takes so much longer."""
    threads = available_threads()
    conversation.ask(do="load", threads=threads)
    conversation.ask(do="passages", texts=texts.texts[:8], batch=8)

    def attempt(threads: int, batch: int, count: int) -> Trial:
        answer = conversation.ask(do="passages", texts=texts.texts[:count], batch=batch)
        return Trial(threads, batch, count, answer["seconds"])

    everything = len(texts.texts)
    found = climb(lambda size: attempt(threads, size, everything), batches if contestant.batches else (0,))
    best = min(found, key=lambda trial: trial.seconds)
    if threads > 1:
        few = max(1, everything // 3)
        with_all = attempt(threads, best.batch, few)
        conversation.ask(do="load", threads=1)
        conversation.ask(do="passages", texts=texts.texts[:8], batch=8)
        with_one = attempt(1, best.batch, few)
        found += [with_all, with_one]
        best = with_one if with_one.seconds < with_all.seconds else best
    return [best, *(trial for trial in found if trial is not best)]


def climb(attempt: Callable[[int], Trial], sizes: Sequence[int]) -> list[Trial]:
    """Trials of neighbouring sizes from the middle one, upwards and then downwards, as long as it gets faster."""
    middle = len(sizes) // 2
    trials = [attempt(sizes[middle])]
    for step in (1, -1):
        best, index = trials[0].seconds, middle + step
        while 0 <= index < len(sizes):
            trials.append(attempt(sizes[index]))
            if trials[-1].seconds >= best:
                break
            best, index = trials[-1].seconds, index + step
    return trials


def take_turn(
    place: Place, contestant: Contestant, entry: Entry, texts: Corpus, queries: Sequence[str], *, number: int
) -> Turn:
    """A fresh process: its first vector, single queries, many at once, then the passages.

    Raises ContestantFailedError."""
    start = time.perf_counter()
    with place.invite(contestant) as conversation:
        load = conversation.ask(do="load", threads=entry.threads)["seconds"]
        first = conversation.ask(do="queries", texts=queries[:1])["milliseconds"][0]
        startup = time.perf_counter() - start
        conversation.ask(do="queries", texts=queries[:10])
        single = conversation.ask(do="queries", texts=list(queries))["milliseconds"]
        many = (list(queries) * math.ceil(QUERIES_AT_ONCE / len(queries)))[:QUERIES_AT_ONCE]
        at_once = [conversation.ask(do="passages", texts=many, batch=entry.batch)["seconds"] for _ in range(4)]
        bulk = _bulk(conversation, texts.texts, batch=entry.batch)
    return Turn(
        round=number,
        startup_s=startup,
        load_s=load,
        first_query_ms=first,
        query_ms=single,
        queries_s=at_once[1:],
        bulk_s=sum(one["seconds"] for one in bulk),
        passages=len(texts.texts) * len(bulk),
        tokens=texts.tokens * len(bulk),
        peak_mib=max(one["peak_mib"] for one in bulk),
        bulk_mib=max(one["bulk_mib"] for one in bulk),
        gpu_mib=max(one["gpu_mib"] for one in bulk),
    )


def _bulk(conversation: Conversation, texts: Sequence[str], *, batch: int) -> list[dict[str, Any]]:
    """The answers for the passages, repeated to fill BULK_SECONDS: in a job of 10,000, one-time work of a library
    (compiling kernels, getting memory) hardly counts, so it isn't counted here."""
    few = conversation.ask(do="passages", texts=texts[:WARMING], batch=batch)
    if few["seconds"] < BULK_SECONDS / 4:
        conversation.ask(do="passages", texts=texts, batch=batch)
    answers: list[dict[str, Any]] = []
    while sum(one["seconds"] for one in answers) < BULK_SECONDS:
        answers.append(conversation.ask(do="passages", texts=texts, batch=batch))
    return answers
