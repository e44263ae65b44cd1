"""Types for CSV columns, which hold only strings: a string matches nothing in an integer index."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final

from tasb_qdrant.errors import InvalidPassageError, SettingsError
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources.delimited.cell_types import CellType, ColumnEvidence

Convert = Callable[[str, str], object]
"""(column, cell) -> value; None for an empty cell. Raises InvalidPassageError."""

_INTEGER: Final = re.compile(r"([+-]?[0-9]{1,19})(?:\.0+)?", re.ASCII)
"""`2011.0` is how pandas writes the whole numbers of a column that has gaps."""

_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_SHOWN_CHARS: Final = 60


def converters(
    types: Mapping[str, IndexType], columns: Iterable[str], *, source: str, decimal_comma: bool = False
) -> dict[str, Convert]:
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
        "float": _comma_float if decimal_comma else _float,
        "bool": _boolean,
        "datetime": _unless_empty,
        "uuid": _unless_empty,
    }
    return {name: known[kind] for name, kind in wanted.items() if kind in known}


def _integer(column: str, cell: str) -> int | None:
    stripped = cell.strip()
    if not stripped:
        return None
    match = _INTEGER.fullmatch(stripped)
    if not match:
        raise _mismatch(column, cell, "integer")
    return int(match[1])


def _float(column: str, cell: str) -> float | None:
    stripped = cell.strip()
    if not stripped:
        return None
    if not _FLOAT.fullmatch(stripped) or not math.isfinite(value := float(stripped)):
        raise _mismatch(column, cell, "float")
    return value


def _comma_float(column: str, cell: str) -> float | None:
    return _float(column, cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)


def inferred(
    kinds: Mapping[str, CellType], *, sampled: Collection[str], decimal_comma: bool
) -> dict[str, Callable[[str], object]]:
    """What turns a cell of the column into the type that all cells have which were looked at; None for an empty one.

    Raises InvalidPassageError for columns that are `sampled`, and ValueError or KeyError for others, all of whose
    cells were looked at: `unlike_before` says what is wrong then. It is kept so short as it runs for every cell.
    """
    quick: dict[CellType, Callable[[str], object]] = {
        "integer": lambda cell: int(cell) if cell else None,
        "float": _decimal_comma if decimal_comma else (lambda cell: float(cell) if cell else None),
        "bool": lambda cell: _BOOLEANS[cell.lower()] if cell else None,
    }

    def careful(column: str, cell: str) -> object:
        if not cell:
            return None
        _check_as_before(column, cell, kinds[column], decimal_comma)
        return quick[kinds[column]](cell)

    return {name: partial(careful, name) if name in sampled else quick[kind] for name, kind in kinds.items()}


def _decimal_comma(cell: str) -> float | None:
    return float(cell.replace(",", ".")) if cell else None


def _check_as_before(column: str, cell: str, kind: CellType, decimal_comma: bool) -> None:
    evidence = ColumnEvidence()
    evidence.look_at([cell], decimal_comma=decimal_comma)
    if not evidence.could_be(kind):
        raise unlike_before(column, cell, kind)


def unlike_before(column: str, cell: str, kind: CellType) -> InvalidPassageError:
    """For a cell that is no longer of the type that its column had."""
    return InvalidPassageError(
        f"column {column!r} holds {kind} values as far as it was looked at, and here {_shown(cell)}; read it as "
        f"strings with --index {column}:keyword, or all columns with --no-types",
        field="payload",
    )


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
    return InvalidPassageError(
        f"column {column!r} is indexed as {kind}, got {_shown(cell)}; correct the cell, or index it as keyword",
        field="payload",
    )


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= _SHOWN_CHARS else f"{cell[:_SHOWN_CHARS]}…")


CONVERTS: Final[Mapping[IndexType, Convert]] = {"integer": _integer, "float": _float, "bool": _boolean}
"""What makes values of strings, for indexes whose values are no strings themselves."""
