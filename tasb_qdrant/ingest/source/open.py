"""The source of an ingest or a verification, with all that belongs to reading it, as one value."""

from __future__ import annotations

import threading
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.rejects.lines import RejectedLines
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.source.limited import LimitedPassages
from tasb_qdrant.ingest.source.memory import PassagesInMemory
from tasb_qdrant.ingest.source.payload_model import checked_by, identified
from tasb_qdrant.ingest.source.stdin import patient_stdin
from tasb_qdrant.ingest.split.reader import SplitPassages, Splitting
from tasb_qdrant.ingest.split.splitter import Splitter
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.records.path import parse_path
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources import SourceFields, SourceReader, TextOptions, open_records, open_sources, url_of
from tasb_qdrant.sources.memory import SupportsArrow, is_records

if TYPE_CHECKING:
    from pydantic import BaseModel

SourceLike = str | Path | Sequence[str | Path] | Iterable[Passage | Mapping[str, Any]] | SupportsArrow | RejectedLines
"""What callers give: a file, folder, glob, URL or "-", several of them, passages, or the lines of a rejects file."""

_NOT_GIVEN = "not given"


def _nothing(_: SourceReader) -> None: ...


@dataclass(slots=True)
class Tally:
    """A number that grows."""

    count: int = 0

    def add(self, more: int) -> None:
        """Add to it."""
        self.count += more


class SourceOptions(TypedDict, total=False):
    """How a source is read."""

    format: str | None
    """msmarco, jsonl, csv, tsv or parquet; None recognises it by the file. Standard input needs it."""

    fields: SourceFields | None
    """The fields or columns that hold id, text and title; None recognises the usual names."""

    text_options: TextOptions | None
    """How text files are read where they don't say it: delimiter, encoding, escape character, names of columns."""

    payload: type[BaseModel] | None
    """A pydantic model of the payload: a passage whose payload is no instance of it is a reject."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a caller gave as the source, and how to read it, as often as it can be read.

    `format`, `fields` and `payload` are those of SourceOptions. `indexes` give the columns of CSV files their types;
    `limit` is how many passages are read at most; `ignored` is our own file of rejects or findings, which may lie in a
    folder of sources. `nulled` counts the values of a program's passages that became null, each time that they were
    read.
    """

    given: SourceLike
    format: str | None = None
    fields: SourceFields | None = None
    text_options: TextOptions | None = None
    payload: type[BaseModel] | None = None
    indexes: Mapping[str, IndexType] = field(default_factory=dict)
    ignored: Path | None = None
    limit: int | None = None
    stored: dict[str, IndexType] = field(default_factory=dict)
    opened: Callable[[SourceReader], None] = _nothing
    splitting: Splitting = field(default_factory=Splitting)
    nulled: list[Tally] = field(default_factory=list)

    def open(
        self, log: RejectLog, counters: Counters, *, stopped: threading.Event | None = None
    ) -> AbstractContextManager[PassageReader]:
        """The passages from the first on; `log` gets the rejects, and is opened once the files are known.

        Files are looked at before anything slow is begun; passages in memory are taken as they come. Once `stopped`
        is set, nobody waits for standard input any more. Raises SourceError, SettingsError.
        """
        counters.phase("opening the source")

        def reject(reject: Reject) -> None:
            if log.unwanted([(reject.source, reject.line)]):
                return
            counters.add(read=1)
            log.add(reject)

        opened = self._opened(log, reject, stopped or threading.Event())
        if self.limit is not None:
            opened = _limited(opened, self.limit)
        return checked_by(self._split(opened, log, counters), self.payload, reject)

    @contextmanager
    def _split(
        self, opened: AbstractContextManager[PassageReader], log: RejectLog, counters: Counters
    ) -> Iterator[PassageReader]:
        with opened as documents:
            yield SplitPassages(documents, self.splitting, log=log, counters=counters)

    def _opened(
        self, log: RejectLog, reject: Callable[[Reject], None], stopped: threading.Event
    ) -> AbstractContextManager[PassageReader]:
        names = self.names
        if not names:  # a rejects file may name none
            log.open()
            given = () if names is not None else self.given
            if is_records(given):
                reader = open_records(
                    given, fields=self.fields or SourceFields(), on_reject=reject, column_types=self._types
                )
                return self._looked_at(reader)
            passages = cast("Iterable[Passage]", given)
            self.nulled.append(Tally())
            return nullcontext(
                PassagesInMemory(
                    passages,
                    fields=self.fields,
                    on_reject=reject,
                    opened=self.opened,
                    column_types=self._types,
                    on_nulled=self.nulled[-1].add,
                )
            )
        reader = open_sources(
            names,
            format=self.format,
            fields=self.fields or SourceFields(),
            options=self.text_options or TextOptions(),
            column_types=self._types,
            on_reject=reject,
            stdin=patient_stdin(stopped),
            excluded=() if self.ignored is None else (self.ignored,),
        )
        try:
            log.open(sources=reader.files)
        except BaseException:
            reader.close()
            raise
        return self._looked_at(reader)

    def _looked_at(self, reader: SourceReader) -> SourceReader:
        try:
            self.opened(reader)
        except BaseException:
            reader.close()
            raise
        return reader

    @property
    def _types(self) -> Mapping[str, IndexType]:
        """What columns and fields are indexed as: as asked for, and as the collection has it once that is known."""
        return ChainMap(_column_types(self.indexes), self.stored)

    def index_as(self, indexes: Mapping[str, IndexType]) -> None:
        """Have the columns of CSV that aren't read yet take the types of these indexes, which the collection has."""
        self.stored.update(_column_types(indexes))

    def split_by(self, splitter: Splitter | None) -> None:
        """Have what isn't read yet split, or left whole."""
        self.splitting.splitter = splitter

    @property
    def names(self) -> list[str | Path] | None:
        """The names of files, or None for a source that isn't made of names."""
        given = self.given
        if isinstance(given, RejectedLines):
            return list(given.sources)
        if isinstance(given, str | Path):
            return [given]
        if isinstance(given, Sequence) and given and all(isinstance(item, str | Path) for item in given):
            return list(cast("Sequence[str | Path]", given))
        return None

    @property
    def resumable_names(self) -> list[str | Path]:
        """The names that tell interrupted runs apart; none where no run can be resumed.

        Rejects that are tried again have no windows of their own to go on from.
        """
        return [] if isinstance(self.given, RejectedLines) else self.names or []

    @property
    def reading(self) -> dict[str, str]:
        """The options that decide what is read, as checkpoints name them: a resumed run must have the same."""
        fields = self.fields or SourceFields()
        return {
            "--format": self.format or _NOT_GIVEN,
            **{f"--{part}-field": getattr(fields, part) or _NOT_GIVEN for part in ("id", "text", "title")},
            "--index": " ".join(sorted(f"{name}:{kind}" for name, kind in self.indexes.items())) or _NOT_GIVEN,
            **({} if self.limit is None else {"--limit": str(self.limit)}),
            **({} if self.payload is None else {"--payload-model": identified(self.payload)}),
            **_said(fields, SourceFields(), ("fields", "drop", "id_from")),
            **_said(self.text_options or TextOptions(), TextOptions(), TextOptions.__slots__),
        }

    @property
    def is_repeatable(self) -> bool:
        """Whether the source can be read more than once."""
        names = self.names
        once = iter(self.given) is self.given if names is None and isinstance(self.given, Iterable) else False
        return not once and not any(_is_stream(name) for name in names or ())

    def check_repeatable(self, option: str) -> None:
        """Raises SettingsError for a source that can be read only once, which is too few for `option`."""
        if not self.is_repeatable:
            raise SettingsError(
                f"{option} reads the source more than once, which a stream doesn't allow; write it to a file, and "
                "name that"
            )


@contextmanager
def _limited(opened: AbstractContextManager[PassageReader], limit: int) -> Iterator[PassageReader]:
    with opened as passages:
        yield LimitedPassages(passages, limit)


def _is_stream(name: str | Path) -> bool:
    return str(name) == "-" or (url_of(name) is None and Path(name).is_fifo())


def _said(options: object, defaults: object, names: Iterable[str]) -> dict[str, str]:
    """Those of the options that aren't as usual: checkpoints of before there were any say nothing of them."""
    changed = {name: getattr(options, name) for name in names if getattr(options, name) != getattr(defaults, name)}
    return {
        f"--{name.replace('_', '-')}": ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in changed.items()
    }


def _column_types(indexes: Mapping[str, IndexType]) -> dict[str, IndexType]:
    """The types of columns, by their names: an index is named by a path, which may quote them. A column with a dot
    in its name may also be named as it is."""
    paths = {parse_path(name): kind for name, kind in indexes.items()}
    plain = {path[0].name: kind for path, kind in paths.items() if len(path) == 1 and not path[0].elements}
    return {**indexes, **plain}
