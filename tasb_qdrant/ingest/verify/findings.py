"""What differs between a source and a collection: counted, the first named, all of it in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final, Self

import orjson

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.read.idset import IdSet

EXAMPLES: Final = 10
"""How many ids of a kind the report itself names."""

_FIELDS: Final = frozenset({"kind", "id", "point", "where"})


class Kind(StrEnum):
    """How an id differs. A text or a vector needs encoding, a payload doesn't."""

    MISSING = "missing"
    EXTRA = "extra"
    DUPLICATE = "duplicate"
    TEXT = "text"
    PAYLOAD = "payload"
    VECTOR = "vector"


ENCODE: Final = (Kind.MISSING, Kind.TEXT, Kind.VECTOR)
"""What encoding and storing a passage again repairs."""


class Findings:
    """Takes findings as they come. The sets of ids spill to disk; `report` gets a JSON line for each."""

    def __init__(self, report: Path | None = None) -> None:
        self._report = report
        self._file: BinaryIO | None = None
        self._ids = {kind: IdSet() for kind in Kind}
        self._examples: dict[Kind, list[str]] = {kind: [] for kind in Kind}

    @property
    def report_file(self) -> str | None:
        """The file, for the report."""
        return None if self._report is None else str(self._report)

    def open_report(self, sources: Iterable[Path | str]) -> None:
        """Make the file, unless that would overwrite something else. Raises SettingsError."""
        if self._report is None:
            return
        if any(Path(source).exists() and self._report.exists() and self._report.samefile(source) for source in sources):
            raise SettingsError(f"--report {self._report} is a source, and would be overwritten; name another file")
        if self._report.exists() and not _holds_findings(self._report):
            raise SettingsError(
                f"--report {self._report} is there, and holds something else than such a report, which would be "
                "overwritten; name another file"
            )
        try:
            self._file = self._report.open("wb")
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, kind: Kind, ids: Mapping[PointId, str], *, where: str = "") -> None:
        """Count these: point id -> the name for a person, its passage id where that is known."""
        if not ids:
            return
        new = set(ids) if not len(self._ids[kind]) else set(ids) - self._ids[kind].among(list(ids))
        self._ids[kind].add(new)
        for point_id, name in ids.items():
            if len(self._examples[kind]) == EXAMPLES:
                break
            if point_id in new:
                self._examples[kind].append(f"{name} ({where})" if where else name)
        if self._file is not None:
            lines = ({"kind": kind, "id": name, "point": one, "where": where} for one, name in ids.items())
            try:
                self._file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
            except OSError as error:
                raise self._unwritable(error) from error

    def count(self, kind: Kind) -> int:
        """Ids of this kind."""
        return len(self._ids[kind])

    def ids(self, kind: Kind) -> IdSet:
        """The ids of this kind themselves."""
        return self._ids[kind]

    def among(self, kinds: Iterable[Kind], ids: list[PointId]) -> set[PointId]:
        """Those of the ids that are of one of these kinds."""
        found: set[PointId] = set()
        for kind in kinds:
            found |= self._ids[kind].among(ids)
        return found

    def examples(self) -> dict[str, tuple[str, ...]]:
        """The first ids of each kind that there are."""
        return {kind.value: tuple(names) for kind, names in self._examples.items() if names}

    def close(self) -> None:
        """Finish the file and forget the ids. Raises SettingsError."""
        for ids in self._ids.values():
            ids.close()
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
            if kind is None:  # else something has failed before it
                raise

    def _unwritable(self, error: OSError) -> SettingsError:
        return SettingsError(f"--report {self._report}: can't be written ({error.strerror or error}); name another")


def _holds_findings(path: Path) -> bool:
    """Whether it is a report of an earlier verification: empty, or lines of kind, id, point and where."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            first = file.readline(2**20)
        return not first or set(orjson.loads(first)) == _FIELDS
    except (OSError, ValueError, TypeError):
        return False
