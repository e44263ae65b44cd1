"""What a result says about where and when it was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_CARD = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'no:' + torch.__version__)"


@dataclass(frozen=True, slots=True)
class Machine:
    name: str
    threads: int
    memory_gib: float
    kernel: str
    python: str
    amx: bool = False


class NoGpuError(Exception):
    """torch sees no CUDA device."""


def gpu_name() -> str:
    """The first card's name, asked in another process: the runner itself never imports torch.

    Raises NoGpuError."""
    said = subprocess.run([sys.executable, "-c", _CARD], capture_output=True, text=True, check=True).stdout.strip()
    if said.startswith("no:"):
        raise NoGpuError(f"expected a CUDA device, torch {said[3:]} sees none; run this where there is an NVIDIA GPU")
    return said


def describe(card: str = "") -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    name = f"{card}, {cpu_name()}" if card else cpu_name()
    amx = "amx_bf16" in name
    return Machine(name, available_threads(), memory, platform.release(), platform.python_version(), amx)


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model, with the number that distinguishes equal names, and the instruction sets that matter."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", text, re.MULTILINE))
    flags = [
        flag
        for flag in ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")
        if re.search(rf"\b{flag}\b", text)
    ]
    told = f" (family {fields['cpu family']}, model {fields['model']})" if "model" in fields else ""
    return f"{fields.get('model name', platform.machine())}{told} with {', '.join(flags) or 'no vector extensions'}"


def commit(root: Path) -> str:
    """The short hash, with "+" if the working tree differs from it; "unknown" outside git."""
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=root, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def available_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
