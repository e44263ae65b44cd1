"""The benchmark of when the index is built: its requests and its table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from qdrant_client.grpc import UpsertPoints

from benchmarks import index
from benchmarks.indexing.points import COLLECTION, POINTS, ensure_requests
from benchmarks.indexing.report import render
from benchmarks.indexing.results import Result, Turn, read_result
from benchmarks.indexing.strategies import END, EVERYONE
from benchmarks.running.document import with_section
from benchmarks.running.kept import write_json
from benchmarks.running.machine import Machine


def _turn(strategy: str, pace: float, load_s: float, end_s: float, cpu: tuple[float, float]) -> Turn:
    return Turn(strategy, 1_000, 128, pace, load_s, end_s, *cpu, 100.0, 500.0, 250.0, 2)


def _result() -> Result:
    machine = Machine("A processor", 2, 23.5, "6.0", "3.11.7")
    turns = [
        _turn(END, 0, 10, 210, (4, 60)),
        _turn("along", 0, 10, 200, (8, 60)),
        _turn(END, 5, 200, 400, (4, 60)),
        _turn("along", 5, 200, 260, (60, 20)),
    ]
    return Result("2026-11-27", "abc1234", 20.0, machine, "1.17.0", turns)


def test_a_strategy_is_compared_with_the_slower_of_loading_and_indexing_one_after_the_other() -> None:
    lines = render(_result()).splitlines()
    first = "| 1,000 of 128 numbers, as fast as the server takes them | at the end, as `ingest` does unasked | 10 | 210 | 1.05"
    assert any(line.startswith(first) for line in lines)
    along = "|  | along with the load, segments from 10 MB on, Qdrant's default | 200 | 260 | 1.30 | 60 + 20 | 1.25 |"
    assert any(line.startswith(along) for line in lines)
    assert any(line.startswith("| 1,000 of 128 numbers, 5 a second | at the end") for line in lines)


def test_a_kept_result_reads_back_the_same_and_has_its_place(tmp_path: Path) -> None:
    write_json(_result(), tmp_path / "indexing.json")
    assert read_result(tmp_path / "indexing.json") == _result()
    assert "INDEXED" in with_section(index.DOCUMENT.read_text(encoding="utf-8"), index.NAME, "INDEXED")


def test_the_requests_hold_every_point_once_and_are_made_once(tmp_path: Path) -> None:
    count = POINTS + 88
    requests = ensure_requests(tmp_path, count, 16)
    found = [UpsertPoints.FromString(request) for _, request in requests]
    assert [points for points, _ in requests] == [POINTS, 88]
    assert {each.collection_name for each in found} == {COLLECTION}
    assert [point.id.num for each in found for point in each.points] == list(range(count))
    assert {len(point.vectors.vector.dense.data) for each in found for point in each.points} == {16}
    made = requests.file.stat().st_mtime_ns
    assert ensure_requests(tmp_path, count, 16) == requests
    assert requests.file.stat().st_mtime_ns == made


def test_strategies_that_do_not_exist_are_refused_with_those_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["index", "--strategies", "end,never", "--build", str(tmp_path)])
    assert index.main() == 1
    assert capsys.readouterr().err == f"no strategy never; there are {', '.join(one.name for one in EVERYONE)}\n"
