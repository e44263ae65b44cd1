"""A device is one name, or a list of those that can work together, or a named error."""

from __future__ import annotations

import pytest

from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder.devices import choose_devices, read_devices
from tasb_qdrant.encoder.hardware import choose_hardware
from tasb_qdrant.errors import DeviceError


def see_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("device", "names"),
    [
        ("cpu", ("cpu",)),
        ("auto", ("auto",)),
        ("cuda:3", ("cuda:3",)),
        ("cpu,cpu,cpu", ("cpu", "cpu", "cpu")),
        ("cuda:1, cuda:0", ("cuda:1", "cuda:0")),
    ],
)
def test_a_list_has_commas_and_keeps_its_order(device: str, names: tuple[str, ...]) -> None:
    assert read_devices(device) == names


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "no device 'gpu'; the devices are auto, cpu, cuda and cuda:N, or a list such as cuda:0,cuda:1"),
        ("cuda:0,", "no device ''"),
        ("", "no device ''"),
        ("cuda:0,cuda:x", "no device 'cuda:x'"),
        ("cuda:0,auto", "auto can't be in a list of devices"),
        ("cuda,cuda:1", "cuda can't be in a list of devices"),
        ("cpu,cuda:0", "cpu and cuda can't work together"),
        ("cuda:0,cuda:1,cuda:00", "cuda:0 is named twice"),
    ],
)
def test_lists_that_make_no_sense_are_refused_before_anything_is_loaded(device: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        load_encoder("nobody/nothing", device=device)


def test_cuda_is_all_gpus_where_there_are_several_and_auto_a_single_one(monkeypatch: pytest.MonkeyPatch) -> None:
    see_gpus(monkeypatch, 3)
    assert choose_devices("cuda") == ("cuda:0", "cuda:1", "cuda:2")
    assert choose_devices("auto") == ("auto",)
    for count in (1, 0):
        see_gpus(monkeypatch, count)
        assert choose_devices("cuda") == ("cuda",)


def test_every_gpu_of_a_list_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    see_gpus(monkeypatch, 2)
    assert choose_devices("cuda:1,cuda:0") == ("cuda:1", "cuda:0")
    assert choose_devices("cuda:1") == ("cuda:1",)
    with pytest.raises(DeviceError, match="no device cuda:2 here: torch sees cuda:0 to cuda:1"):
        choose_devices("cuda:0,cuda:2")


def test_a_list_is_never_taken_for_its_first_device(monkeypatch: pytest.MonkeyPatch) -> None:
    see_gpus(monkeypatch, 2)
    with pytest.raises(DeviceError, match="no device cuda:0,cuda:1 here"):
        choose_hardware("cuda:0,cuda:1", "fp32")
    with pytest.raises(DeviceError, match="no device cpu,cpu here"):
        choose_hardware("cpu,cpu", "fp32")
