"""The short form of `make faults`: of each kind some seeds that are always the same; `make fuzz` draws others."""

from __future__ import annotations

import random

import pytest

from tests.faults.kinds import KINDS, Kind
from tests.faults.rig import Rig
from tests.faults.runner import run_case


def cases(kind: Kind, seed: str | None) -> list[int]:
    """Spread over the kind's cases, or drawn by the seed from those that `make faults` doesn't have.

    A failure names its own seed, which replays it: python -m tests.faults --seed N.
    """
    if seed is None:
        return [n * kind.cases // kind.short for n in range(kind.short)]
    chance = random.Random(f"{seed} {kind.name}")
    return [chance.randrange(1_000, 1_000_000) for _ in range(kind.short)]


@pytest.mark.slow
@pytest.mark.property
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nothing_is_lost_doubled_wrong_or_silent(rig: Rig, kind: Kind, pytestconfig: pytest.Config) -> None:
    seed = pytestconfig.getoption("hypothesis_seed")
    verdicts = [run_case(rig, kind, kind.case(number)) for number in cases(kind, seed)]
    failed = [str(verdict) for verdict in verdicts if not verdict.ok and not verdict.skipped]
    assert not failed, "\n".join(failed)
