"""Compare loading: ours and what people would use instead, the same points, in turns, each into a fresh server.

    python -m benchmarks.load --list
    python -m benchmarks.load --quick               # fewer points, untuned peers, a line each
    python -m benchmarks.load --write               # everything, into docs/performance.md and docs/performance/
    python -m benchmarks.load --render docs/performance/loading.json

langchain-qdrant is installed into its own environment below build/bench/loading when it is first needed.
Tables go to stdout, progress to stderr, what peers print to build/bench/loading/logs, the raw result to
build/bench/results.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.loading.competition import Plan, compete, tune
from benchmarks.loading.contestants import EVERYONE, LANGCHAIN, Contestant
from benchmarks.loading.points import DIM, ensure_points
from benchmarks.loading.report import quick_lines, render
from benchmarks.loading.results import Result, read_result
from benchmarks.loading.turns import ROOT, VERSION, packages_of
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.document import with_section
from benchmarks.running.kept import write_json
from benchmarks.running.machine import commit, describe, today

DOCUMENT: Final = ROOT / "docs" / "performance.md"
NAME: Final = "loading"
FULL: Final = Plan(points=200_000, rounds=2, tuned=20_000)
QUICK: Final = Plan(points=20_000, rounds=2, tuned=0)
DEFAULTS: Final = (256, 2)
"""Batch size and workers of untuned peers: the best of a tuned run on two cores."""


def main() -> int:
    options = parse()
    if options.list:
        print("\n".join(f"{one.name:14} {one.title}" for one in EVERYONE))
        return 0
    if options.render:
        publish(read_result(options.render))
        return 0
    try:
        result = run(options)
    except ContestantFailedError as error:
        print(error, file=sys.stderr)
        return 1
    write_json(result, options.build / "results" / f"{NAME}.json")
    print("\n".join(quick_lines(result)) if options.quick else render(result))
    if options.write:
        write_json(result, DOCUMENT.with_suffix("") / f"{NAME}.json")
        publish(result)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="list the names for --peers")
    parser.add_argument("--peers", type=lambda text: text.split(","), help="only these")
    parser.add_argument("--points", type=int, help="points per round")
    parser.add_argument("--rounds", type=int, help="how many turns everyone takes")
    parser.add_argument("--untuned", action="store_true", help="batch size and workers that suit two cores")
    parser.add_argument("--quick", action="store_true", help="few points, untuned, one line per contestant")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/")
    parser.add_argument("--render", type=Path, metavar="JSON", help="redo the tables from a kept result")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="environments, points and logs")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Contestant]:
    """The named contestants. Raises ContestantFailedError for an unknown name."""
    if unknown := set(options.peers or ()) - {one.name for one in EVERYONE}:
        listed = ", ".join(one.name for one in EVERYONE)
        raise ContestantFailedError(f"no peer {', '.join(sorted(unknown))}; there are {listed}")
    if options.peers:
        return [one for one in EVERYONE if one.name in options.peers]
    return [one for one in EVERYONE if not (options.quick and one.name == LANGCHAIN)]


def plan_of(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else FULL
    return replace(
        plan,
        points=options.points or plan.points,
        rounds=options.rounds or plan.rounds,
        tuned=0 if options.untuned else plan.tuned,
    )


def run(options: argparse.Namespace) -> Result:
    start = time.monotonic()
    plan, contestants = plan_of(options), chosen(options)
    build: Path = options.build / "loading"
    points = ensure_points(build, plan.points)
    for one in contestants:
        one.python(build)
    entries = [tune(one, points, count=min(plan.tuned, plan.points), build=build) for one in contestants]
    for one, entry in zip(contestants, entries, strict=True):
        if not entry.batch and one.batches != (0,):
            entry.batch, entry.parallel = DEFAULTS[0], min(DEFAULTS[1], max(one.parallel))
    ceiling = compete(contestants, entries, points, rounds=plan.rounds, build=build)
    return Result(
        date=today(),
        commit=commit(ROOT),
        minutes=(time.monotonic() - start) / 60,
        machine=describe(),
        server=VERSION,
        points=plan.points,
        dim=DIM,
        payload_bytes=points.payload_bytes,
        entries=entries,
        ceiling=ceiling,
        packages={one.environment or "tasb-qdrant": packages_of(one, build) for one in contestants},
    )


def publish(result: Result) -> None:
    """Write the tables to docs/performance.md."""
    document = with_section(DOCUMENT.read_text(encoding="utf-8"), NAME, render(result))
    DOCUMENT.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
