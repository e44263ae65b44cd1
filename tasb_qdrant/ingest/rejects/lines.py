"""Rejects as a source: the lines that a rejects file names, after they or the options were corrected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from tasb_qdrant.errors import SettingsError


class RejectedLines:
    """A source of `ingest`: the lines named in a rejects file, which is replaced by what is still rejected.

    The sources are read from their first line on, since an id is to be unique among all of their passages, but
    only the lines that the file names are stored and counted. Raises SettingsError for a file of anything else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.places = frozenset(_places(self.path))
        self.sources: Sequence[str] = sorted({source for source, _ in self.places})
        if unnamed := [source for source in self.sources if source.startswith("<")]:
            raise SettingsError(
                f"{self.path}: some came from {unnamed[0]}, which can't be read again; ingest that anew with --rejects"
            )


def _places(path: Path) -> Iterator[tuple[str, int]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SettingsError(f"{path}: can't be read ({error.strerror}); name a file that --rejects made") from error
    for number, line in enumerate(lines, 1):
        try:
            reject = orjson.loads(line)
            source, at = reject["source"], reject["line"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            source = at = None
        if not isinstance(source, str) or not isinstance(at, int):
            raise SettingsError(
                f"{path}:{number}: expected a reject (source, line, reason); name a file that --rejects made"
            )
        yield source, at
