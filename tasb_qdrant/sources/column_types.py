"""Types for CSV columns, which hold only strings: a string matches nothing in an integer index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tasb_qdrant.errors import InvalidPassageError, SettingsError
from tasb_qdrant.settings import IndexType

Convert = Callable[[str, str], object]
"""(column, cell) -> value; None for an empty cell. Raises InvalidPassageError."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_SHOWN_CHARS: Final = 60


def converters(types: Mapping[str, IndexType], columns: Iterable[str], *, source: str) -> dict[str, Convert]:
    """Converters from cells to the types of their columns' indexes; keyword and text need none.

    Raises SettingsError for a geo index on a column: two numbers in one cell have no agreed order.
    """
    wanted = {name: types[name] for name in columns if name in types}
    for name, kind in wanted.items():
        if kind == "geo":
            raise SettingsError(
                f"{source}: the column {name!r} can't be indexed as geo, because a cell can't hold an object; "
                'use JSONL or Parquet with {"lon": …, "lat": …}'
            )
    known: dict[str, Convert] = {
        "integer": _integer,
        "float": _float,
        "bool": _boolean,
        "datetime": _unless_empty,
        "uuid": _unless_empty,
    }
    return {name: known[kind] for name, kind in wanted.items() if kind in known}


def _integer(column: str, cell: str) -> int | None:
    stripped = cell.strip()
    if not stripped:
        return None
    if not _INTEGER.fullmatch(stripped):
        raise _mismatch(column, cell, "integer")
    return int(stripped)


def _float(column: str, cell: str) -> float | None:
    stripped = cell.strip()
    if not stripped:
        return None
    if not _FLOAT.fullmatch(stripped):
        raise _mismatch(column, cell, "float")
    return float(stripped)


def _unless_empty(_: str, cell: str) -> str | None:
    return cell if cell.strip() else None


def _boolean(column: str, cell: str) -> bool | None:
    stripped = cell.strip()
    if not stripped:
        return None
    value = _BOOLEANS.get(stripped.lower())
    if value is None:
        raise _mismatch(column, cell, "bool (true, false, 1, 0)")
    return value


def _mismatch(column: str, cell: str, kind: str) -> InvalidPassageError:
    shown = cell if len(cell) <= _SHOWN_CHARS else f"{cell[:_SHOWN_CHARS]}…"
    return InvalidPassageError(
        f"column {column!r} is indexed as {kind}, got {shown!r}; correct the cell, or index it as keyword",
        field="payload",
    )
