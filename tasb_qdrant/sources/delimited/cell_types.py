"""Which type the cells of a column of CSV have, where all of them have one.

A column is read as another type than string only where nothing that it says is lost: `007`, `+1` and `1e5` are no
numbers here, nor is a column of versions such as `1.9` and `1.10`, whose `1.10` would become `1.1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final, Literal

CellType = Literal["integer", "float", "bool"]

_INTEGER: Final = re.compile(r"-?[1-9][0-9]{0,15}|0", re.ASCII)
_POINT: Final = re.compile(r"(-?(?:0|[1-9][0-9]{0,15}))[.,]([0-9]{1,40})", re.ASCII)
_EXPONENT: Final = re.compile(r"-?[1-9](?:\.[0-9]{1,16})?e[+-][0-9]{2,3}", re.ASCII)
"""As Python, NumPy and pandas write floats that are very large or small, and hardly anybody an id."""

_BOOLEANS: Final = frozenset({"true", "false"})

_EXACT: Final = 2**53 - 1
"""Longer numbers are ids: programs that read JSON with floats, as browsers do, would round them."""

_DIGITS: Final = 17
"""More of them than a float holds."""

_BATCH: Final = 4096

_KEPT: Final = 16_384
"""About so many values of a column are remembered, so that they are looked at once: 1 MB."""


class ColumnEvidence:
    """What the cells of one column could be, by those that were looked at."""

    __slots__ = ("_bool", "_comma", "_exponent", "_number", "_padded", "_places", "_point", "_seen", "_whole")

    def __init__(self) -> None:
        self._number = self._bool = True
        self._seen = self._whole = self._point = self._comma = self._exponent = self._padded = False
        self._places: set[int] = set()

    @property
    def is_open(self) -> bool:
        """Whether it can still be anything but strings."""
        return self._number or self._bool

    def look_at(self, cells: Iterable[str], *, decimal_comma: bool) -> None:
        """These are in the column, too. Empty ones say nothing."""
        for cell in cells:
            if not cell:
                continue
            self._seen = True
            if self._bool and cell.lower() not in _BOOLEANS:
                self._bool = False
            if self._number and not self._is_number(cell, decimal_comma):
                self._number = False
            if not self.is_open:
                return

    def _is_number(self, cell: str, decimal_comma: bool) -> bool:
        if _INTEGER.fullmatch(cell):
            self._whole = True
            return -_EXACT <= int(cell) <= _EXACT
        match = _POINT.fullmatch(cell)
        if not match:
            self._exponent = True
            return _EXPONENT.fullmatch(cell) is not None
        comma, places = "," in cell, match[2]
        self._point, self._comma = self._point or not comma, self._comma or comma
        self._places.add(len(places))
        self._padded = self._padded or (places.endswith("0") and places != "0")
        if (comma and not decimal_comma) or (self._point and self._comma):
            return False
        return len((match[1] + places).lstrip("-0").rstrip("0")) <= _DIGITS

    def could_be(self, kind: CellType) -> bool:
        """Whether what was looked at goes with this type: whole numbers go with floats, too."""
        if kind == "bool" or not self._number:
            return kind == "bool" and self._bool
        return kind == "float" or not (self._point or self._comma or self._exponent)

    @property
    def verdict(self) -> CellType | None:
        """The one type that all cells have; None: strings."""
        if not self._seen or not self.is_open:
            return None
        if self._bool:
            return "bool"
        if not (self._point or self._comma):
            return None if self._exponent else "integer"
        # 12.50 and 3.00 are prices, all of two places; 1.9 and 1.10 are versions, and so may be 3 and 3.10.
        fixed = len(self._places) == 1 and not self._whole and not self._exponent
        return "float" if fixed or not self._padded else None


class ColumnTypes:
    """The types of the columns of all CSV and TSV files of a run, each name of one type over all of them.

    `sampled` are columns of streams, of which only the beginning can be looked at beforehand.
    """

    def __init__(self) -> None:
        self._evidence: dict[str, ColumnEvidence] = {}
        self._known: dict[str, set[str]] = {}
        self.sampled: set[str] = set()

    def open_columns(self, names: Iterable[str]) -> list[str]:
        """Those of the columns that may still be of one type."""
        return [name for name in names if self._evidence.setdefault(name, ColumnEvidence()).is_open]

    def look_at(self, rows: Iterable[list[str]], columns: Mapping[str, int], *, decimal_comma: bool) -> None:
        """All rows of a file, or its first; `columns` are names and places of the columns to be typed."""
        rows = iter(rows)
        while (names := self.open_columns(columns)) and (batch := list(islice(rows, _BATCH))):
            for name in names:
                at = columns[name]
                # Most columns repeat a few values, and those that are new are looked at in a tenth of the time.
                known = self._known.setdefault(name, set())
                new = {row[at] for row in batch} - known
                self._evidence[name].look_at(new, decimal_comma=decimal_comma)
                if len(known) < _KEPT:
                    known |= new

    def verdicts(self, names: Iterable[str]) -> dict[str, CellType]:
        """The types of those columns that have one."""
        known = {name: self._evidence[name].verdict for name in names if name in self._evidence}
        return {name: kind for name, kind in known.items() if kind is not None}
