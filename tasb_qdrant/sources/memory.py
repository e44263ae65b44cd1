"""Records that a program holds, as a source: dicts, and the tables of pandas, Polars, Arrow and `datasets`.

None of these packages is imported here, but Arrow for its own tables: whoever has such a table has imported them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, Protocol

from tasb_qdrant.errors import InvalidPassageError, SourceError
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.records.json_values import json_value
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.reader import InMemory, Source, SourceReader
from tasb_qdrant.sources.record.choice import choice_of
from tasb_qdrant.sources.record.fields import FieldsTaken, SourceFields
from tasb_qdrant.sources.record.plan import FieldPlan, Origin, plan_fields
from tasb_qdrant.sources.record.typed import TypedFields

_SAMPLES: Final = 100
_BATCH_ROWS: Final = 1024
_BATCH_BYTES: Final = 8 * 1024 * 1024

RECORDS: Final = Origin("<records>", "row")
"""Ids that are made of rows begin with this label."""


class SupportsArrow(Protocol):
    """What exports an Arrow stream: tables of Arrow, Polars, DuckDB and, from 2.2 on, pandas."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def is_records(given: object) -> bool:
    """Whether `open_records` takes it: a table, or a list of dicts. An iterator is none until it has been begun."""
    if hasattr(given, "__arrow_c_stream__") or _package(given) in ("pandas", "datasets"):
        return not isinstance(given, str | Iterator) or hasattr(given, "__arrow_c_stream__")
    return isinstance(given, Sequence) and not isinstance(given, str) and bool(given) and isinstance(given[0], Mapping)


def open_records(
    given: Any,
    *,
    fields: SourceFields = SourceFields(),  # noqa: B008 - frozen
    on_reject: Callable[[Reject], None] | None = None,
    column_types: Mapping[str, IndexType] | None = None,
) -> SourceReader:
    """A reader over a table or an iterable of dicts; `line` counts the records. They are read by the rules of files.

    A table is anything that exports an Arrow stream (of Arrow itself, Polars, DuckDB), a DataFrame of pandas,
    whose index is a field if it has a name, or a Dataset of the hub's library. `fields` says which fields are what;
    what can't be stored goes to `on_reject`, or raises RejectedError. `column_types` are the types that fields are
    indexed as, to which strings and floats are converted that say such values. Raises MissingFieldError, SourceError,
    TypeError for anything else.
    """
    choice = choice_of(fields)
    typed = None if column_types is None else TypedFields(column_types)
    source: Source
    if _package(given) == "datasets" and hasattr(given, "with_format"):
        source = _RecordSource(_of_dataset(given), fields, choice, typed)
    elif _package(given) == "pandas" and hasattr(given, "to_dict"):
        source = _RecordSource(_of_pandas(given), fields, choice, typed)
    elif hasattr(given, "__arrow_c_stream__"):
        source = _arrow_source(given, fields, choice, typed)
    else:
        source = _RecordSource(given, fields, choice, typed)
    return SourceReader([(InMemory(RECORDS.name), source)], on_reject=on_reject, choice=choice, formats=["records"])


class _RecordSource:
    """Dicts, of which the first few tell which fields are what."""

    bytes_read = 0
    in_blocks = None

    def __init__(self, records: Iterable[Any], fields: SourceFields, choice: Any, typed: Any) -> None:
        rest = iter(records)
        first = list(islice(rest, _SAMPLES))
        samples = [record for record in first if isinstance(record, Mapping)]
        self._records = chain(first, rest)
        self._plan: FieldPlan | None = None
        if samples:
            self._plan = plan_fields(samples, fields, origin=RECORDS, choice=choice, typed=typed, noun="field")

    @property
    def taken(self) -> FieldsTaken | None:
        return None if self._plan is None else self._plan.taken("records")

    def passages(self, cursor: Cursor) -> Iterator[Passage]:
        for number, record in enumerate(self._records, start=1):
            if not isinstance(record, Mapping) or self._plan is None:
                raise SourceError(
                    f"expected a record (a dict, as the first ones are), got {type(record).__name__}",
                    source=RECORDS.name,
                    line=number,
                )
            try:
                # A copy, too: what makes the passage uses its record up, and the caller's stays as it is.
                passage = self._plan.passage(json_value(record), cursor, number)
            except InvalidPassageError as error:
                cursor.reject(number, error.reason)
                continue
            cursor.line = number
            yield passage

    def close(self) -> None:
        """There is nothing to close."""


def _arrow_source(given: Any, fields: SourceFields, choice: Any, typed: Any) -> Source:
    import pyarrow as pa

    from tasb_qdrant.sources.arrow.columns import Columns, plan_columns

    stream = pa.RecordBatchReader.from_stream(given)
    columns: Columns = plan_columns(stream.schema, fields, origin=RECORDS, choice=choice, typed=typed)
    return _ArrowSource(stream, columns)


class _ArrowSource:
    """Batches of an Arrow stream, cut into pieces that are cheap to hold as Python's values."""

    bytes_read = 0
    in_blocks = None

    def __init__(self, stream: Any, columns: Any) -> None:
        self._stream = stream
        self._columns = columns

    @property
    def taken(self) -> FieldsTaken | None:
        taken: FieldsTaken = self._columns.plan.taken("records")
        return taken

    def passages(self, cursor: Cursor) -> Iterator[Passage]:
        before = 0
        for batch in self._stream:
            chosen = batch.select([*self._columns.names])
            rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * batch.num_rows // max(_bytes(chosen), 1)))
            for start in range(0, batch.num_rows, rows):
                piece = chosen.slice(start, rows)
                yield from self._columns.passages(piece, cursor, before=before)
                before += piece.num_rows

    def close(self) -> None:
        """Give the stream back."""
        self._stream.close()


def _bytes(batch: Any) -> int:
    """The bytes that its rows refer to; of its buffers where Arrow before 24 can't say (views of strings)."""
    try:
        return int(batch.nbytes)
    except TypeError:
        return int(batch.get_total_buffer_size())


def _of_pandas(frame: Any) -> Iterator[Mapping[str, Any]]:
    named = any(name is not None for name in frame.index.names)
    for start in range(0, len(frame), _BATCH_ROWS):
        part = frame.iloc[start : start + _BATCH_ROWS]
        yield from (part.reset_index() if named else part).to_dict("records")


def _of_dataset(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """The rows in Arrow's own Python values: the dataset's format may be another, such as PyTorch's tensors."""
    for table in dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS):
        yield from table.to_pylist()


def _package(value: object) -> str:
    return type(value).__module__.partition(".")[0]
