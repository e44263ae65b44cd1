"""Inputs that can't be stored: kept in a file, or the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Self

import orjson

from tasb_qdrant.errors import RejectedError, SettingsError
from tasb_qdrant.records import Reject


class RejectLog:
    """Takes rejects as they come: a JSONL file of {source, line, reason}, or RejectedError at the first.

    The file is made anew by each run, also when it stays empty, so that it never tells of an earlier one.
    """

    def __init__(self, path: Path | None, *, on_reject: Callable[[], None]) -> None:
        self._path = path
        self._on_reject = on_reject
        self._file: BinaryIO | None = None

    @property
    def name(self) -> str | None:
        """The file, for the report."""
        return None if self._path is None else str(self._path)

    def open(self, *, sources: Iterable[Path | str] = ()) -> None:
        """Make the file, unless it is one of the sources. Raises SettingsError."""
        if self._path is None:
            return
        if any(_same_file(self._path, source) for source in sources):
            raise SettingsError(f"--rejects {self._path} is a source, and would be overwritten; name another file")
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise SettingsError(f"--rejects {self._path}: can't be written ({error.strerror or error})") from error

    def add(self, reject: Reject) -> None:
        """Keep it, or raise RejectedError where there is nowhere to keep it."""
        if self._file is None:
            raise RejectedError(source=reject.source, line=reject.line, reason=reject.reason)
        self._file.write(orjson.dumps(asdict(reject), option=orjson.OPT_APPEND_NEWLINE))
        self._on_reject()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _same_file(path: Path, source: Path | str) -> bool:
    return path.exists() and Path(source).exists() and path.samefile(source)
