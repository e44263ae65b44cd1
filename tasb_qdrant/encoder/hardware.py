"""Which device and precision to use: those asked for, if the machine has them, or those that suit it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasb_qdrant.encoder.devices import check_number, read_devices
from tasb_qdrant.errors import DeviceError

PRECISIONS: Final = ("fp32", "bf16", "fp16", "int8")

CPU_BATCH_TOKENS: Final = 2048
"""Per torch thread; on 1 and 2 threads, batches of twice and of half as many tokens were 5% to 10% slower."""

CUDA_BATCH_TOKENS: Final = 65_536

_COOLER_BF16: Final = (9, 0)
"""The first compute capability where bf16 was measured to be faster than fp16 (Hopper)."""

_CPU_ALLOCATOR: Final = ("DefaultCPUAllocator", "not enough memory")


@dataclass(frozen=True, slots=True)
class Hardware:
    """A torch device ("cpu", "cuda:0"), and one of PRECISIONS that it supports."""

    device: str
    precision: str
    notes: tuple[str, ...]


def check_names(device: str, precision: str) -> None:
    """Raise DeviceError for names that no machine has. This doesn't need torch, so it costs nothing."""
    read_devices(device)
    if precision not in ("auto", *PRECISIONS):
        raise DeviceError(f"no precision {precision!r}; the precisions are auto, {', '.join(PRECISIONS)}")


def choose_hardware(device: str, precision: str) -> Hardware:
    """The single device and the precision to use here. Raises DeviceError naming what this machine has."""
    check_names(device, precision)
    chosen, device_note = _choose_device(device)
    notes = [device_note] if device_note else []
    if precision == "auto":
        precision, note = _suited_precision(chosen)
        notes.append(note)
    else:
        _check_precision(chosen, precision)
        if chosen == "cpu" and precision == "bf16" and not has_fast_bf16():
            notes.append("Precision bf16 was asked for; this CPU has no instructions for it, so fp32 may be faster.")
        if precision == "int8" and not _has_flag("amx_int8|avx512_vnni|avx_vnni"):
            notes.append("Precision int8 was asked for; this CPU has no VNNI, so fp32 may be faster.")
    return Hardware(chosen, precision, tuple(notes))


def has_fast_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU multiplies in bf16: tiles (AMX), 6 times as fast as fp32, or vectors (AVX512-BF16),
    where encoding is 1.9 times as fast.

    If there is no such file (macOS, Windows), the answer is no: fp32 works everywhere.
    """
    return _has_flag("amx_bf16|avx512_bf16", cpuinfo)


def _has_flag(names: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        return re.search(rf"\b({names})\b", cpuinfo.read_text()) is not None
    except OSError:
        return False


def default_batch_tokens(device: str) -> int:
    """How many tokens, padding included, suit one forward pass on `device`."""
    import torch

    return CPU_BATCH_TOKENS * torch.get_num_threads() if device == "cpu" else CUDA_BATCH_TOKENS


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may succeed. The CPU's allocator has no exception type of its own."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_ALLOCATOR)


def release_memory(device: str) -> None:
    """Release cached blocks, which may be too fragmented for the next, smaller batch."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _choose_device(device: str) -> tuple[str, str]:
    """(the device, a note or "")."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        more = f", one of {count}: device cuda means all of them" if count > 1 else ""
        return ("cuda:0", f"Device cuda:0: {torch.cuda.get_device_name(0)}{more}.") if count else ("cpu", "")
    if device == "cpu":
        return "cpu", ""
    return f"cuda:{check_number(device, count)}", ""


def _suited_precision(device: str) -> tuple[str, str]:
    if device != "cpu":
        import torch

        # As many products a second as fp16, at less power, and power is what limits these: 4% faster on an H200.
        if torch.cuda.get_device_capability(device) >= _COOLER_BF16:
            return "bf16", "Precision bf16: on this kind of GPU it is faster than fp16."
        return "fp16", "Precision fp16: the device is a GPU."
    if has_fast_bf16():
        return "bf16", "Precision bf16: this CPU has instructions for it."
    return "fp32", "Precision fp32: this CPU has no instructions for bf16."


def _check_precision(device: str, precision: str) -> None:
    import torch

    if device == "cpu" and precision == "fp16":
        raise DeviceError("fp16 needs a CUDA device; on a CPU give --precision fp32 or bf16")
    if device != "cpu" and precision == "int8":
        raise DeviceError(f"int8 is for CPUs, and the device is {device}; give --precision fp16, or --device cpu")
    if device != "cpu" and precision == "bf16" and not torch.cuda.is_bf16_supported():
        raise DeviceError(f"{device} can't compute in bf16; give --precision fp16 or fp32")
