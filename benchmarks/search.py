"""Compare searching: ours and what people would use instead, the same queries, in turns, on one server.

    python -m benchmarks.search --list
    python -m benchmarks.search --quick               # fewer points and rounds, a line each
    python -m benchmarks.search --write               # everything, into docs/performance.md and docs/performance/
    python -m benchmarks.search --render docs/performance/search.json

Each peer is installed into its own environment below build/bench/searching when it is first needed. The points are
stored and indexed once, which takes longer than all the searching, and kept there too; `--fresh` makes them again.
Tables go to stdout, progress to stderr, what peers print to build/bench/searching/logs, the raw result to
build/bench/results.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.encoding.model import ensure_model
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.document import with_section
from benchmarks.running.kept import write_json
from benchmarks.running.machine import commit, describe, today
from benchmarks.searching.competition import Plan, compete, say
from benchmarks.searching.contestants import EVERYONE, Contestant
from benchmarks.searching.points import DIM, ensure_points
from benchmarks.searching.report import quick_lines, render
from benchmarks.searching.results import Result, read_result
from benchmarks.searching.stores import VERSION, ensure_embedded_store, ensure_server_store
from benchmarks.searching.turns import LIMIT, ROOT, packages_of

DOCUMENT: Final = ROOT / "docs" / "performance.md"
NAME: Final = "search"
FULL: Final = Plan(points=200_000, rounds=5)
QUICK: Final = Plan(points=20_000, rounds=2, singles=30, parts=30, recalled=50, given=50, slow=5)


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
    parser.add_argument("--points", type=int, help="number of points to search")
    parser.add_argument("--rounds", type=int, help="how many turns everyone takes")
    parser.add_argument("--quick", action="store_true", help="few points and rounds, one line per contestant and task")
    parser.add_argument("--fresh", action="store_true", help="store and index the points again")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/")
    parser.add_argument("--render", type=Path, metavar="JSON", help="redo the tables from a kept result")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="environments, stores and logs")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Contestant]:
    """The named contestants. Raises ContestantFailedError for an unknown name."""
    if unknown := set(options.peers or ()) - {one.name for one in EVERYONE}:
        listed = ", ".join(one.name for one in EVERYONE)
        raise ContestantFailedError(f"no peer {', '.join(sorted(unknown))}; there are {listed}")
    return [one for one in EVERYONE if not options.peers or one.name in options.peers]


def run(options: argparse.Namespace) -> Result:
    plan, contestants = QUICK if options.quick else FULL, chosen(options)
    plan = replace(plan, points=options.points or plan.points, rounds=options.rounds or plan.rounds)
    build: Path = options.build.resolve() / "searching"
    model = ensure_model(options.build.resolve() / "model")
    points = ensure_points(build, plan.points, model=model)
    for one in contestants:
        one.python(build)
    for make in (ensure_server_store, ensure_embedded_store):
        say(f"storing {points.count:,} points, unless already stored: {make(build, points, fresh=options.fresh)}")
    start = time.monotonic()
    entries = compete(plan, contestants, points, build=build, model=model)
    return Result(
        date=today(),
        commit=commit(ROOT),
        minutes=(time.monotonic() - start) / 60,
        machine=describe(),
        server=VERSION,
        points=points.count,
        dim=DIM,
        payload_bytes=points.payload_bytes,
        matching=float(points.matching.mean()),
        limit=LIMIT,
        at_once=plan.at_once,
        entries=entries,
        packages={one.environment or "tasb-qdrant": packages_of(one, build) for one in contestants},
    )


def publish(result: Result) -> None:
    """Write the tables to docs/performance.md."""
    document = with_section(DOCUMENT.read_text(encoding="utf-8"), NAME, render(result))
    DOCUMENT.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
