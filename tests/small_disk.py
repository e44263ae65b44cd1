"""A disk of a few megabytes of its own, where one can be mounted (that takes root)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

MIB: Final = 2**20

_IMAGE: Final = "400M"


class SmallDisk:
    """A mounted disk. `folder` is where; `kind` tmpfs or ext4."""

    def __init__(self, folder: Path, kind: str, free: float) -> None:
        self.folder = folder
        self._kind = kind
        self._ballast = folder / "ballast"
        if kind != "tmpfs":
            self._take(shutil.disk_usage(folder).free - int(free * MIB))

    def fill(self) -> None:
        """Leave no room at all."""
        with suppress(OSError), (self.folder / "filled").open("wb", buffering=0) as file:
            block = bytes(MIB)
            while True:
                if file.write(block) < len(block):
                    block = bytes(4096)

    def leave(self, free: float) -> None:
        """Leave so much room, in MiB, until `free`."""
        self._take(shutil.disk_usage(self.folder).free - int(free * MIB))

    def free(self) -> None:
        """Make plenty of room."""
        for name in ("filled", "ballast"):
            (self.folder / name).unlink(missing_ok=True)
        if self._kind == "tmpfs":
            subprocess.run(["mount", "-o", "remount,size=1g", str(self.folder)], check=True)

    def _take(self, number: int) -> None:
        subprocess.run(["fallocate", "--length", str(number), str(self._ballast)], check=True)


class NoDiskError(Exception):
    """None can be mounted here; the text says why."""


@contextmanager
def small_disk(folder: Path, *, kind: str, mebibytes: float) -> Iterator[SmallDisk]:
    """A disk with so much free, mounted on `folder`, and unmounted in the end. Raises NoDiskError."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_suffix(".img")
    if kind == "tmpfs":
        _run("mount", "-t", "tmpfs", "-o", f"size={int(mebibytes * 1024)}k", "tmpfs", str(folder))
    else:
        _run("truncate", "--size", _IMAGE, str(image))
        _run("mkfs.ext4", "-q", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(folder))
    try:
        yield SmallDisk(folder, kind, mebibytes)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        image.unlink(missing_ok=True)


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise NoDiskError(f"there is no {command[0]} here")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoDiskError(f"a disk can't be mounted here (that takes root): {done.stderr.strip()}")
