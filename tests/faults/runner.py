"""Runs cases, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.faults.case import Case, Verdict
from tests.faults.kinds import Kind
from tests.faults.rig import Rig
from tests.faults.trial import Trial

HARNESS: Final = "the harness: "


def run_case(rig: Rig, kind: Kind, case: Case) -> Verdict:
    """Inject the fault and see it through. What fails in the harness itself is a problem of the verdict too."""
    began = time.monotonic()
    try:
        with Trial(rig, case) as trial:
            kind.inject(trial)
    except Exception as error:
        verdict = trial.verdict if "trial" in locals() else Verdict(case)
        verdict.problems.append(f"{HARNESS}{type(error).__name__}: {error}")
        verdict.seconds = round(time.monotonic() - began, 2)
        return verdict
    return trial.verdict


def run_cases(cases: Iterable[tuple[Kind, Case]], *, keep: Path | None = None) -> Iterator[Verdict]:
    """The verdicts, each as soon as it is there. `keep` gets the folders of failed cases.

    A case in which the harness itself failed is run once more, on a new rig: its server may be broken.
    """
    rig = Rig(keep=keep)
    try:
        for kind, case in cases:
            verdict = run_case(rig, kind, case)
            if any(problem.startswith(HARNESS) for problem in verdict.problems):
                rig.close()
                rig = Rig(keep=keep)
                verdict = run_case(rig, kind, case)
            yield verdict
    finally:
        rig.close()
