"""Runs cases, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from tests.faults.case import Case, Verdict
from tests.faults.kinds import Kind
from tests.faults.rig import Rig
from tests.faults.trial import Trial


def run_case(rig: Rig, kind: Kind, case: Case) -> Verdict:
    """Inject the fault and see it through. What fails in the harness itself is a problem of the verdict too."""
    began = time.monotonic()
    try:
        with Trial(rig, case) as trial:
            kind.inject(trial)
    except Exception as error:
        verdict = trial.verdict if "trial" in locals() else Verdict(case)
        verdict.problems.append(f"the harness: {type(error).__name__}: {error}")
        verdict.seconds = round(time.monotonic() - began, 2)
        return verdict
    return trial.verdict


def run_cases(rig: Rig, cases: Iterable[tuple[Kind, Case]]) -> Iterator[Verdict]:
    """The verdicts, each as soon as it is there."""
    for kind, case in cases:
        yield run_case(rig, kind, case)
