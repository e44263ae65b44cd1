"""What differs between a source and a collection: counted, the first ids named, all of them in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Self

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.json_lines import JsonLines, LineKind
from tasb_qdrant.ingest.read.idset import IdSet
from tasb_qdrant.records.verification import Difference
from tasb_qdrant.sources import SourceFile

EXAMPLES: Final = 10
"""How many ids of a kind the report itself names."""

FINDINGS: Final = LineKind("--report", "a finding", "such a report", ("kind", "id", "point", "where"))


class Findings:
    """Takes findings as they come. The sets of ids spill to disk; the file `report` gets a JSON line for each."""

    def __init__(self, report: Path | None = None) -> None:
        self._file = None if report is None else JsonLines(report, FINDINGS)
        self._ids = {difference: IdSet() for difference in Difference}
        self._examples: dict[Difference, list[str]] = {difference: [] for difference in Difference}

    @property
    def report_file(self) -> str | None:
        """The file, for the report."""
        return None if self._file is None else str(self._file.path)

    def open_report(self, sources: Iterable[SourceFile]) -> None:
        """Make the file, unless that would overwrite something else. Raises SettingsError."""
        if self._file is not None:
            self._file.create(sources=sources)

    def add(self, difference: Difference, ids: Mapping[PointId, str], *, where: str = "") -> None:
        """Count these: point id -> the name for people, its passage id if that is known."""
        if not ids:
            return
        known = self._ids[difference]
        new = set(ids) if not len(known) else set(ids) - known.among(list(ids))
        known.add(new)
        examples = self._examples[difference]
        for point_id, name in ids.items():
            if len(examples) == EXAMPLES:
                break
            if point_id in new:
                examples.append(f"{name} ({where})" if where else name)
        if self._file is not None:
            self._file.write(
                {"kind": difference, "id": name, "point": one, "where": where} for one, name in ids.items()
            )

    def count(self, *differences: Difference) -> int:
        """Ids that differ in this way, added up for several."""
        return sum(len(self._ids[each]) for each in differences)

    def ids(self, difference: Difference) -> IdSet:
        """The ids themselves."""
        return self._ids[difference]

    def among(self, differences: Iterable[Difference], ids: list[PointId]) -> set[PointId]:
        """Those of the ids that differ in one of these ways."""
        found: set[PointId] = set()
        for each in differences:
            found |= self._ids[each].among(ids)
        return found

    def examples(self) -> dict[str, tuple[str, ...]]:
        """The first ids of each kind that there are."""
        return {each.value: tuple(names) for each, names in self._examples.items() if names}

    def close(self) -> None:
        """Finish the file and forget the ids. Raises SettingsError."""
        for ids in self._ids.values():
            ids.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except SettingsError:
            if kind is None:  # else something has failed before it
                raise
