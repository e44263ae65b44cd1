"""Inputs that can't be stored: kept in a file, or the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, Self

from tasb_qdrant.errors import RejectedError, SettingsError, TooManyRejectsError
from tasb_qdrant.ingest.json_lines import JsonLines, LineKind
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.records import Reject
from tasb_qdrant.sources import SourceFile

REJECTS: Final = LineKind("--rejects", "a reject", "rejects", ("source", "line", "reason"))


class RejectLog:
    """Takes rejects as they come: a JSONL file of {source, line, reason}, or RejectedError at the first.

    Each run makes the file anew, even if it stays empty, so that it never holds an earlier run's; with `staged`,
    it is replaced when the source was read to its end. Repeated ids are found a window at a time, so they may stand
    a few lines below a later reject.
    """

    def __init__(
        self, path: Path | None, *, on_reject: Callable[[], None], limit: int | None = None, staged: bool = False
    ) -> None:
        self._file = None if path is None else JsonLines(path, REJECTS, staged=staged)
        self._on_reject = on_reject
        self._limit = limit
        self._kept = 0

    @property
    def own_file(self) -> Path | None:
        """The file, unless it holds something else: a source folder that contains it doesn't stand for it."""
        return None if self._file is None else self._file.own_path

    @property
    def name(self) -> str | None:
        """The file, for the report."""
        return None if self._file is None else str(self._file.path)

    def open(self, *, sources: Iterable[SourceFile] = ()) -> None:
        """Make the file, unless it is one of the sources. Raises SettingsError."""
        if self._file is not None:
            self._file.create(sources=sources)

    def add(self, reject: Reject) -> None:
        """Keep it; it is in the file on return. RejectedError if there is no file, SettingsError, and
        TooManyRejectsError at one more than the limit."""
        if self._file is None or not self._file.is_open:
            raise RejectedError(source=reject.source, line=reject.line, reason=reject.reason)
        self._file.write([asdict(reject)])
        # At once: the file must be whole when this process is killed, and full disks show here.
        self._file.flush()
        self._on_reject()
        self._kept += 1
        if self._limit is not None and self._kept > self._limit:
            raise TooManyRejectsError(limit=self._limit, rejects_file=str(self._file.path))

    def unwanted(self, places: Sequence[tuple[str, int]]) -> Collection[int]:
        """The rows, of inputs at these (source, line), that the run leaves out: none, unless it retries rejects."""
        return ()

    def complete(self, counters: Counters) -> None:
        """The source was read to its end: a staged file takes its place."""
        if self._file is not None:
            self._file.publish()

    def close(self) -> None:
        """Close the file. Raises SettingsError when what `add` couldn't write still can't be written."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except SettingsError:
            if kind is None:  # else the run has failed, of this or of something before it
                raise
