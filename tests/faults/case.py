"""A fault to inject, and what came of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

COUNTED = ("lost", "doubled", "wrong", "silent", "hangs", "secrets")


@dataclass(frozen=True, slots=True)
class Case:
    """The `number`th case of a kind. Everything about it follows from its seed, which no other case has."""

    kind: str
    number: int
    seed: int

    @property
    def chance(self) -> random.Random:
        """Its random numbers, from the first on."""
        return random.Random(self.seed)


@dataclass(slots=True)
class Verdict:
    """What came of a case.

    `lost`, `doubled` and `wrong` are points, in whichever replica was worst; `silent` runs that ended well
    while something was missing, `hangs` runs that passed their deadline, `secrets` files that hold the API
    key. `resent` are points that were stored again though acknowledged. `problems` is what else was not as
    it must be, a sentence each; `runs` are the exit codes and seconds. `skipped` says why it was not run.
    `faults` is how many were injected, more than one where none of them needed a run of the program.
    """

    case: Case
    fault: str = ""
    faults: int = 1
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    silent: int = 0
    hangs: int = 0
    secrets: int = 0
    resent: int = 0
    problems: list[str] = field(default_factory=list)
    runs: list[tuple[int | None, float]] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""

    @property
    def ok(self) -> bool:
        """Whether the program came through."""
        return not self.problems and not any(getattr(self, name) for name in COUNTED)

    def to_dict(self) -> dict[str, Any]:
        """For the journal."""
        return {**asdict(self), "case": self.case.number, "kind": self.case.kind, "seed": self.case.seed}

    def __str__(self) -> str:
        counts = ", ".join(f"{getattr(self, name)} {name}" for name in COUNTED if getattr(self, name))
        runs = " ".join(f"{code}({seconds:.1f}s)" for code, seconds in self.runs)
        state = "skipped: " + self.skipped if self.skipped else "ok" if self.ok else "FAILED"
        told = "; ".join(filter(None, [counts, *self.problems]))
        return f"{state} seed {self.case.seed} {self.case.kind}: {self.fault} [{runs}] {told}".rstrip()


def from_dict(stored: Mapping[str, Any]) -> Verdict:
    """The inverse of `to_dict`."""
    values = dict(stored)
    case = Case(values.pop("kind"), values.pop("case"), values.pop("seed"))
    values["runs"] = [(code, seconds) for code, seconds in values["runs"]]
    return Verdict(case=case, **values)
