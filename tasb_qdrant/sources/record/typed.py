"""Values of records as the type that their field's index has, by the rule that CSV's cells have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources.delimited.column_types import CONVERTS, Convert

_MISSING: Any = object()


class TypedFields:
    """The fields that are indexed as integer, float or bool, in which a string or a float may stand for such a value.

    The indexes of a collection become known once it is open, so that they are looked at with the first record.
    """

    def __init__(self, indexed: Mapping[str, IndexType]) -> None:
        self._indexed = indexed

    @cached_property
    def _fields(self) -> list[tuple[str, tuple[str, ...], bool, Convert]]:
        """(name, path, whether it is an integer, what converts a string)."""
        return [
            (name, tuple(name.split(".")), kind == "integer", CONVERTS[kind])
            for name, kind in self._indexed.items()
            if kind in CONVERTS
        ]

    def convert(self, record: dict[str, Any]) -> list[str]:
        """The names of the fields whose values were changed in the record; what is no such value stays as it is."""
        changed: list[str] = []
        for name, path, whole, convert in self._fields:
            holder, key = (record, name) if name in record else _reached(record, path)
            value = holder.get(key, _MISSING)
            kind = type(value)
            if kind is not str and kind is not list and not (whole and kind is float):
                continue
            new = (
                [_new(item, name, whole, convert) for item in value]
                if kind is list
                else _new(value, name, whole, convert)
            )
            if new != value or type(new) is not kind:
                holder[key] = new
                changed.append(name)
        return changed


def _new(value: Any, name: str, whole: bool, convert: Convert) -> Any:
    if whole and type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not str:
        return value
    try:
        return convert(name, value)
    except InvalidPassageError:  # said later, with the other values that an index doesn't take
        return value


def _reached(record: dict[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    for name in path[:-1]:
        inner = record.get(name)
        if not isinstance(inner, dict):
            return {}, path[-1]
        record = inner
    return record, path[-1]
