"""Compare encoding: ours and what people would use instead, over the same texts, in turns.

    python -m benchmarks.encode --list
    python -m benchmarks.encode --peers ours-auto,st-fp32,st-openvino --passages 64 --rounds 2
    python -m benchmarks.encode --quick
    python -m benchmarks.encode --write             # everything, into docs/performance.md and docs/performance/
    python -m benchmarks.encode --device cuda --write
    python -m benchmarks.encode --render docs/performance/cpu.json

Each peer is installed into its own environment below build/bench when it is first needed. Tables go to
stdout, progress to stderr, what peers print to build/bench/logs, the raw result to build/bench/results.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from benchmarks.encoding.competition import Plan, Runner, say
from benchmarks.encoding.contestants import BASE, OURS, TRUTH, Contestant, cpu_contestants, cuda_contestants
from benchmarks.encoding.environments import is_installed
from benchmarks.encoding.model import ensure_model
from benchmarks.encoding.plots import draw
from benchmarks.encoding.report import quick_lines, render
from benchmarks.encoding.results import Result, read_result, write_result
from benchmarks.encoding.texts import Corpus, read_corpus, sample, short_queries
from benchmarks.encoding.tokenizing import measure_tokenizing
from benchmarks.encoding.turns import ROOT, WITHOUT_AMX, Place
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.document import with_section
from benchmarks.running.machine import NoGpuError, commit, describe, gpu_name, today
from tasb_qdrant.encoder.hardware import has_fast_bf16

DOCUMENT: Final = ROOT / "docs" / "performance.md"
PLANS: Final = {
    "cpu": Plan(passages=128, rounds=2, queries=100, tuned=48, batches=(8, 16, 32, 64)),
    "cuda": Plan(passages=10_000, rounds=5, queries=300, tuned=2_000, batches=(64, 128, 256, 512, 1024)),
    "quick": Plan(passages=64, rounds=2, queries=30, tuned=0, batches=()),
}
CORPUS: Final = {"cpu": 10_000, "cuda": 30_000}
WITHOUT_AMX_PASSAGES: Final = 96
CALIBRATED: Final = 300
QUICK: Final = (OURS, "ours-fp32", BASE)
QUICK_IF_INSTALLED: Final = ("st-openvino",)


def main() -> int:
    options = parse()
    if options.render:
        publish(read_result(options.render), options.render.parent, options.render.stem)
        return 0
    try:
        card = gpu_name() if options.device == "cuda" else ""
        everyone = contestants_for(options.device)
        if options.list:
            print("\n".join(f"{one.name:20} {one.title}" for one in everyone))
            return 0
        result = run(options, everyone, card)
    except (NoGpuError, ContestantFailedError) as error:
        print(error, file=sys.stderr)
        return 1
    name = f"gpu-{card.lower().replace(' ', '-')}" if card else "cpu"
    kept = options.build / "results"
    write_result(result, kept / f"{name}.json")
    print("\n".join(quick_lines(result)) if options.quick else render(result))
    if options.write:
        write_result(result, DOCUMENT.with_suffix("") / f"{name}.json")
        publish(result, DOCUMENT.with_suffix(""), name)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--list", action="store_true", help="list the names for --peers")
    parser.add_argument("--peers", type=lambda text: text.split(","), help="only these, and only their turns")
    parser.add_argument("--passages", type=int, help="passages per round")
    parser.add_argument("--rounds", type=int, help="how many turns everyone takes")
    parser.add_argument("--corpus", type=int, help="passages to choose those of the rounds from")
    parser.add_argument("--untuned", action="store_true", help="use everyone's default batch size and threads")
    parser.add_argument("--quick", action="store_true", help="few peers, untuned, one line per scenario")
    parser.add_argument("--all", action="store_true", help="every section, even with --peers or --quick")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/")
    parser.add_argument("--render", type=Path, metavar="JSON", help="redo tables and plots from a kept result")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="environments, model and logs")
    return parser.parse_args()


def contestants_for(device: str) -> tuple[Contestant, ...]:
    return cuda_contestants() if device == "cuda" else cpu_contestants(bf16=has_fast_bf16())


def chosen(options: argparse.Namespace, everyone: tuple[Contestant, ...]) -> list[Contestant]:
    """The named contestants. Raises ContestantFailedError for an unknown name."""
    if unknown := set(options.peers or ()) - {one.name for one in everyone}:
        listed = ", ".join(one.name for one in everyone)
        raise ContestantFailedError(f"no peer {', '.join(sorted(unknown))}; there are {listed}")
    if options.peers:
        return [one for one in everyone if one.name in options.peers]
    if not options.quick:
        return list(everyone)
    more = [one.name for one in everyone if one.name in QUICK_IF_INSTALLED and is_installed(one, options.build)]
    return [one for one in everyone if one.name in (*QUICK, *more)]


def plan_of(options: argparse.Namespace) -> Plan:
    plan = PLANS["quick" if options.quick else options.device]
    tuned = 0 if options.untuned else plan.tuned
    return replace(plan, passages=options.passages or plan.passages, rounds=options.rounds or plan.rounds, tuned=tuned)


@dataclass(frozen=True, slots=True)
class Materials:
    place: Place
    corpus: Corpus
    corpus_file: Path
    queries: list[str]


def materials(options: argparse.Namespace, plan: Plan) -> Materials:
    model = ensure_model(options.build / "model")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    corpus = read_corpus(tokenizer, options.corpus or CORPUS[options.device])
    say(f"{len(corpus.texts):,} texts, {corpus.mean:.1f} wordpieces on average (MS MARCO: 75): {corpus.source}")
    samples, whole = options.build / "calibration.json", options.build / "corpus.json"
    samples.write_text(json.dumps(sample(corpus, CALIBRATED, seed=3).texts))
    whole.write_text(json.dumps(corpus.texts))
    place = Place(options.build, model, samples, options.device)
    return Materials(place, corpus, whole, short_queries(tokenizer, plan.queries))


def run(options: argparse.Namespace, everyone: tuple[Contestant, ...], card: str) -> Result:
    start = time.monotonic()
    plan, contestants = plan_of(options), chosen(options, everyone)
    given = materials(options, plan)
    runner = Runner(given.place, plan, given.corpus, given.queries)
    truth = next(one for one in everyone if one.name == TRUTH)
    entries = runner.prepare(contestants, truth)
    result = Result(
        date=today(),
        commit=commit(ROOT),
        minutes=0.0,
        device=options.device,
        machine=describe(card),
        source=given.corpus.source,
        corpus=len(given.corpus.texts),
        mean_tokens=given.corpus.mean,
        main=runner.compete(contestants, entries, passages=plan.passages),
        packages=runner.packages,
    )
    everything = options.all or not (options.quick or options.peers)
    if everything:
        result.whole = runner.whole(contestants, result.main, rival=options.device == "cuda")
    if everything and options.device == "cpu" and result.machine.amx:
        plain = [pair for pair in zip(contestants, entries, strict=True) if pair[0].precision == "fp32"]
        again = [replace(entry, turns=[]) for _, entry in plain]
        passages = min(plan.passages, WITHOUT_AMX_PASSAGES)
        elsewhere = runner.elsewhere(WITHOUT_AMX)
        result.without_amx = elsewhere.compete([one for one, _ in plain], again, passages=passages)
    if everything or options.quick:
        result.tokenizing = measure_tokenizing(given.place.model, given.corpus_file, rounds=plan.rounds, root=ROOT)
    result.minutes = (time.monotonic() - start) / 60
    return result


def publish(result: Result, folder: Path, name: str) -> None:
    """Write the tables to docs/performance.md, and plots next to the JSON."""
    try:
        plots = draw(result, folder, name)
    except ImportError:
        say("no plots: matplotlib is not installed; run pip install '.[bench]'")
        plots = sorted(path.name for path in folder.glob(f"{name}-*.svg"))
    section = "gpu" if result.device == "cuda" else "cpu"
    document = with_section(DOCUMENT.read_text(encoding="utf-8"), section, render(result, plots=plots))
    DOCUMENT.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
