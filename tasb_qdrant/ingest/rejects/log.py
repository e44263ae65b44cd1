"""Inputs that can't be stored: kept in a file, or the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Final, Self

import orjson

from tasb_qdrant.errors import RejectedError, SettingsError, TooManyRejectsError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.records import Reject

_LONGEST_REJECT: Final = 2**20


class RejectLog:
    """Takes rejects as they come: a JSONL file of {source, line, reason}, or RejectedError at the first.

    The file is made anew by each run, also when it stays empty, so that it never tells of an earlier one.
    Repeated ids are found a window at a time, so they may stand a few lines below a later reject.
    """

    def __init__(self, path: Path | None, *, on_reject: Callable[[], None], limit: int | None = None) -> None:
        self._path = path
        self._on_reject = on_reject
        self._limit = limit
        self._kept = 0
        self._file: BinaryIO | None = None

    @property
    def earlier(self) -> Path | None:
        """The file, where an earlier run made it: a folder that holds it doesn't mean it as a source."""
        return self._path if self._path is not None and holds_rejects(self._path) else None

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
        if self._path.is_file() and not holds_rejects(self._path):
            raise SettingsError(
                f"--rejects {self._path} is there, and holds something else than rejects, which would be overwritten; "
                "name another file"
            )
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, reject: Reject) -> None:
        """Keep it; it is in the file on return. RejectedError where there is no file, SettingsError, and
        TooManyRejectsError at one more than the limit."""
        if self._file is None:
            raise RejectedError(source=reject.source, line=reject.line, reason=reject.reason)
        try:
            self._file.write(orjson.dumps(asdict(reject), option=orjson.OPT_APPEND_NEWLINE))
            # At once: the file must be whole when this process is killed, and full disks show here.
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        self._on_reject()
        self._kept += 1
        if self._limit is not None and self._kept > self._limit:
            raise TooManyRejectsError(limit=self._limit, rejects_file=str(self._path))

    def unwanted(self, places: Sequence[tuple[str, int]]) -> Collection[int]:
        """The rows, of inputs at these (source, line), that the run isn't about: none, unless it retries rejects."""
        return ()

    def complete(self, counters: Counters) -> None:
        """The source was read to its end: nothing to do here."""

    def close(self) -> None:
        """Close the file. Raises SettingsError when what `add` couldn't write still can't be written."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except SettingsError:
            if kind is None:  # else the run has failed, of this or of something before it
                raise

    def _unwritable(self, error: OSError) -> SettingsError:
        return SettingsError(f"--rejects {self._path}: can't be written ({error.strerror or error}); name another file")


def holds_rejects(path: Path) -> bool:
    """Whether it is a file that a run wrote its rejects to: empty, or lines of source, line and reason."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            first = file.readline(_LONGEST_REJECT)
        return not first or set(orjson.loads(first)) == {"source", "line", "reason"}
    except (OSError, ValueError, TypeError):
        return False


def _same_file(path: Path, source: Path | str) -> bool:
    return path.exists() and Path(source).exists() and path.samefile(source)
