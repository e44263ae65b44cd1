"""Compare when the vector index is built: at the end of a load, along with it, or after a load without a graph.

    python -m benchmarks.index --points 20000 --paces 0     # a short look
    python -m benchmarks.index --write                      # everything, into docs/performance.md and docs/performance/
    python -m benchmarks.index --render docs/performance/indexing.json

Vectors are ready, so nothing but the server works. A pace stands for the encoder: it leaves the server idle between the
requests, as a model does that runs elsewhere or on a GPU. Tables go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.indexing.points import ensure_requests
from benchmarks.indexing.report import render
from benchmarks.indexing.results import Result, read_result
from benchmarks.indexing.strategies import EVERYONE
from benchmarks.indexing.turns import take_turn
from benchmarks.loading.turns import ROOT, VERSION
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.document import with_section
from benchmarks.running.kept import write_json
from benchmarks.running.machine import commit, describe, today

DOCUMENT: Final = ROOT / "docs" / "performance.md"
NAME: Final = "indexing"


def main() -> int:
    options = parse()
    if options.render:
        publish(read_result(options.render))
        return 0
    try:
        result = run(options)
    except ContestantFailedError as error:
        print(error, file=sys.stderr)
        return 1
    write_json(result, options.build / "results" / f"{NAME}.json")
    print(render(result))
    if options.write:
        write_json(result, DOCUMENT.with_suffix("") / f"{NAME}.json")
        publish(result)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=128, help="numbers in a vector")
    parser.add_argument("--paces", type=_paces, default=(0.0, 1000.0), help="points a second; 0: as fast as possible")
    parser.add_argument("--strategies", type=lambda text: text.split(","), help=", ".join(one.name for one in EVERYONE))
    parser.add_argument("--write", action="store_true", help="keep the result in docs/")
    parser.add_argument("--render", type=Path, metavar="JSON", help="redo the table from a kept result")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="points and servers")
    return parser.parse_args()


def run(options: argparse.Namespace) -> Result:
    """Raises ContestantFailedError."""
    chosen = [one for one in EVERYONE if not options.strategies or one.name in options.strategies]
    if unknown := set(options.strategies or ()) - {one.name for one in chosen}:
        listed = ", ".join(one.name for one in EVERYONE)
        raise ContestantFailedError(f"no strategy {', '.join(sorted(unknown))}; there are {listed}")
    build: Path = options.build / "indexing"
    requests = ensure_requests(build, options.points, options.dim)
    result = Result(date=today(), commit=commit(ROOT), minutes=0.0, machine=describe(), server=VERSION)
    start = time.monotonic()
    for pace in options.paces:
        for strategy in chosen:
            turn = take_turn(strategy, requests, pace=pace, build=build)
            result.turns.append(turn)
            said = f"stored in {turn.load_s:.1f} s, searchable in {turn.end_s:.1f} s"
            print(f"{strategy.name} at {pace:,.0f} points/s: {said}", file=sys.stderr, flush=True)
            result.minutes = (time.monotonic() - start) / 60
    return result


def publish(result: Result) -> None:
    """Write the table to docs/performance.md."""
    document = with_section(DOCUMENT.read_text(encoding="utf-8"), NAME, render(result))
    DOCUMENT.write_text(document, encoding="utf-8")


def _paces(text: str) -> tuple[float, ...]:
    return tuple(float(pace) for pace in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
