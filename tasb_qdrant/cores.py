"""How many cores this process may use: those of its affinity, as far as its control group's quota pays for them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

_GROUPS: Final = Path("/proc/self/cgroup")
_ROOT: Final = Path("/sys/fs/cgroup")


def cores() -> int:
    """Those that this process may use, at least 1; a quota of a part of one counts as a whole one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def is_limited() -> bool:
    """Whether a quota gives this process fewer cores than the machine has, as one does in most containers."""
    quota = cpu_quota()
    return quota is not None and quota < (os.cpu_count() or 1)


def cpu_quota(groups: Path = _GROUPS, root: Path = _ROOT) -> float | None:
    """Seconds of CPU in each second that the control groups of this process, and those above them, allow; None if they
    allow any number, and where there are none. See https://docs.kernel.org/admin-guide/cgroup-v2.html and
    https://docs.kernel.org/scheduler/sched-bwc.html."""
    try:
        lines = groups.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # another system than Linux
        return None
    found = [quota for line in lines for folder in _folders(line, root) if (quota := _quota(folder)) is not None]
    return min(found, default=None)


def _folders(line: str, root: Path) -> Iterator[Path]:
    """Of the group in a line of /proc/self/cgroup that may have a quota, and of all above it. A container sees its own
    group at the root, whatever its path is outside."""
    _, _, named = line.partition(":")
    controllers, _, path = named.partition(":")
    tops = [""] if not controllers else [controllers, "cpu"] if "cpu" in controllers.split(",") else []
    group = PurePosixPath(path.lstrip("/"))
    for top in tops:
        for each in (group, *group.parents):
            yield root / top / each


def _quota(folder: Path) -> float | None:
    """The quota of one group: version 2 has both numbers in a file, version 1 a file for each."""
    both = _numbers(folder / "cpu.max") or [
        *_numbers(folder / "cpu.cfs_quota_us"),
        *_numbers(folder / "cpu.cfs_period_us"),
    ]
    return both[0] / both[1] if len(both) == 2 and min(both) > 0 else None


def _numbers(file: Path) -> list[int]:
    """Those in a file; none if there is no such file, or no quota: "max" in version 2, while version 1 has -1."""
    try:
        return [int(each) for each in file.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []
