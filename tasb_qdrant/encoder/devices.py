"""What devices a name, or a list of names, stands for."""

from __future__ import annotations

import re
from typing import Final

from tasb_qdrant.errors import DeviceError

_NAME: Final = re.compile(r"auto|cpu|cuda(?::(\d+))?", re.ASCII)


def read_devices(device: str) -> tuple[str, ...]:
    """The names in `device`: one name, or several separated by commas, all of them cpu or all different cuda:N.

    Raises DeviceError for names and lists that no machine has. This doesn't need torch, so it costs nothing.
    """
    names = tuple(name.strip() for name in device.split(","))
    for name in names:
        if not _NAME.fullmatch(name):
            raise DeviceError(
                f"no device {name!r}; the devices are auto, cpu, cuda and cuda:N, or a list such as cuda:0,cuda:1"
            )
    if len(names) == 1 or set(names) == {"cpu"}:
        return names
    if unnumbered := next((name for name in names if name in ("auto", "cuda")), None):
        raise DeviceError(
            f"{unnumbered} can't be in a list of devices ({device}); give it alone, or number each: cuda:0"
        )
    if "cpu" in names:
        raise DeviceError(f"cpu and cuda can't work together ({device}); give the CUDA devices alone")
    numbered = tuple(f"cuda:{int(name.removeprefix('cuda:'))}" for name in names)
    if twice := next((name for name in numbered if numbered.count(name) > 1), None):
        raise DeviceError(f"{twice} is named twice ({device}); name each device once")
    return numbered


def choose_devices(device: str) -> tuple[str, ...]:
    """The devices that `device` stands for on this machine: those it lists, every GPU for "cuda" if torch sees
    several, otherwise the name itself ("auto" leaves other people's GPUs alone). Raises DeviceError naming what
    this machine has."""
    names = read_devices(device)
    if names[0] == "cpu" or (len(names) == 1 and names != ("cuda",)):
        return names  # without torch, which is then imported while the weights are hashed
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if names == ("cuda",) and count > 1:
        return tuple(f"cuda:{number}" for number in range(count))
    if len(names) > 1:
        for name in names:
            check_number(name, count)
    return names


def single_gpu(devices: tuple[str, ...]) -> str | None:
    """The GPU, by its number, if the chosen device is one; None for the CPU, or several."""
    if len(devices) > 1 or devices == ("cpu",):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return f"cuda:{check_number('cuda' if devices[0] == 'auto' else devices[0], torch.cuda.device_count())}"


def check_number(name: str, count: int) -> int:
    """N of "cuda:N", 0 of "cuda". Raises DeviceError unless there are more than N devices."""
    match = _NAME.fullmatch(name)
    number = int(match.group(1) or 0) if match else 0
    if match is None or number >= count:
        here = f"cuda:0 to cuda:{count - 1}" if count > 1 else "cuda:0" if count else "no CUDA device"
        raise DeviceError(f"no device {name} here: torch sees {here}; give --device auto or cpu")
    return number
