"""Compare the whole way: text to stored, to searchable, the same again, verify; ours and what people would use instead.

    python -m benchmarks.ingest --quick               # few passages, two peers, a line each
    python -m benchmarks.ingest --write               # everything, into docs/performance.md and docs/performance/
    python -m benchmarks.ingest --device cuda --write
    python -m benchmarks.ingest --layers 1            # a model six times as fast, which hides less of the rest
    python -m benchmarks.ingest --render docs/performance/ingest-cpu.json

Ours are the commands that a person runs, each in a process of its own; the peers' environments are those of the search
benchmark, or with --installed this Python's own. Tables go to stdout, progress to stderr, what programs print to
build/bench/ingesting/logs, and the raw result, after every step, to build/bench/results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from benchmarks.encoding.model import ensure_model
from benchmarks.encoding.texts import Corpus, read_corpus
from benchmarks.ingesting.commands import ROOT, WORKERS, Program
from benchmarks.ingesting.contestants import OURS, TITLE, Peer, cpu_peers, cuda_peers
from benchmarks.ingesting.corpus import write_source
from benchmarks.ingesting.report import quick_lines, render
from benchmarks.ingesting.results import Entry, Result, Run, read_result
from benchmarks.ingesting.turns import Ours, Task, peer_turn, stages_alone
from benchmarks.loading.contestants import CEILING
from benchmarks.loading.points import ensure_points
from benchmarks.loading.turns import VERSION, Settings, take_turn
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.document import with_section
from benchmarks.running.environments import offline
from benchmarks.running.kept import write_json
from benchmarks.running.machine import NoGpuError, commit, describe, gpu_name, today
from tasb_qdrant.encoder.hardware import has_fast_bf16

DOCUMENT: Final = ROOT / "docs" / "performance.md"
LAYERS: Final = 6
"""Of TAS-B."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to run: passages of ours, `few` that show a start, `alone` those of the stages; `points` are sent to the
    server as finished requests, `pool` is how many texts there are."""

    passages: int
    few: int
    alone: int
    points: int
    rounds: int
    pool: int = 30_000


PLANS: Final = {
    "cpu": Plan(passages=2_000, few=64, alone=1_000, points=50_000, rounds=2),
    "cuda": Plan(passages=240_000, few=4_096, alone=120_000, points=160_000, rounds=1),
    "quick": Plan(passages=256, few=32, alone=128, points=5_000, rounds=1, pool=1_000),
}


@dataclass(slots=True)
class Course:
    """What has been measured so far, kept in `file` after every step; no step begins after `minutes`."""

    result: Result
    file: Path
    minutes: float
    start: float = field(default_factory=time.monotonic)

    def goes_on(self, step: str) -> bool:
        """Whether there is time for it."""
        said = f"{time.monotonic() - self.start:6.1f} s: {step}"
        if fits := time.monotonic() - self.start < 60 * self.minutes:
            say(said)
        else:
            self.result.skipped.append(step)
            say(f"{said}: no time left")
        return fits

    def keep(self) -> None:
        self.result.minutes = (time.monotonic() - self.start) / 60
        write_json(self.result, self.file)

    def attempt(self, entry: Entry, step: str, run: Callable[[], Sequence[Run]]) -> None:
        """One turn; whoever has failed isn't asked again."""
        if entry.failure or not self.goes_on(step):
            return
        try:
            entry.runs += run()
        except ContestantFailedError as error:
            entry.failure = str(error)
            say(f"{entry.name} failed: {error}")
        self.keep()


def main() -> int:
    options = parse()
    if options.render:
        publish(read_result(options.render))
        return 0
    try:
        result = run(options)
    except (NoGpuError, ContestantFailedError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(quick_lines(result)) if options.quick else render(result))
    if options.write:
        write_json(result, DOCUMENT.with_suffix("") / f"{section_of(result)}.json")
        publish(result)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--peers", type=lambda text: text.split(","), help="only these; none: only ours")
    parser.add_argument("--passages", type=int, help="passages of ours in a round")
    parser.add_argument("--rounds", type=int, help="how many turns everyone takes")
    parser.add_argument("--layers", type=int, default=LAYERS, help="the model's, if not TAS-B's six")
    parser.add_argument("--workers", default="", help="passed on to ingest [default: ingest's own choice]")
    parser.add_argument("--installed", action="store_true", help="run the peers with this Python: no network is needed")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin nothing after so many")
    parser.add_argument("--quick", action="store_true", help="few passages, one line per work")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/")
    parser.add_argument("--render", type=Path, metavar="JSON", help="redo the tables from a kept result")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="environments, model and logs")
    return parser.parse_args()


def run(options: argparse.Namespace) -> Result:
    """Raises NoGpuError and ContestantFailedError; a peer that fails is a line of the result."""
    card = gpu_name() if options.device == "cuda" else ""
    plan = plan_of(options)
    build: Path = options.build.resolve() / "ingesting"
    program = Program(build / "logs" / "ours.log")
    if options.workers and not program.takes(["ingest"], WORKERS):
        raise ContestantFailedError(f"this ingest has no option {WORKERS}; leave it out here, too")
    model = model_of(options.build.resolve(), options.layers)
    corpus = read_corpus(Tokenizer.from_file(str(model / "tokenizer.json")), plan.pool)
    source = write_source(build, corpus.texts, plan.passages)
    task = Task(source, plan.passages, plan.few, model, options.device, options.workers)
    peers = chosen(options)
    result = Result(
        date=today(),
        commit=commit(ROOT),
        minutes=0.0,
        device=options.device,
        machine=describe(card),
        server=VERSION,
        source=corpus.source,
        mean_tokens=corpus.mean,
        layers=options.layers,
        passages=plan.passages,
        workers=options.workers,
        entries=[Entry(OURS, TITLE), *(Entry(one.name, one.title) for one in peers)],
    )
    course = Course(result, options.build / "results" / f"{section_of(result)}.json", options.minutes)
    measure(course, plan, task, corpus, program, peers, build=build, installed=options.installed)
    return result


def measure(
    course: Course,
    plan: Plan,
    task: Task,
    corpus: Corpus,
    program: Program,
    peers: Sequence[Peer],
    *,
    build: Path,
    installed: bool,
) -> None:
    """The stages alone, everyone in turns, and what the server takes; the most telling first."""
    result = course.result
    ours, *theirs = result.entries
    if course.goes_on("each stage alone"):
        alone = write_source(build, corpus.texts, plan.alone)
        result.stages = stages_alone(alone, task, build=build)
        course.keep()

    def keep(run: Run) -> None:
        ours.runs.append(run)
        say(f"          {run.work}: {run.passages / run.busy_s:,.0f} passages/s, {run.seconds:.1f} s in all")
        course.keep()

    commands = Ours(program, task, build, keep, course.goes_on)
    texts = list(corpus.texts)
    for number in range(plan.rounds):
        result.shards = commands.at_server(number) or result.shards
        for peer, entry in zip(peers, theirs, strict=True):

            def turn(peer: Peer = peer, number: int = number) -> list[Run]:
                return peer_turn(peer, task, number=number, build=build, installed=installed, texts=texts)

            course.attempt(entry, peer.title, turn)
        commands.embedded(number)
    if course.goes_on("the server, requests made beforehand"):
        points = ensure_points(build, plan.points)
        settings = Settings(0, max(1, result.shards))
        turn_of_server = take_turn(CEILING, points, count=plan.points, settings=settings, build=build, number=0)
        result.server_rate = plan.points / turn_of_server.seconds
    for peer, entry in zip(peers, theirs, strict=True):
        if not entry.failure:
            result.packages[peer.name] = packages_of(peer.python(build, installed=installed), installed=installed)
    result.packages[OURS] = packages_of(Path(sys.executable), installed=True)
    course.keep()


def plan_of(options: argparse.Namespace) -> Plan:
    plan = PLANS["quick" if options.quick else options.device]
    passages = options.passages or plan.passages
    return replace(plan, passages=passages, rounds=options.rounds or plan.rounds, few=min(plan.few, passages))


def chosen(options: argparse.Namespace) -> list[Peer]:
    """The named peers. Raises ContestantFailedError for an unknown name."""
    everyone = cuda_peers() if options.device == "cuda" else cpu_peers(bf16=has_fast_bf16())
    wanted = [one.name for one in everyone] if options.peers is None else [name for name in options.peers if name]
    if unknown := set(wanted) - {one.name for one in everyone} - {"none"}:
        listed = ", ".join(one.name for one in everyone)
        raise ContestantFailedError(f"no peer {', '.join(sorted(unknown))}; there are {listed}, and none")
    return [one for one in everyone if one.name in wanted]


def model_of(build: Path, layers: int) -> Path:
    """Random weights in TAS-B's configuration, with as many layers."""
    return ensure_model(build / ("model" if layers == LAYERS else f"model-{layers}-layers"), layers=layers)


def packages_of(python: Path, *, installed: bool) -> dict[str, str]:
    """The versions in its environment."""
    code = "from importlib.metadata import distributions as d; import json; "
    code += "print(json.dumps({x.metadata['Name']: x.version for x in d()}))"
    environment = None if installed else offline()
    said = subprocess.run([str(python), "-c", code], capture_output=True, check=True, env=environment).stdout
    found: dict[str, str] = json.loads(said)
    return dict(sorted(found.items()))


def section_of(result: Result) -> str:
    """The name of its section, and of its file."""
    return f"ingest-{result.device}"


def publish(result: Result) -> None:
    """Write the tables to docs/performance.md."""
    document = with_section(DOCUMENT.read_text(encoding="utf-8"), section_of(result), render(result))
    DOCUMENT.write_text(document, encoding="utf-8")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
