"""The loading benchmark: its tables, its points, and the CPU time that it counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import load
from benchmarks.loading.contestants import CEILING, EVERYONE, LISTS, NUMPY, OURS, REQUIREMENTS, SCRIPTS
from benchmarks.loading.points import DIM, ensure_points
from benchmarks.loading.report import quick_lines, render
from benchmarks.loading.results import Entry, Result, Turn, read_result
from benchmarks.running.document import with_section
from benchmarks.running.kept import write_json
from benchmarks.running.machine import Machine
from benchmarks.running.processes import cpu_of_session


def _entry(name: str, seconds: float, cpu: float) -> Entry:
    turns = [Turn(number, 1_000, seconds * (1 + number), seconds, cpu * (1 + number), 0.04) for number in range(2)]
    return Entry(name, f"the {name}", batch=256, parallel=2, turns=turns)


def _result() -> Result:
    entries = [_entry(OURS, 0.05, 0.005), _entry(NUMPY, 0.07, 0.03), _entry(LISTS, 0.2, 0.09)]
    entries.append(Entry("langchain", "LangChain", failure="ImportError: no such module"))
    return Result(
        date="2026-11-24",
        commit="abc1234",
        minutes=12.0,
        machine=Machine("A processor", 2, 23.5, "6.0", "3.11.7"),
        server="1.17.0",
        points=1_000,
        dim=768,
        payload_bytes=520.0,
        entries=entries,
        ceiling=_entry(CEILING.name, 0.045, 0.002),
        packages={"tasb-qdrant": {"qdrant-client": "1.20.0", "click": "8"}},
    )


def test_the_targets_are_judged_by_the_median_of_the_rounds() -> None:
    lines = render(_result()).splitlines()
    assert "| points/s | ≥ 1.3 x qdrant-client with numpy | 1.40 (1.40 to 1.40) | reached |" in lines
    assert "| points/s | ≥ 2 x qdrant-client with lists | 4.00 (4.00 to 4.00) | reached |" in lines
    assert "| client CPU a point | ≤ 1/5 of qdrant-client with numpy | 0.17 (0.17 to 0.17) | reached |" in lines


def test_the_table_has_everyone_the_ceiling_and_what_failed() -> None:
    text = render(_result())
    assert "| **the ours** | 15,000 | 1.40 (1.40 to 1.40) | 7.5 (5.0 to 10.0) | 40.0 (40.0 to 40.0) |" in text
    assert "| the ceiling |" in text
    assert "LangChain failed: ImportError: no such module" in text
    assert "qdrant-client 1.20.0" in text
    assert "click" not in text
    assert any(line.startswith("langchain") and "failed" in line for line in quick_lines(_result()))


def test_a_result_without_rivals_is_rendered_too() -> None:
    result = _result()
    result.entries = result.entries[:1]
    assert "not reached" not in render(result)


def test_a_kept_result_reads_back_the_same(tmp_path: Path) -> None:
    write_json(_result(), tmp_path / "loading.json")
    assert read_result(tmp_path / "loading.json") == _result()


def test_the_document_has_a_place_for_it() -> None:
    assert "LOADED" in with_section(load.DOCUMENT.read_text(encoding="utf-8"), load.NAME, "LOADED")


def test_every_contestant_has_a_script_and_pinned_requirements() -> None:
    for one in (*EVERYONE, CEILING):
        assert (SCRIPTS / f"{one.script}.py").is_file()
        if one.environment:
            lines = (REQUIREMENTS / f"{one.environment}.txt").read_text().splitlines()
            assert all("==" in line for line in lines if not line.startswith("#"))
            assert "qdrant-client==1.20.0" in lines


def test_points_are_the_same_in_every_run(tmp_path: Path) -> None:
    one, other = ensure_points(tmp_path / "a", 50), ensure_points(tmp_path / "b", 50)
    vectors = [np.load(points.folder / "vectors.npy") for points in (one, other)]
    assert vectors[0].shape == (50, DIM)
    assert vectors[0].dtype == np.float32
    assert np.array_equal(*vectors)
    texts = [(points.folder / "payloads.jsonl").read_text() for points in (one, other)]
    assert texts[0] == texts[1]
    payloads = [json.loads(line) for line in texts[0].splitlines()]
    assert [payload["passage_id"] for payload in payloads] == [str(number) for number in range(50)]
    assert one.payload_bytes == pytest.approx(len(texts[0]) / 50)


WORKER = "import time\nwhile time.process_time() < 0.3: pass"
STARTER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORKER!r}])"
LEADER = f"""
import os, subprocess, sys
os.setsid()
subprocess.run([sys.executable, "-c", {STARTER!r}])
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU times are read from Linux's /proc")
def test_the_cpu_time_of_workers_that_are_no_children_is_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", LEADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"done\n"
        assert cpu_of_session(leader.pid) >= 0.29
        assert os.getsid(leader.pid) == leader.pid
        leader.communicate()
