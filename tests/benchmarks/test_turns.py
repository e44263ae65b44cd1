"""Tuning looks where it pays, and agreement sees direction and length."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.encode import main
from benchmarks.encoding.contestants import BASE, OURS, TRUTH, cpu_contestants, cuda_contestants
from benchmarks.encoding.environments import REQUIREMENTS, SCRIPTS, python_of
from benchmarks.encoding.results import Trial
from benchmarks.encoding.turns import agreement, climb
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.environments import offline
from benchmarks.running.machine import cpu_name


@pytest.mark.parametrize(
    ("seconds", "tried"),
    [
        ({8: 5, 16: 4, 32: 3, 64: 2, 128: 1}, [32, 64, 128, 16]),
        ({8: 1, 16: 2, 32: 3, 64: 4, 128: 5}, [32, 64, 16, 8]),
        ({8: 5, 16: 4, 32: 3, 64: 4, 128: 5}, [32, 64, 16]),
    ],
)
def test_batch_sizes_are_tried_outwards_as_long_as_it_gets_faster(seconds: dict[int, float], tried: list[int]) -> None:
    trials = climb(lambda size: Trial(2, size, 10, seconds[size]), sorted(seconds))
    assert [trial.batch for trial in trials] == tried


def test_agreement_is_the_lowest_cosine_and_the_worst_ratio_of_lengths() -> None:
    truth = np.array([[1, 0], [0, 2], [3, 4]], dtype=np.float32)
    assert agreement(truth, truth) == pytest.approx((1.0, 1.0))
    found = np.array([[2, 0], [0, 2], [4, 3]], dtype=np.float32)
    assert agreement(found, truth) == pytest.approx((24 / 25, 2.0))
    assert agreement(found[:, :1], truth) == (0.0, 0.0)


def test_every_contestant_has_a_script_and_pinned_requirements() -> None:
    everyone = [*cpu_contestants(bf16=True), *cuda_contestants()]
    for one in everyone:
        assert (SCRIPTS / f"{one.script}.py").is_file()
        assert one.ours or "==" in (REQUIREMENTS / f"{one.environment}.txt").read_text()
    for names in ([one.name for one in cpu_contestants(bf16=True)], [one.name for one in cuda_contestants()]):
        assert len(set(names)) == len(names)
        assert {OURS, BASE, TRUTH} <= set(names)


def test_on_a_cpu_without_bf16_nothing_is_called_so_by_default() -> None:
    precisions = {one.name: one.precision for one in cpu_contestants(bf16=False)}
    assert precisions[OURS] == precisions["st-openvino"] == "fp32"
    assert "ours-fp32" not in precisions


def test_peers_packages_are_pinned_and_none_is_for_cuda() -> None:
    for path in REQUIREMENTS.glob("*.txt"):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert all("==" in line and "+" not in line for line in lines), path
        assert not any("nvidia" in line or "cuda" in line or "triton" in line for line in lines), path


def test_a_peer_never_sees_our_import_paths_nor_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert "PYTHONPATH" not in offline()
    assert offline(ONEDNN_MAX_CPU_ISA="AVX512_CORE")["ONEDNN_MAX_CPU_ISA"] == "AVX512_CORE"
    assert offline()["HF_HUB_OFFLINE"] == "1"


def test_an_environment_that_cannot_be_made_is_the_peers_failure(tmp_path: Path) -> None:
    (tmp_path / "langchain").write_text("a file where the folder should be")
    peer = next(one for one in cpu_contestants(bf16=True) if one.name == "langchain")
    with pytest.raises(ContestantFailedError, match="langchain"):
        python_of(peer, tmp_path)


def test_a_cpu_is_told_with_its_model_number_and_instructions(tmp_path: Path) -> None:
    told = "model name\t: A CPU\ncpu family\t: 6\nmodel\t\t: 143\nflags\t\t: fpu avx2 avx512f amx_bf16\n"
    (tmp_path / "cpuinfo").write_text(told)
    assert cpu_name(tmp_path / "cpuinfo") == "A CPU (family 6, model 143) with amx_bf16, avx512f, avx2"


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU here")
def test_a_gpu_that_is_not_there_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["encode", "--device", "cuda"])
    assert main() == 1
    said = capsys.readouterr()
    assert said.err.startswith("expected a CUDA device, torch ")
    assert len(said.err.splitlines()) == 1
    assert not said.out


def test_names_of_peers_that_do_not_exist_are_refused_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["encode", "--peers", "st-fp32,nobody"])
    assert main() == 1
    assert capsys.readouterr().err.startswith("no peer nobody; there are ours-auto, ")
