"""Rejects as a source: the lines that a rejects file names, after they or the options were corrected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.json_lines import JsonLines
from tasb_qdrant.ingest.rejects.log import REJECTS
from tasb_qdrant.records.json_text import file_name
from tasb_qdrant.sources.remote.url import HIDDEN


class RejectedLines:
    """A source of `ingest`: the lines named in a rejects file, which is replaced by what is still rejected.

    The sources are read from their first line on, since an id must be unique among all of their passages, but
    only the lines that the file names are stored and counted. Raises SettingsError for any other kind of file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.places = frozenset(_places(JsonLines(self.path, REJECTS)))
        self.sources: Sequence[str] = sorted({source for source, _ in self.places})
        if unnamed := [source for source in self.sources if source.startswith("<") or source.endswith(HIDDEN)]:
            raise SettingsError(
                f"{self.path}: some rejects came from {unnamed[0]}, which can't be read again; "
                "ingest that anew with --rejects"
            )


def _places(file: JsonLines) -> Iterator[tuple[str, int]]:
    for number, reject in file.read():
        source, line = reject.get("source"), reject.get("line")
        if not isinstance(source, str) or not isinstance(line, int):
            raise file.unexpected(number)
        yield source if Path(source).exists() else file_name(source), line
