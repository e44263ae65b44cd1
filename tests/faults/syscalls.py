"""Our own files failing: the nth call on them that reaches the system raises an OSError.

The calls are Python's (`os`, and the raw files below `open`), since those of the engine and of SQLite go
their own way. Only paths below `watched` count: the program's own files, and not its libraries'.
"""

from __future__ import annotations

import atexit
import builtins
import io
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_BY_PATH: Final = ("open", "mkdir", "rmdir", "unlink", "rename", "replace", "listdir", "scandir", "truncate", "chmod")
_BY_DESCRIPTOR: Final = ("write", "read", "fsync", "fdatasync", "ftruncate", "fchmod")


def fail(watched: Sequence[str], nth: int, error: int, lasting: bool, count: str) -> None:
    """A hook: the nth call fails with this errno, with `lasting` all later ones, too; none does where it is 0.

    The number of calls is written to the file `count` at the end.
    """
    calls = _Calls(watched, nth, error, lasting)
    if count:
        atexit.register(lambda: Path(count).write_text(str(calls.number)))
    for name in _BY_PATH:
        setattr(os, name, _counting(getattr(os, name), calls.at_path))
    for name in _BY_DESCRIPTOR:
        setattr(os, name, _counting(getattr(os, name), calls.at_descriptor))
    io.open = builtins.open = _opening(builtins.open, calls)


class _Calls:
    def __init__(self, watched: Sequence[str], nth: int, error: int, lasting: bool) -> None:
        self._watched = tuple(os.path.abspath(path) for path in watched)
        self._nth, self._error, self._lasting = nth, error, lasting
        self._lock = threading.Lock()
        self.number = 0

    def is_watched(self, path: object) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        name = os.path.abspath(os.fspath(path))
        return any(name == one or name.startswith(f"{one}/") for one in self._watched) and "/shard" not in name

    def at_path(self, path: object) -> None:
        if self.is_watched(path):
            self.tick(str(path))

    def at_descriptor(self, descriptor: object) -> None:
        with suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if not self.is_watched(path):
                return
        self.tick(path)

    def tick(self, path: str) -> None:
        with self._lock:
            self.number += 1
            due = self.number == self._nth or (self._lasting and self.number > self._nth > 0)
        if due and self._error:
            raise OSError(self._error, os.strerror(self._error), path)


def _counting(original: Callable[..., Any], count: Callable[[object], None]) -> Callable[..., Any]:
    def call(first: Any, *rest: Any, **options: Any) -> Any:
        count(first)
        return original(first, *rest, **options)

    return call


class _Raw(io.FileIO):
    """A file whose every read and write is a call that counts."""

    def __init__(self, path: Any, mode: str, calls: _Calls) -> None:
        self._calls, self._path = calls, os.fspath(path)
        super().__init__(path, mode)

    def write(self, data: Any, /) -> int:
        self._calls.tick(self._path)
        return super().write(data)

    def readinto(self, buffer: Any, /) -> int:
        self._calls.tick(self._path)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self._calls.tick(self._path)
        return super().readall()


def _opening(original: Callable[..., Any], calls: _Calls) -> Callable[..., Any]:
    def open_(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
        if not calls.is_watched(file):
            return original(file, mode, buffering, *rest, **options)
        calls.at_path(file)
        raw = _Raw(file, mode.replace("b", "").replace("t", ""), calls)
        if buffering == 0:
            return raw
        reads, writes = raw.readable(), raw.writable()
        buffered: Any = (io.BufferedRandom if reads and writes else io.BufferedReader if reads else io.BufferedWriter)(
            raw
        )
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **options)

    return open_
