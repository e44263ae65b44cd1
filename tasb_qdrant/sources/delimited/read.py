"""CSV and TSV: the first row names the columns, unless a person does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.delimited.cell_types import ColumnTypes
from tasb_qdrant.sources.delimited.column_types import converters, inferred, unlike_before
from tasb_qdrant.sources.delimited.dialect import Dialect
from tasb_qdrant.sources.delimited.rows import csv_rows, sound_rows
from tasb_qdrant.sources.find.partitions import contradiction
from tasb_qdrant.sources.record.choice import Choice
from tasb_qdrant.sources.record.fields import ID_NAMES, FieldsTaken, SourceFields
from tasb_qdrant.sources.record.plan import FieldPlan, Origin, made_id, plan_fields


@dataclass(frozen=True, slots=True)
class _Cells:
    """Which columns hold the id, text and title, and how the others become payload."""

    count: int
    id: int | None
    text: int
    title: int | None
    payload: tuple[tuple[str, int, Callable[[str], object] | None], ...]


class DelimitedTable:
    """One file whose header has been looked at. Raises MissingFieldError, SettingsError."""

    def __init__(
        self,
        dialect: Dialect,
        fields: SourceFields,
        *,
        origin: Origin,
        choice: Choice | None,
        indexed: Mapping[str, IndexType],
        file_format: str,
    ) -> None:
        self._dialect = dialect
        self._origin = origin
        self._format = file_format
        self._indexed = indexed
        self._names = dialect.names or ()
        self._plan = plan_fields([dict.fromkeys(self._names)], fields, origin=origin) if self._names else None
        roles = set() if self._plan is None else {self._plan.id, self._plan.text, self._plan.title}
        kept = [name for name in self._names if (name,) not in roles and (choice is None or choice.keeps(name))]
        self._payload = kept
        if choice is not None:
            choice.see(kept)
        converters(indexed, kept, source=origin.name)  # refuses what can't be
        # Ids are strings everywhere, also those that a row names of another passage.
        self._typed = {
            name: self._names.index(name) for name in kept if name not in indexed and name.lower() not in ID_NAMES
        }
        self._types: ColumnTypes | None = None

    def learn_types(self, stream: Iterator[bytes], types: ColumnTypes, *, sampled: bool) -> None:
        """Look at the rows for the types of columns; `sampled`: these are only the first of a stream."""
        self._types = types
        if sampled:
            types.sampled.update(self._typed)
        width = len(self._names)
        rows = sound_rows(stream, self._dialect, source=self._origin.name)
        whole = filter(lambda row: len(row) >= width, rows)
        if types.open_columns(self._typed):
            types.look_at(whole, self._typed, decimal_comma=self._dialect.decimal_comma)

    @property
    def undecided(self) -> bool:
        """Whether more rows could tell more of the types."""
        return self._types is not None and bool(self._types.open_columns(self._typed))

    @property
    def taken(self) -> FieldsTaken | None:
        """Which columns were taken for what; None for a file without even a header."""
        if self._plan is None:
            return None
        said = self._plan.taken(self._format)
        kinds = {} if self._types is None else self._types.verdicts(self._typed)
        indexed = {name: self._indexed[name] for name in self._payload if name in self._indexed}
        title = said.title if said.title in self._names else None
        return FieldsTaken(
            said.source,
            said.format,
            said.id,
            said.text,
            title,
            said.id_from,
            tuple(self._payload),
            {**kinds, **indexed},
        )

    def read(self, stream: Iterator[bytes], cursor: Cursor) -> Iterator[Passage]:
        """The passages in order; `cursor.line` is where the record starts."""
        plan = self._plan
        if plan is None:
            return
        cells = self._cells(plan)
        make = _plain_passage if plan.id is not None and not self._origin.partition else _passage
        for start, row in csv_rows(stream, self._dialect, source=cursor.source):
            if isinstance(row, str):
                cursor.reject(start, row)
                continue
            try:
                passage = make(cells, row if len(row) == cells.count else _fitted(row, cells.count), plan, start)
            except InvalidPassageError as error:
                cursor.reject(start, error.reason)
                continue
            except (ValueError, KeyError):
                cursor.reject(start, self._changed(row).reason)
                continue
            cursor.line = start
            yield passage

    def _cells(self, plan: FieldPlan) -> _Cells:
        comma = self._dialect.decimal_comma
        convert: dict[str, Callable[[str], object]] = {}
        if self._types is not None:
            # Indexes of the collection become known only once it is open, after the cells were looked at.
            kinds = self._types.verdicts(name for name in self._typed if name not in self._indexed)
            convert |= inferred(kinds, sampled=self._types.sampled, decimal_comma=comma)
        indexed = converters(self._indexed, self._payload, source=self._origin.name, decimal_comma=comma)
        convert |= {name: partial(of, name) for name, of in indexed.items()}
        at = self._names.index
        return _Cells(
            count=len(self._names),
            id=None if plan.id is None else at(plan.id[0]),
            text=at(plan.text[0]),
            title=at(plan.title[0]) if plan.title and plan.title[0] in self._names else None,
            payload=tuple((name, at(name), convert.get(name)) for name in self._payload),
        )

    def _changed(self, row: list[str]) -> InvalidPassageError:
        """Why a cell that was of its column's type isn't any more: somebody has written to the file since."""
        kinds = {} if self._types is None else self._types.verdicts(self._typed)
        for name, kind in kinds.items():
            cell = row[self._typed[name]]
            try:
                inferred({name: kind}, sampled=(), decimal_comma=self._dialect.decimal_comma)[name](cell)
            except (ValueError, KeyError):
                return unlike_before(name, cell, kind)
        return InvalidPassageError("the row can't be read", field="payload")


def _plain_passage(cells: _Cells, row: list[str], plan: FieldPlan, line: int) -> Passage:
    """Raises InvalidPassageError."""
    payload: dict[str, object] = {
        name: row[at] if convert is None else convert(row[at]) for name, at, convert in cells.payload
    }
    title = None if cells.title is None else row[cells.title] or None
    return Passage(id=row[cells.id or 0], text=row[cells.text], title=title, payload=payload)


def _passage(cells: _Cells, row: list[str], plan: FieldPlan, line: int) -> Passage:
    """The same where ids are made, or folders have a say. Raises InvalidPassageError."""
    payload = {name: row[at] if convert is None else convert(row[at]) for name, at, convert in cells.payload}
    for name, value in plan.origin.partition.items():
        there = payload.get(name)
        if there is None or there == "":
            payload[name] = value
        elif value is None or str(there).lower() != str(value).lower():
            raise InvalidPassageError(contradiction(name, there, value), field="payload")
    title = None if cells.title is None else row[cells.title] or None
    text = row[cells.text]
    passage_id = made_id(plan, line, title, text) if cells.id is None else row[cells.id]
    return Passage(id=passage_id, text=text, title=title, payload=payload)


def _fitted(row: list[str], count: int) -> list[str]:
    """The row without cells beyond the last column that hold nothing, as Excel writes them."""
    if len(row) > count and not any(row[count:]):
        return row[:count]
    plural = "" if len(row) == 1 else "s"
    raise InvalidPassageError(f"{len(row)} column{plural}, expected {count}", field="payload")
