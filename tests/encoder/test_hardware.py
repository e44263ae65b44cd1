"""The device and precision are what was asked for, or what suits the machine, or a named error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasb_qdrant.encoder import hardware, load_encoder
from tasb_qdrant.encoder.hardware import choose_hardware, has_fast_bf16
from tasb_qdrant.errors import DeviceError, SettingsError


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("flags", "expected"), [("amx_bf16 amx_tile", True), ("avx512f avx512_bf16", True), ("avx512f avx2", False)]
)
def test_instructions_for_bf16_are_read_from_the_cpus_flags(tmp_path: Path, flags: str, expected: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu sse2 {flags} sha_ni\n")
    assert has_fast_bf16(cpuinfo) is expected
    assert has_fast_bf16(tmp_path / "none") is False


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_a_cpu_gets_bf16_only_where_it_is_fast(monkeypatch: pytest.MonkeyPatch, bf16: bool, precision: str) -> None:
    monkeypatch.setattr(hardware, "has_fast_bf16", lambda: bf16)
    chosen = choose_hardware("auto", "auto")
    assert (chosen.device, chosen.precision) == ("cpu", precision)
    assert precision in chosen.notes[0]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "fp16"), ((8, 9), "fp16"), ((9, 0), "bf16"), ((12, 0), "bf16")]
)
def test_a_gpu_gets_its_fastest_precision_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    chosen = choose_hardware("auto", "auto")
    assert (chosen.device, chosen.precision) == ("cuda:0", precision)
    assert f"Precision {precision}: " in chosen.notes[1]
    assert "GPU 0, one of 2: device cuda means all of them" in chosen.notes[0]
    assert choose_hardware("cuda", "fp32").device == "cuda:0"
    assert choose_hardware("cuda:1", "fp16").device == "cuda:1"


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_beyond_the_count_or_without_bf16_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"no device cuda:2 here: torch sees cuda:0 to cuda:1"):
        choose_hardware("cuda:2", "auto")
    with pytest.raises(DeviceError, match="cuda:1 can't compute in bf16"):
        choose_hardware("cuda:1", "bf16")


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match="torch sees no CUDA device; give --device auto or cpu"):
        choose_hardware("cuda", "auto")


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(DeviceError, match="fp16 needs a CUDA device; on a CPU give --precision fp32 or bf16"):
        choose_hardware("cpu", "fp16")


def test_names_that_no_machine_has_are_refused_before_anything_is_loaded() -> None:
    with pytest.raises(DeviceError, match="no device 'gpu'"):
        load_encoder("nobody/nothing", device="gpu")
    for precision in ("int4", "fp8"):
        known = "the precisions are auto, fp32, bf16, fp16, int8$"
        with pytest.raises(DeviceError, match=f"no precision '{precision}'; {known}"):
            load_encoder("nobody/nothing", precision=precision)
    with pytest.raises(SettingsError, match="batch_tokens must be at least 1, found 0"):
        load_encoder("nobody/nothing", batch_tokens=0)
