"""What processes use, as Linux's /proc tells: seconds of CPU, memory, and what a folder takes of the disk."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS: Final = 0.25


@dataclass(slots=True)
class Peaks:
    """MiB: memory that is the process's own (without files that it maps), and what a folder takes of the disk."""

    memory_mib: float = 0.0
    disk_mib: float = 0.0


@dataclass(slots=True)
class Session:
    """The processes of a session, by their numbers: the CPU seconds that each has used so far or in the end, the most
    processes at once, and the most memory of all together, where what they share counts once."""

    leader: int
    cpu_s: dict[int, float] = field(default_factory=dict)
    processes: int = 0
    memory_mib: float = 0.0

    @property
    def main_cpu_s(self) -> float:
        """Of the process that leads it."""
        return self.cpu_s.get(self.leader, 0.0)

    @property
    def children_cpu_s(self) -> float:
        """Of all others."""
        return sum(self.cpu_s.values()) - self.main_cpu_s

    def look(self) -> None:
        """Note what is there now; those that have ended keep what was seen of them last."""
        living = _members(self.leader)
        self.cpu_s = {**self.cpu_s, **living}  # another thread may be adding up the old one
        self.processes = max(self.processes, len(living))
        self.memory_mib = max(self.memory_mib, sum(map(_share_of_memory, living)))


def cpu_of(pid: int) -> float:
    """Seconds of CPU that the process has used."""
    return _own_cpu(_stat(pid))


def cpu_of_session(session: int) -> float:
    """Seconds of CPU that the processes of a session have used, including those that have ended.

    A contestant is the leader of a session; its workers are in it, but needn't be its children.
    """
    found = (fields for _, fields in _all_processes() if int(fields[3]) == session)
    return sum(sum(int(field) for field in fields[11:15]) / _TICK for fields in found)


def disk_mib(folder: Path) -> float:
    """What the files below the folder take; some may go while they are counted."""
    taken = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                taken += os.lstat(os.path.join(path, name)).st_blocks * 512
    return taken / 2**20


@contextmanager
def watched(pid: int, folder: Path) -> Iterator[Peaks]:
    """The peaks of the process and the folder while the block runs."""
    peaks = Peaks()

    def look() -> None:
        with suppress(OSError):  # the process has just ended
            peaks.memory_mib = max(peaks.memory_mib, _own_memory(pid))
        peaks.disk_mib = max(peaks.disk_mib, disk_mib(folder))

    with looking(look):
        yield peaks


@contextmanager
def looking(look: Callable[[], None]) -> Iterator[None]:
    """Look several times a second while the block runs, and once after it."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(_LOOK_SECONDS):
            look()
        look()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _members(session: int) -> dict[int, float]:
    """The CPU seconds of each process of a session that lives."""
    return {pid: _own_cpu(fields) for pid, fields in _all_processes() if int(fields[3]) == session}


def _all_processes() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has just ended
                yield int(entry.name), _stat(int(entry.name))


def _own_cpu(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / _TICK


def _own_memory(pid: int) -> float:
    return _mib(Path(f"/proc/{pid}/status"), "RssAnon")


def _share_of_memory(pid: int) -> float:
    try:
        return _mib(Path(f"/proc/{pid}/smaps_rollup"), "Pss")
    except OSError:  # it has just ended
        return 0.0


def _mib(file: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces: state, parent, group, session, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
