"""The short form of `make faults`: of each kind some fixed seeds, and some that no commit had before."""

from __future__ import annotations

import random
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.faults.kinds import KINDS, Kind
from tests.faults.rig import Rig
from tests.faults.runner import run_case


def commit() -> str:
    """The tree's commit: all who run it try the same fresh seeds, and the next commit others. Without git, any."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return uuid.uuid4().hex
    return found.stdout.strip()


COMMIT = commit()
"""A failure names its seed, which replays it: python -m tests.faults --seed N."""


def cases(kind: Kind) -> list[int]:
    """Fixed ones spread over the kind's cases, and as many fresh ones."""
    fixed = [n * kind.cases // kind.short for n in range(kind.short)]
    fresh = random.Random(f"{COMMIT} {kind.name}")
    return [*fixed, *(fresh.randrange(1_000, 1_000_000) for _ in fixed)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nothing_is_lost_doubled_wrong_or_silent(rig: Rig, kind: Kind) -> None:
    verdicts = [run_case(rig, kind, kind.case(number)) for number in cases(kind)]
    failed = [str(verdict) for verdict in verdicts if not verdict.ok and not verdict.skipped]
    assert not failed, "\n".join(failed)
