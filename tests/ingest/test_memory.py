"""Memory stays flat, however long the source is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def peak(kind: str, count: int, folder: Path) -> int:
    """MiB at the most, in a process of its own."""
    source = folder / f"{count}.tsv"
    with source.open("w") as file:
        file.writelines(f"{n}\tpassage number {n} of many\n" for n in range(count))
    command = [sys.executable, "-m", "tests.ingest.memory", kind, str(source), str(folder / f"store-{count}")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    mebibytes, stored, _ = ran.stdout.split()
    assert int(stored) == count
    return int(mebibytes)


@pytest.mark.slow
def test_ten_times_the_passages_take_less_than_300_mib_more_with_the_embedded_engine(tmp_path: Path) -> None:
    assert peak("embedded", 1_000_000, tmp_path) - peak("embedded", 100_000, tmp_path) < 300


@pytest.mark.slow
def test_the_pipeline_itself_hardly_grows_at_all(tmp_path: Path) -> None:
    assert peak("counting", 500_000, tmp_path) - peak("counting", 50_000, tmp_path) < 60
