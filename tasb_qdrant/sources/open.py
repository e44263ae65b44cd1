"""From names to a reader: what is there, which format each has, and how its passages are made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from tasb_qdrant.errors import MissingFieldError, SettingsError, SourceError
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources.blocks import InBlocks, LineFormat, line_pieces
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.delimited.cell_types import ColumnTypes
from tasb_qdrant.sources.delimited.dialect import dialect_of
from tasb_qdrant.sources.delimited.read import DelimitedTable
from tasb_qdrant.sources.find.discover import Found, discover
from tasb_qdrant.sources.find.partitions import Partition, typed_partitions, written_partition
from tasb_qdrant.sources.formats import check_format, check_text, endings_of, format_of, is_parquet
from tasb_qdrant.sources.input.streams import ByteStream, Head, Input
from tasb_qdrant.sources.json_array import is_array, plan_array, read_array
from tasb_qdrant.sources.jsonl import plan_jsonl, planner, read_jsonl
from tasb_qdrant.sources.msmarco_tsv import read_msmarco
from tasb_qdrant.sources.options import TextOptions
from tasb_qdrant.sources.reader import Source, SourceReader
from tasb_qdrant.sources.record.choice import Choice, choice_of
from tasb_qdrant.sources.record.fields import FieldsTaken, SourceFields
from tasb_qdrant.sources.record.plan import Origin
from tasb_qdrant.sources.record.typed import TypedFields
from tasb_qdrant.sources.whole_text import read_text

FIFO_WAIT_SECONDS: Final = 10.0
"""Seconds to wait for a named pipe to get a writer."""


def open_sources(
    sources: Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - the name of the option
    fields: SourceFields = SourceFields(),  # noqa: B008 - frozen
    options: TextOptions = TextOptions(),  # noqa: B008 - frozen
    on_reject: Callable[[Reject], None] | None = None,
    stdin: BinaryIO | None = None,
    column_types: Mapping[str, IndexType] | None = None,
    fifo_wait: float = FIFO_WAIT_SECONDS,
    excluded: Collection[Path] = (),
) -> SourceReader:
    """A reader over files, folders, globs, URLs and `-` (standard input), in the order given.

    `format` is one of FORMATS and applies to all sources; with None each name decides (`.tsv`, see formats.format_of;
    `.jsonl`, `.ndjson`, `.json`, `.csv`, `.parquet`; text formats may be compressed with gzip or Zstandard, whatever
    the file is called), and of streams only JSON is recognised. `fields` says which fields are what, `options` how text
    files are to be read. `column_types` gives the cells of CSV and TSV the types that their columns are indexed as; the
    types of other columns are decided by all rows of all such files, or by the first rows of a stream. `fifo_wait` is
    how many seconds to wait for a named pipe to get a writer, `stdin` what `-` stands for. Files in `excluded` are left
    out of folders and globs (discover.discover says what else is skipped in a folder). Folders named `year=2000` above
    a file give its passages the field.

    An input that can't be stored goes to `on_reject`, and reading continues; without `on_reject` the first one
    raises RejectedError. Everything else that can be checked is checked here, before the first passage.
    Raises SettingsError, SourceError, MissingFieldError.
    """
    check_format(format)
    found = discover(sources, endings=endings_of(format), excluded=excluded)
    opening = _Opening(format, fields, options, {} if column_types is None else column_types, _origins(found, fields))
    opened: list[tuple[Input, Source]] = []
    try:
        for one in found:
            source = Input(one, stdin=stdin, fifo_wait=fifo_wait, encoding=options.encoding)
            try:
                opened.append((source, opening.prepare(source)))
            except BaseException:
                source.close()
                raise
        reader = SourceReader(opened, on_reject=on_reject, choice=opening.choice, formats=opening.formats)
        opening.check_wanted(reader.fields_taken)
    except BaseException:
        for source, _ in opened:
            source.close()
        raise
    return reader


class _TextSource:
    """A text format and its bytes, which are opened when the first passage is asked for."""

    def __init__(
        self,
        source: Input,
        read: Callable[[ByteStream, Cursor], Iterator[Passage]],
        taken: Callable[[], FieldsTaken | None] = lambda: None,
        *,
        lines: LineFormat | None = None,
    ) -> None:
        self._input = source
        self._read = read
        self._taken = taken
        self._lines = lines
        self._stream: ByteStream | None = None

    @property
    def bytes_read(self) -> int:
        return 0 if self._stream is None else self._stream.bytes_read

    @property
    def taken(self) -> FieldsTaken | None:
        return self._taken()

    @property
    def in_blocks(self) -> InBlocks | None:
        return None if self._lines is None else InBlocks(self._lines, self._blocks)

    def passages(self, cursor: Cursor) -> Iterator[Passage]:
        self._stream = self._input.open()
        return self._read(self._stream, cursor)

    def _blocks(self) -> Iterator[tuple[bytes | None, int]]:
        self._stream = self._input.open()
        return line_pieces(self._stream, source=self._input.name)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class _Opening:
    """What is asked for, and what the sources of one run have in common."""

    def __init__(
        self,
        file_format: str | None,
        fields: SourceFields,
        options: TextOptions,
        indexed: Mapping[str, IndexType],
        origins: Mapping[Found, Origin],
    ) -> None:
        self._format = file_format
        self._fields = fields
        self._options = options
        self._indexed = indexed
        self._origins = origins
        self._types = ColumnTypes()
        self._may_have_more = False
        self.formats: list[str] = []
        self.choice: Choice | None = choice_of(fields)

    def prepare(self, source: Input) -> Source:
        """The source, looked at. Raises SettingsError, SourceError, MissingFieldError."""
        origin = self._origins[source.found]
        if is_parquet(source, given=self._format):
            self.formats.append("parquet")
            return self._parquet(source, origin)
        head = source.head()
        check_text(head, source=source.name)
        kind = format_of(source, head, given=self._format, fields=self._fields)
        self.formats.append(kind)
        if kind == "jsonl":
            return self._json(source, head, origin)
        if kind == "msmarco":
            lines = LineFormat("msmarco", partition=origin.partition)
            return _TextSource(source, partial(read_msmarco, partition=origin.partition), lines=lines)
        if kind == "text":
            return _TextSource(source, partial(read_text, origin=origin))
        return self._delimited(source, head, kind, origin)

    def check_wanted(self, taken: Sequence[FieldsTaken]) -> None:
        """Raises MissingFieldError for a wanted field that no source has, where all fields are known beforehand."""
        if self.choice is None or not self.choice.unseen or self._may_have_more:
            return
        known = {name for one in taken for name in one.payload}
        if unseen := [name for name in self.choice.unseen if name.partition(".")[0] not in known]:
            source = taken[0].source if taken else "the sources"
            raise MissingFieldError(source=source, wanted=unseen[0], available=sorted(known), option="--fields")

    def _json(self, source: Input, head: Head, origin: Origin) -> Source:
        self._may_have_more = True
        plan_for = planner(self._fields, origin=origin, choice=self.choice, typed=TypedFields(self._indexed))
        array = is_array(head)
        plan = plan_array(head, plan_for) if array else plan_jsonl(head, plan_for)
        read = read_array if array else read_jsonl
        return _TextSource(
            source,
            partial(read, planned=plan, plan_for=plan_for),
            lambda: None if plan is None else plan.taken("jsonl"),
            lines=None if array or plan is None else LineFormat("jsonl", plan),
        )

    def _delimited(self, source: Input, head: Head, kind: str, origin: Origin) -> Source:
        dialect = dialect_of(head, self._options, self._fields, file_format=kind, origin=origin)
        table = DelimitedTable(
            dialect, self._fields, origin=origin, choice=self.choice, indexed=self._indexed, file_format=kind
        )
        if self._options.typed:
            complete = b"".join(line + b"\n" for line in head.lines())
            table.learn_types(iter([complete]), self._types, sampled=source.is_stream)
            if not source.is_stream and not head.whole and table.undecided:
                with source.open() as stream:
                    table.learn_types(stream, self._types, sampled=False)
        return _TextSource(source, table.read, lambda: table.taken)

    def _parquet(self, source: Input, origin: Origin) -> Source:
        found = source.remote or source.path
        if found is None or source.is_stream:
            raise SourceError(
                "Parquet is read from its end and can't come through a pipe; name the file", source=source.name
            )
        from tasb_qdrant.sources.arrow.parquet import ParquetSource  # pyarrow takes 0.1 s, and few need it

        return ParquetSource(found, self._fields, origin=origin, choice=self.choice, typed=TypedFields(self._indexed))


def _origins(found: Sequence[Found], fields: SourceFields) -> dict[Found, Origin]:
    """What each source's records need to know of it. Raises SettingsError where made ids would be the same."""
    folders = [one for one in found if one.place is not None and one.partition is None]
    written = [written_partition(one.place) for one in folders if one.place is not None]
    of_folders = dict(zip(folders, typed_partitions(written), strict=True))
    origins: dict[Found, Origin] = {}
    labels: set[str] = set()
    for one in found:
        partition: Partition = one.partition if one.partition is not None else of_folders.get(one, {})
        kept = {
            name: value
            for name, value in partition.items()
            if name not in fields.drop and (fields.fields is None or name in fields.fields)
        }
        if fields.id_from == "row" and one.label in labels:
            raise SettingsError(
                f"--id-from row makes ids of files' names, and two are called {one.label!r}; name the folder that "
                "holds both, or make ids with --id-from text"
            )
        labels.add(one.label)
        origins[one] = Origin(one.name, one.label, kept)
    return origins
