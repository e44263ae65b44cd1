"""Which fields of a record become payload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tasb_qdrant.sources.record.fields import FieldPath, SourceFields

_MISSING = object()


class Choice:
    """The fields that are kept, or all but those that are dropped. `unseen` are the wanted ones that no record had."""

    def __init__(self, wanted: tuple[str, ...] | None, unwanted: tuple[str, ...]) -> None:
        self._wanted = None if wanted is None else frozenset(wanted)
        self._paths = [name for name in wanted or () if "." in name]
        self._unwanted = unwanted
        self.unseen = set(wanted or ())

    def of(self, record: dict[str, Any]) -> dict[str, Any]:
        """What is kept of the record, which is used up."""
        for name in self._unwanted:
            if record.pop(name, _MISSING) is _MISSING and "." in name:
                take_out(record, tuple(name.split(".")), None)
        if self._wanted is None:
            return record
        kept = {name: value for name, value in record.items() if name in self._wanted}
        if self.unseen:
            self.unseen.difference_update(kept)
        for name in self._paths:
            if (
                name not in kept
                and (value := take_out(record, path := tuple(name.split(".")), _MISSING)) is not _MISSING
            ):
                self.unseen.discard(name)
                _put(kept, path, value)
        return kept

    def keeps(self, column: str) -> bool:
        """Whether a column, or a part of it, is kept: others needn't be read."""
        if column in self._unwanted:
            return False
        return self._wanted is None or column in self._wanted or any(p.startswith(f"{column}.") for p in self._paths)

    def see(self, columns: Iterable[str]) -> None:
        """These columns are there."""
        self.unseen.difference_update(columns)


def choice_of(fields: SourceFields) -> Choice | None:
    """None where all fields are kept."""
    return Choice(fields.fields, fields.drop) if fields.fields is not None or fields.drop else None


def take_out(record: dict[str, Any], path: FieldPath, missing: Any) -> Any:
    """Remove the value at the path from the record, along with objects that this empties, and return it."""
    if len(path) == 1:
        return record.pop(path[0], missing)
    inner = record.get(path[0])
    if not isinstance(inner, dict):
        return missing
    value = take_out(inner, path[1:], missing)
    if value is not missing and not inner:
        del record[path[0]]
    return value


def _put(record: dict[str, Any], path: FieldPath, value: Any) -> None:
    for key in path[:-1]:
        inner = record.setdefault(key, {})
        if not isinstance(inner, Mapping):
            return
        record = inner  # type: ignore[assignment]  # a dict: setdefault made it, or the record's own
    record[path[-1]] = value
