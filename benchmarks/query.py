"""A single query on a CPU: one after another, now and then, and beside a process that keeps a core busy.

    python -m benchmarks.query
    python -m benchmarks.query --peers ours-auto,ours-fp32,st-openvino --rounds 20

Everyone's process stays, and they take short turns, so that they share what else the machine does. Ratios are those of
a round's medians to the first peer's, so 1.1 takes a tenth longer. Peers are installed as for `benchmarks.encode`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from tokenizers import Tokenizer

from benchmarks.encoding.contestants import OURS, Contestant, cpu_contestants
from benchmarks.encoding.model import ensure_model
from benchmarks.encoding.texts import read_corpus, sample, short_queries
from benchmarks.encoding.turns import ROOT, Place
from benchmarks.running.conversation import ContestantFailedError, Conversation
from benchmarks.running.machine import commit, describe, today
from benchmarks.running.tables import spread, table
from tasb_qdrant.encoder.hardware import has_fast_bf16

PEERS: Final = (OURS, "st-openvino")
QUERIES: Final = 40
PAUSE: Final = 0.05
CASES: Final = ("one after another", f"every {1e3 * PAUSE:.0f} ms", "beside a busy process")
_SPIN: Final = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""Busy for as long as whoever started it lives."""

Milliseconds = list[float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peers", type=lambda text: text.split(","), default=list(PEERS), help="names of encode --list"
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=12, help="wordpieces of a query")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="environments, model and logs")
    options = parser.parse_args()
    everyone = {one.name: one for one in cpu_contestants(bf16=has_fast_bf16())}
    if unknown := [name for name in options.peers if name not in everyone]:
        print(f"no peer {', '.join(unknown)}; there are {', '.join(everyone)}", file=sys.stderr)
        return 1
    contestants = [everyone[name] for name in options.peers]
    try:
        found = compete(contestants, options.build, rounds=options.rounds, tokens=options.tokens)
    except ContestantFailedError as error:
        print(error, file=sys.stderr)
        return 1
    machine = describe()
    print(f"Measured {today()}, commit `{commit(ROOT)}`, on {machine.name}, {machine.threads} threads.\n")
    print(report(contestants, found))
    return 0


def compete(
    contestants: Sequence[Contestant], build: Path, *, rounds: int, tokens: int
) -> dict[str, dict[str, list[Milliseconds]]]:
    """The milliseconds of each query, by case, contestant and round. Raises ContestantFailedError."""
    model = ensure_model(build / "model")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    texts = build / "calibration.json"
    if not texts.is_file():
        texts.write_text(json.dumps(sample(read_corpus(tokenizer, 10_000), 300, seed=3).texts))
    place = Place(build, model, texts, "cpu")
    queries = short_queries(tokenizer, QUERIES, tokens=tokens)
    found: dict[str, dict[str, list[Milliseconds]]] = {case: {one.name: [] for one in contestants} for case in CASES}
    with ExitStack() as stack:
        processes = {one.name: stack.enter_context(place.invite(one)) for one in contestants}
        for process in processes.values():
            process.ask(do="load", threads=0)
            process.ask(do="queries", texts=queries)
        for number in range(rounds):
            for case in CASES:
                for one in (*contestants[number % len(contestants) :], *contestants[: number % len(contestants)]):
                    found[case][one.name].append(turn(processes[one.name], case, queries))
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return found


def turn(process: Conversation, case: str, queries: list[str]) -> Milliseconds:
    if case == CASES[0]:
        return [float(each) for each in process.ask(do="queries", texts=queries)["milliseconds"]]
    if case == CASES[1]:
        return [each for query in queries for each in after_a_pause(process, query)]
    with busy_core():
        return [float(each) for each in process.ask(do="queries", texts=queries)["milliseconds"]]


def after_a_pause(process: Conversation, query: str) -> Milliseconds:
    time.sleep(PAUSE)
    return [float(each) for each in process.ask(do="queries", texts=[query])["milliseconds"]]


@contextmanager
def busy_core() -> Iterator[None]:
    """A process that keeps the last core busy."""
    spinning = subprocess.Popen([sys.executable, "-c", _SPIN])
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(spinning.pid, {max(os.sched_getaffinity(0))})
        yield
    finally:
        spinning.kill()
        spinning.wait()


def report(contestants: Sequence[Contestant], found: dict[str, dict[str, list[Milliseconds]]]) -> str:
    """A table with the medians of all queries, their 99th percentiles, and the ratios."""
    rows = []
    for case, by_name in found.items():
        base = [median(times) for times in by_name[contestants[0].name]]
        for one in contestants:
            rounds = by_name[one.name]
            every = [each for times in rounds for each in times]
            ratio = spread([median(times) / first for times, first in zip(rounds, base, strict=True)])
            told = f"{ratio.median:.2f} ({ratio.lowest:.2f} to {ratio.highest:.2f})" if ratio else "-"
            rows.append([case, one.title, f"{median(every):.2f}", f"{quantiles(every, n=100)[98]:.2f}", told])
    return table(["queries", "", "p50, ms", "p99, ms", f"time relative to {contestants[0].title}"], rows)


if __name__ == "__main__":
    sys.exit(main())
