"""Single queries are compared round by round, in each case."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.encoding.contestants import cpu_contestants
from benchmarks.query import CASES, report, turn
from tests.benchmarks.test_conversation import talk_to


def test_ratios_are_those_of_the_rounds_medians() -> None:
    ours, _, theirs = cpu_contestants(bf16=False)[:3]
    lines = report([ours, theirs], {CASES[0]: {ours.name: [[1, 2, 3], [4, 4, 4]], theirs.name: [[3, 4, 5], [2, 2, 2]]}})
    assert f"| {CASES[0]} | {ours.title} | 3.50 | 4.00 | 1.00 (1.00 to 1.00) |" in lines
    assert "1.25 (0.50 to 2.00) |" in lines


@pytest.mark.slow
def test_every_case_times_every_query(tmp_path: Path) -> None:
    with talk_to("well", tmp_path) as process:
        process.ask(do="load", threads=0)
        for case in CASES:
            assert len(turn(process, case, ["one", "two"])) == 2
