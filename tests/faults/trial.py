"""One case under way: runs of the program with and without its fault, and the verdict on them."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tasb_qdrant.cli.failures import EXIT_CODES, NAMED_ERROR
from tests.faults.case import Case, Verdict
from tests.faults.launch import Run
from tests.faults.oracle import Difference, Expected, compare
from tests.faults.rig import Rig
from tests.faults.stations import Station
from tests.faults.targets import OnServer, Target
from tests.faults.wire import Fault

DEADLINE: Final = 60.0
"""Seconds within which each run must end, whatever was done to it; without a fault it takes one."""

TRIES: Final = 4
"""So often is the same command run again after the fault, at the most, until it ends well."""

WANTED: Final = {"indexing threshold": 10_000, "m": 16, "index of year": "integer"}
"""What the command's defaults ask a server for."""

_SHOWN: Final = 300


@dataclass(frozen=True)
class Command:
    """One `ingest` command line. `well` are the exit codes that say that everything is stored."""

    source: Path
    target: Target
    options: Sequence[str]
    optimize: bool = False
    extra: Sequence[str] = ()
    well: tuple[int, ...] = (0,)
    tolerance: float = 1e-5
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def argv(self) -> list[str]:
        """For the program."""
        tail = [] if self.optimize else ["--no-optimize"]
        return ["ingest", str(self.source), *self.target.argv(), *self.options, *tail, *self.extra]


class Trial:
    """Runs commands for a case, and keeps account. To be used in a `with` block."""

    def __init__(self, rig: Rig, case: Case) -> None:
        self.rig = rig
        self.chance = case.chance
        self.verdict = Verdict(case)
        self.folder = rig.folder / f"case-{case.seed}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.expected: Expected = rig.expected
        self.options: Sequence[str] = ()
        """Of every command of the case, beside the usual ones."""
        self._begun = time.monotonic()
        self._runs: list[Run] = []
        self._jobs = 0
        self._targets: list[Target] = []

    def command(self, kind: str, **changes: Any) -> Command:
        """The usual command for a new collection on a store of this kind: embedded, grpc, rest, cluster grpc, …"""
        target = self.rig.target(kind, self.folder)
        self._targets.append(target)
        usual = Command(self.rig.source, target, [*self.rig.options(self.rig.model), *self.options])
        return replace(usual, **changes)

    def with_options(self, command: Command) -> Command:
        """The command with the options that the case has now."""
        return replace(command, options=[*self.rig.options(self.rig.model), *self.options])

    def forget(self, command: Command) -> None:
        """As if it had never been run: a run that only counted something."""
        command.target.discard()
        self._targets.remove(command.target)
        self.verdict.runs.clear()
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def start(
        self,
        command: Command,
        hooks: Sequence[Mapping[str, Any]] = (),
        *,
        pace: float = 0.05,
        whole_exit: bool = False,
    ) -> Run:
        """Start it; `pace` shortens its waits, `whole_exit` lets Python take itself down at the end."""
        return self.run(
            command.argv,
            [*hooks, *command.target.hooks()],
            environment=command.environment,
            pace=pace,
            whole_exit=whole_exit,
        )

    def run(
        self,
        argv: Sequence[str],
        hooks: Sequence[Mapping[str, Any]] = (),
        *,
        environment: Mapping[str, str] = MappingProxyType({}),
        pace: float = 0.05,
        whole_exit: bool = False,
    ) -> Run:
        """Start any other command line of the program."""
        run = self.rig.zygote.start(
            argv,
            folder=self.folder,
            name=f"run-{len(self._runs)}",
            environment=self.rig.environment(self.folder) | dict(environment),
            hooks=hooks,
            pace=pace,
            seed=self.verdict.case.seed,
            whole_exit=whole_exit,
        )
        self._runs.append(run)
        return run

    def job(self, function: str, *arguments: str, seconds: float = DEADLINE) -> None:
        """Call "module:function" in a forked child. Raises RuntimeError if that fails."""
        self._jobs += 1
        run = self.rig.zygote.start(
            list(arguments),
            folder=self.folder,
            name=f"job-{self._jobs}",
            environment=self.rig.environment(self.folder),
            job=function,
            seed=self.verdict.case.seed,
        )
        status = run.wait(seconds)
        if status != 0:
            run.end()
            raise RuntimeError(f"{function} ended with {status}: {run.said()[-1000:]}")

    def kill(self, command: Command, *, at: str = "encoded") -> None:
        """Start it and have it killed on its way, at a named point: what is to go on."""
        strike = {"hook": "strike", "point": at, "nth": self.chance.randint(3, 45), "action": "kill"}
        code = self.finish(self.start(command, [strike]))
        self.expect(code == -signal.SIGKILL, f"expected a killed run, got exit code {code}")
        self.check_acked(command)

    def waits(self, run: Run) -> list[float]:
        """The seconds of the run's longer waits, as long as they would have been."""
        return [float(line) for line in run.out.with_suffix(".waits").read_text().split()]

    def finish(self, run: Run, *, seconds: float = DEADLINE, ignored: str = "") -> int | None:
        """Wait for the end of a run: its exit code, or None for one that hangs, which is counted and killed. A named
        error of any class counts as 1.

        A traceback is a problem, unless it is one of an exception that the text `ignored` stands before.
        """
        code = run.wait(seconds)
        self.verdict.runs.append((code, round(time.monotonic() - run.started, 2)))
        if code is None:
            self.verdict.hangs += 1
            self.verdict.problems.append(f"still running after {seconds:.0f} s; it said: {_end(run.said())}")
        run.end()
        if "Traceback (most recent call last)" in run.said() and not (ignored and ignored in run.said()):
            self.verdict.problems.append(f"a traceback: {_end(run.said())}")
        elif (
            code not in (None, 0, 3, 130, -signal.SIGKILL, -signal.SIGINT, -signal.SIGTERM)
            and "Error: " not in run.said()
        ):
            self.verdict.problems.append(f"exit code {code} without an error's line: {_end(run.said())}")
        return NAMED_ERROR if code in EXIT_CODES.values() else code

    def check(self, command: Command) -> Difference | None:
        """The worst of the differences between what a replica holds and what it must, if there is any."""
        target = command.target
        if isinstance(target, OnServer) and (waiting := target.station.wait_until_active(target.name)):
            self.verdict.problems.append(f"replicas that don't get well: {waiting}")
        found = [compare(held, self.expected, tolerance=command.tolerance) for held in target.held()]
        if not found:
            found = [Difference("no collection", len(self.expected), 0, 0)]
        return max(filter(None, found), key=lambda one: one.lost + one.wrong + one.doubled, default=None)

    def check_acked(self, command: Command) -> None:
        """Whatever was acknowledged is there, whole, right after the fault."""
        acked = set(command.target.stored())
        if isinstance(command.target, OnServer):
            command.target.station.wait_until_active(command.target.name)
        for held in command.target.held():
            wanted = {point_id: self.expected[point_id] for point_id in acked if point_id in self.expected}
            there = replace(held, points={key: held.points[key] for key in wanted if key in held.points})
            if (found := compare(there, wanted)).lost:
                self.verdict.lost = max(self.verdict.lost, found.lost)
                self.verdict.problems.append(f"acknowledged, and gone after the fault: {found}")
        if acked and not command.target.held():
            self.verdict.lost = max(self.verdict.lost, len(acked))
            self.verdict.problems.append(f"{len(acked)} points were acknowledged, and the collection is gone")

    def judge(self, command: Command, code: int | None) -> bool:
        """After a run: whether it ended well, and everything is there as it must be. Else it lied."""
        if code not in command.well:
            return False
        if (difference := self.check(command)) is not None:
            self.verdict.silent += 1
            self._blame(difference)
        if command.optimize and isinstance(command.target, OnServer):
            self._check_settings(command.target)
        return True

    def _check_settings(self, target: OnServer) -> None:
        """After a whole run the settings are those that were asked for, whatever was in force during the load."""
        described = target.station.rest(target.station.nodes[0]).ask("GET", f"/collections/{target.name}")
        config = described["config"]
        found = {
            "indexing threshold": config["optimizer_config"]["indexing_threshold"],
            "m": config["hnsw_config"]["m"],
            "index of year": described["payload_schema"].get("year", {}).get("data_type"),
        }
        self.expect(found == WANTED, f"expected the settings {WANTED}, found {found}")

    def again(self, command: Command, *, first: int | None, pace: float = 0.05) -> None:
        """The same command again until it ends well; `first` is the exit code of the run with the fault."""
        if self.judge(command, first):
            return
        before = command.target.stored()
        for _ in range(TRIES):
            if self.judge(command, self.finish(self.start(command, pace=pace))):
                self.verdict.resent += _resent(before, command.target.stored())
                return
        self.verdict.problems.append(f"not done after {TRIES} more runs; the last said: {_end(self._runs[-1].said())}")
        if (difference := self.check(command)) is not None:
            self._blame(difference)

    def again_or_restarted(self, command: Command, *, first: int | None) -> None:
        """The same, but a run that was refused and said that --restart helps is started with that."""
        if first == 1 and "--restart" in self._runs[-1].said():
            first = self.finish(self.start(replace(command, extra=(*command.extra, "--restart"))))
        self.again(command, first=first)

    def station(self, command: Command) -> Station:
        """Where the command's collection is. Raises TypeError for an embedded one."""
        if not isinstance(command.target, OnServer):
            raise TypeError("an embedded collection has no server")
        return command.target.station

    def hold(self, command: Command, nth: int) -> threading.Event:
        """Set once the server has the nth request that stores points; its answer is held back for a moment."""
        due, wire = threading.Event(), self.station(command).wire
        wire.plan = lambda exchange, number: Fault("delay", seconds=0.2) if number == nth else None
        wire.on_sent = lambda number: due.set() if number == nth else None
        return due

    def expect(self, told: bool, otherwise: str) -> None:
        """Note a problem unless `told`."""
        if not told:
            self.verdict.problems.append(otherwise)

    def _blame(self, found: Difference) -> None:
        self.verdict.lost = max(self.verdict.lost, found.lost)
        self.verdict.doubled = max(self.verdict.doubled, found.doubled)
        self.verdict.wrong = max(self.verdict.wrong, found.wrong)
        self.verdict.problems.append(str(found))

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for run in self._runs:
            run.end()
        for target in self._targets:
            target.discard()
        if kind is None:
            self.verdict.secrets += search(self.folder, self.rig.key.encode())
        self.verdict.seconds = round(time.monotonic() - self._begun, 2)
        if self.rig.keep is not None and (kind is not None or not self.verdict.ok):
            shutil.copytree(self.folder, self.rig.keep / self.folder.name, dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def search(folder: Path, secret: bytes) -> int:
    """How many files below `folder` hold the secret, in their content or their name."""
    found = 0
    for path in folder.rglob("*"):
        found += secret in str(path.relative_to(folder)).encode()
        if path.is_file() and not path.is_symlink():
            found += secret in path.read_bytes()
    return found


def _resent(before: Sequence[str], after: Sequence[str]) -> int:
    """Points that a later run stored again, though they had been acknowledged."""
    again = Counter(after[len(before) :])
    return sum(again[point_id] for point_id in set(before))


def _end(said: str) -> str:
    return " ".join(said.split())[-_SHOWN:]


Injection = Callable[[Trial], None]
"""A kind of fault: injects the case's fault, sees the runs through, and tells in `verdict.fault` what it did."""
