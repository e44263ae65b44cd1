"""The benchmark of the whole way: our commands, its tables, what it does without time or a network."""

from __future__ import annotations

import lzma
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import ingest
from benchmarks.ingesting import bundle, bundled, turns
from benchmarks.ingesting.commands import WORKERS, Program
from benchmarks.ingesting.contestants import OURS, SCRIPTS, cpu_peers, cuda_peers
from benchmarks.ingesting.corpus import write_source
from benchmarks.ingesting.peers.reading import parts
from benchmarks.ingesting.report import quick_lines, render
from benchmarks.ingesting.results import (
    AGAIN,
    EMBEDDED,
    SEARCHABLE,
    STARTED,
    STORED,
    VERIFIED,
    Entry,
    Result,
    Run,
    read_result,
)
from benchmarks.ingesting.stages import TOKENS
from benchmarks.ingesting.turns import Ours, Task
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.document import with_section
from benchmarks.running.kept import write_json
from benchmarks.running.machine import Machine
from benchmarks.running.processes import Session
from benchmarks.searching.contestants import REQUIREMENTS
from tests.models import TOKENIZER_FILES

FAKE = (sys.executable, str(Path(__file__).with_name("fake_program.py")))


def _runs(number: int) -> list[Run]:
    """The start's 100 passages cost 1 s of the main process, and the next 900 another 9 ms."""
    slower = 1 + number
    return [
        Run(STARTED, number, 100, 6.0, 1.0, 1.0, 2.0, 0.5, 4, 900.0),
        Run(STORED, number, 1_000, 25.0, 0.02 * slower, 1.009, 2.018, 0.545, 5, 1_000.0),
        Run(AGAIN, number, 1_000, 6.0, 0.01 * slower),
        Run(VERIFIED, number, 1_000, 6.0, 0.01 * slower),
        Run(SEARCHABLE, number, 1_000, 30.0, 10.0 * slower),
        Run(EMBEDDED, number, 1_000, 30.0, 0.05 * slower),
    ]


def _result(device: str = "cuda") -> Result:
    peer = Entry("st-fp16", "the peer")
    for number in range(2):
        peer.runs += [
            Run(STORED, number, 100, 9.0, 0.04 * (1 + number), 0.02, 0.03),
            Run(SEARCHABLE, number, 100, 9, 4),
        ]
    return Result(
        date="2026-11-27",
        commit="abc1234",
        minutes=6.0,
        device=device,
        machine=Machine("A card, a processor", 16, 126.0, "6.0", "3.12.3"),
        server="1.17.0",
        source="made-up passages",
        mean_tokens=75.0,
        layers=6,
        passages=1_000,
        workers="8",
        shards=4,
        entries=[
            Entry(OURS, "the ours", runs=[*_runs(0), *_runs(1)]),
            peer,
            Entry("langchain", "LangChain", "no such"),
        ],
        stages={"reading and checking": 81_700.0, TOKENS: 62_500.0},
        server_rate=100_000.0,
        packages={"st-fp16": {"torch": "2.11.0", "click": "8"}},
        skipped=["tasb-qdrant, verify"],
    )


def test_the_targets_of_a_gpu_are_judged_by_the_median_of_the_rounds() -> None:
    lines = render(_result()).splitlines()
    for line in (
        "| text to stored | ≥ 50,000 passages/s | 37,500 (25,000 to 50,000) | not reached |",
        "| text to stored | ≥ 0.7 of the encoder's own speed | 0.60 (0.40 to 0.80) | not reached |",
        "| start-up | ≤ 8 s | 5.0 | reached |",
        "| the same again, nothing new | ≥ 60,000 passages/s | 75,000 (50,000 to 100,000) | reached |",
        "| verify | ≥ 50,000 passages/s | 75,000 (50,000 to 100,000) | reached |",
        "| embedded store | ≥ 15,000 passages/s | 15,000 (10,000 to 20,000) | reached |",
        "| host memory | ≤ 6 GB | 1.0 | reached |",
    ):
        assert line in lines


def test_on_a_cpu_the_slowest_stage_is_what_counts() -> None:
    result = _result("cpu")
    result.stages[TOKENS] = 40_000.0
    assert "| text to stored | ≥ 1/1.1 of the slowest stage alone | 0.94 (0.62 to 1.25) | reached |" in render(result)


def test_the_cpu_of_a_passage_is_what_a_run_takes_beyond_a_start() -> None:
    row = next(line for line in render(_result()).splitlines() if line.startswith("| text to stored | 37,500"))
    assert row.split(" | ")[5:8] == ["10", "20", "50"]


def test_peers_are_compared_round_by_round_and_what_failed_or_was_left_out_is_told() -> None:
    text = render(_result())
    assert "| the peer | 1,875 | 20.00 | 3.00 (2.00 to 4.00) | 500 | 100 |" in text
    assert "LangChain failed: no such" in text
    assert "There was no time for: tasb-qdrant, verify." in text
    assert "torch 2.11.0" in text
    assert "click" not in text
    assert "`--workers 8`. Collections have 4 shards." in text
    assert "langchain failed: no such" in quick_lines(_result())


def test_a_result_of_which_nothing_was_measured_is_rendered_too() -> None:
    result = _result()
    result.entries, result.stages, result.server_rate = [Entry(OURS, "the ours")], {}, 0.0
    assert "Measured 2026-11-27" in render(result)
    assert quick_lines(result)


def test_a_kept_result_reads_back_the_same(tmp_path: Path) -> None:
    write_json(_result(), tmp_path / "ingest.json")
    assert read_result(tmp_path / "ingest.json") == _result()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_document_has_a_place_for_it(device: str) -> None:
    section = ingest.section_of(_result(device))
    assert "INGESTED" in with_section(ingest.DOCUMENT.read_text(encoding="utf-8"), section, "INGESTED")


def test_every_peer_has_a_script_and_pinned_requirements_and_is_found_by_name() -> None:
    for one in (*cpu_peers(bf16=True), *cuda_peers()):
        assert (SCRIPTS / f"{one.script}.py").is_file()
        lines = (REQUIREMENTS / f"{one.environment}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
    asked = SimpleNamespace(device="cuda", peers=["st-flash"])
    assert [one.name for one in ingest.chosen(asked)] == ["st-flash"]  # type: ignore[arg-type]
    assert ingest.chosen(SimpleNamespace(device="cpu", peers=["none"])) == []  # type: ignore[arg-type]
    with pytest.raises(ContestantFailedError, match="no peer nobody; there are st-fp16"):
        ingest.chosen(SimpleNamespace(device="cuda", peers=["nobody"]))  # type: ignore[arg-type]


def test_peers_read_the_same_passages_as_we_do(tmp_path: Path) -> None:
    source = write_source(tmp_path, ["one  text", "two\ttexts"], 5)
    assert source.read_text() == "0\tone text\n1\ttwo texts\n2\tone text\n3\ttwo texts\n4\tone text\n"
    found = list(parts(str(source), 4, 3))
    assert [start for start, _ in found] == [0, 3]
    assert found[1][1] == [("3", "two texts")]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "log", FAKE)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU times are read from Linux's /proc")
def test_a_command_is_timed_by_its_own_report_and_its_failure_is_told(program: Program, tmp_path: Path) -> None:
    source = write_source(tmp_path, ["text"], 8)
    run, answer = program.run(STORED, number=1, arguments=["ingest", str(source)], server=os.getpid())
    assert (run.work, run.round, run.passages, run.busy_s, answer["seconds"]) == (STORED, 1, 8, 2.0, 4.0)
    assert run.server_cpu_s >= 0
    assert program.takes(["ingest"], WORKERS)
    assert not program.takes(["ingest"], "--nothing")
    with pytest.raises(ContestantFailedError, match="tasb-qdrant broken ended with 1, see"):
        program.run(STORED, number=0, arguments=["broken"], server=None)
    assert "it is broken" in program.log.read_text()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU times are read from Linux's /proc")
def test_processes_of_a_session_keep_their_cpu_when_they_have_ended() -> None:
    session = Session(os.getsid(0), cpu_s={-1: 2.5})
    session.look()
    assert session.processes >= 1
    assert session.memory_mib > 0
    assert session.children_cpu_s >= 2.5


@contextmanager
def _no_server(folder: Path) -> Iterator[Any]:
    yield SimpleNamespace(url="http://127.0.0.1:1", grpc_port=2, process=SimpleNamespace(pid=os.getpid()))


def _ours(program: Program, folder: Path, runs: list[Run], goes_on: Callable[[str], bool]) -> Ours:
    source = write_source(folder, ["text"], 8)
    task = Task(source, 8, 2, folder / "model", "cpu", "2")
    return Ours(program, task, folder, runs.append, goes_on)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU times are read from Linux's /proc")
def test_our_commands_run_one_after_another_and_those_without_time_are_left_out(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "fresh_server", _no_server)
    monkeypatch.setattr(turns, "_shards", lambda server: 3)
    runs: list[Run] = []
    asked: list[str] = []

    def goes_on(step: str) -> bool:
        asked.append(step)
        return "verify" not in step

    ours = _ours(program, tmp_path, runs, goes_on)
    assert ours.at_server(1) == 3
    ours.embedded(1)
    assert [run.work for run in runs] == [STARTED, STORED, AGAIN, SEARCHABLE, EMBEDDED]
    assert [run.passages for run in runs] == [2, 8, 8, 8, 8]
    assert [run.busy_s for run in runs] == [0.5, 2.0, 2.0, 4.0, 2.0]  # the last but one with its index
    assert any("verify" in step for step in asked)


def test_no_step_begins_after_the_time_is_over_and_all_that_was_measured_is_kept(tmp_path: Path) -> None:
    result = _result()
    course = ingest.Course(result, tmp_path / "kept.json", minutes=0.0)
    assert not course.goes_on("the last step")
    assert result.skipped[-1] == "the last step"
    course.minutes = 60.0
    entry = Entry("peer", "a peer")
    course.attempt(entry, "a turn", lambda: [Run(STORED, 0, 1, 1.0, 1.0)])

    def fails() -> list[Run]:
        raise ContestantFailedError("ImportError: flash_attn")

    course.attempt(entry, "another", fails)
    course.attempt(entry, "a third", lambda: pytest.fail("whoever has failed isn't asked again"))
    assert (len(entry.runs), entry.failure) == (1, "ImportError: flash_attn")
    assert read_result(tmp_path / "kept.json").skipped[-1] == "the last step"


def test_workers_that_ingest_does_not_know_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ingest", "--workers", "4", "--build", str(tmp_path)])
    monkeypatch.setattr(Program, "takes", lambda *_: False)
    assert ingest.main() == 1
    assert capsys.readouterr().err == "this ingest has no option --workers; leave it out here, too\n"


def test_what_was_bundled_is_unpacked_for_a_machine_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, data = tmp_path / "made", tmp_path / "data" / bundled.POOL
    data.mkdir(parents=True)
    (data / bundled.CORPUS).write_text('{"text": "one"}\n')
    monkeypatch.setenv("TASB_QDRANT_DATA", str(data.parent))
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    binary = tmp_path / "qdrant"
    binary.write_text("#!/bin/sh\necho 1.17.0\n")
    monkeypatch.setattr(bundle, "executable", lambda version: binary)
    monkeypatch.setattr(bundle, "_STRIP", "no-such-program")
    monkeypatch.setattr(bundle, "_download", lambda wheels, python: wheels.mkdir())
    model = tmp_path / "tokenizer"
    model.mkdir()
    for name in TOKENIZER_FILES:
        (model / name).write_text(name)
    monkeypatch.setattr(bundle, "minilm_folder", lambda: model)
    bundle.make(made, python="3.12")
    found = bundled.unpack(made, tmp_path / "work")
    assert Path(found["QDRANT_BINARY"]).read_bytes() == binary.read_bytes()
    assert os.access(found["QDRANT_BINARY"], os.X_OK)
    assert (Path(found["TASB_QDRANT_DATA"]) / bundled.POOL / bundled.CORPUS).read_text() == '{"text": "one"}\n'
    site, tokenizer, other = found["PYTHONPATH"].split(os.pathsep)
    assert other == "/elsewhere"
    assert site.endswith("site")
    assert (Path(tokenizer) / bundled.PACKAGE / "model" / "vocab.txt").read_text() == "vocab.txt"
    compiled = compile((Path(tokenizer) / bundled.PACKAGE / "__init__.py").read_text(), "stub", "exec")
    stub: dict[str, Any] = {"__file__": f"{tokenizer}/{bundled.PACKAGE}/__init__.py"}
    exec(compiled, stub)
    assert Path(stub["get_model_path"]()).is_dir()
    assert lzma.decompress((made / bundled.QDRANT).read_bytes()) == binary.read_bytes()


def test_without_a_bundle_one_line_says_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bundled"])
    assert bundled.main() == 2
    assert capsys.readouterr().err.startswith("expected a folder that benchmarks.ingesting.bundle has made")


def test_the_bundle_pins_what_it_takes() -> None:
    pinned = {
        line.split("==")[0].replace("_", "-").lower() for line in Path("constraints.txt").read_text().splitlines()
    }
    for line in bundle.REQUIREMENTS.read_text().splitlines():
        assert line.startswith("#") or "==" in line or line in pinned, line
