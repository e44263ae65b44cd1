"""Any number of sources, one after another, as one iterator of passages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.sources.blocks import Block, BlockFormat, InBlocks
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.input.streams import Input
from tasb_qdrant.sources.record.choice import Choice
from tasb_qdrant.sources.record.fields import FieldsTaken
from tasb_qdrant.sources.remote.file import RemoteFile

SourceFile = Path | RemoteFile | Literal["-"]
"""What a source was found as: a file here or elsewhere, or standard input."""


class Source(Protocol):
    """A source that has been checked and can be read."""

    @property
    def bytes_read(self) -> int: ...
    @property
    def taken(self) -> FieldsTaken | None: ...
    @property
    def in_blocks(self) -> InBlocks | None: ...
    def passages(self, cursor: Cursor) -> Iterator[Passage]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class InMemory:
    """What isn't read from anywhere."""

    name: str
    size: int | None = None

    def close(self) -> None:
        """There is nothing to close."""


class SourceReader(Iterator[Passage]):
    """The passages of all sources in order, read once. Like csv.reader, it knows where the last one came from.

    `source` names the current file ("<stdin>" for `-`), `line` is the 1-based line (CSV: where the record
    starts), row (Parquet) or element (a JSON array) of the last passage, `rejected` counts the rejects so far,
    `nulled` the values that JSON can't say (NaN, Infinity) and that are stored as null, `whole_ids` the ids that were
    whole floats and were read as integers, and `converted` those values of each field that were given the type of its
    index. `bytes_read` counts raw, possibly compressed bytes, out of `bytes_total`, which is None if one of the sources
    is a stream. `files` are the sources as they were found, `inputs` their (name, format, size in bytes or None),
    `fields_taken` says which fields were recognised in each source that has fields, and `unseen_fields` which of the
    chosen fields no record has had so far. After an error, reading can't continue: the same error is raised again,
    rather than an end that looks like success.
    """

    def __init__(
        self,
        inputs: Sequence[tuple[Input | InMemory, Source]],
        *,
        on_reject: Callable[[Reject], None] | None,
        choice: Choice | None = None,
        formats: Sequence[str] = (),
    ) -> None:
        self._inputs = tuple(inputs)
        self._cursor = Cursor(on_reject)
        self.choice = choice
        self._current: Source | None = None
        self._bytes_before = 0
        self._passages = self._read()
        self.files: tuple[SourceFile, ...] = tuple(
            one.remote or one.path or "-" for one, _ in self._inputs if isinstance(one, Input)
        )
        named = [one for one, _ in self._inputs]
        self.inputs = tuple((one.name, kind, one.size) for one, kind in zip(named, formats, strict=False))
        self.fields_taken = tuple(taken for _, source in self._inputs if (taken := source.taken) is not None)
        sizes = [one.size for one, _ in self._inputs]
        self.bytes_total: int | None = None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def source(self) -> str:
        """The current file's name."""
        return self._cursor.source

    @property
    def line(self) -> int:
        """The 1-based line or row of the last passage."""
        return self._cursor.line

    @property
    def rejected(self) -> int:
        """Rejects so far."""
        return self._cursor.rejected

    @property
    def nulled(self) -> int:
        """Values of payload fields that became null so far."""
        return self._cursor.nulled

    @property
    def whole_ids(self) -> int:
        """Ids that were floats, such as 7.0, and were read as integers, so far."""
        return self._cursor.whole_ids

    @property
    def converted(self) -> dict[str, int]:
        """How many values of each field were converted to the type of its index so far."""
        return dict(self._cursor.converted)

    @property
    def unseen_fields(self) -> tuple[str, ...]:
        """Which of SourceFields.fields no record had so far."""
        return () if self.choice is None else tuple(sorted(self.choice.unseen))

    @property
    def bytes_read(self) -> int:
        """Raw bytes so far. A little ahead of the passages, because bytes are read in pieces."""
        return self._bytes_before + (self._current.bytes_read if self._current is not None else 0)

    @property
    def names(self) -> tuple[str, ...]:
        """What each source is called, in order."""
        return tuple(one.name for one, _ in self._inputs)

    @property
    def block_formats(self) -> tuple[BlockFormat, ...] | None:
        """How the blocks of each source are read; None if one of them can't be read in blocks. A stream isn't: what
        came of it must not wait for more."""
        if self.bytes_total is None:
            return None
        each = [source.in_blocks for _, source in self._inputs]
        formats = tuple(one.format for one in each if one is not None)
        return formats if len(formats) == len(each) else None

    def blocks(self) -> Iterator[Block]:
        """All sources in blocks, in order, instead of their passages. Raises SourceError."""
        for number, (one, source) in enumerate(self._inputs):
            self._cursor.source, self._cursor.line = one.name, 0
            self._current = source
            before = 0
            for data, count in source.in_blocks.blocks() if source.in_blocks is not None else ():
                yield Block(number, before, data, self.bytes_read)
                before += count
            source.close()
            self._bytes_before += source.bytes_read
            self._current = None

    def read_elsewhere(
        self, *, nulled: int, whole_ids: int, converted: Mapping[str, int], unseen: Collection[str]
    ) -> None:
        """Count what was met in a block: values that were `nulled`, `whole_ids`, those `converted` of each field, and
        which of the chosen fields are `unseen` by whoever read it."""
        self._cursor.nulled += nulled
        self._cursor.whole_ids += whole_ids
        for name, count in converted.items():
            self._cursor.converted[name] = self._cursor.converted.get(name, 0) + count
        if self.choice is not None:
            self.choice.unseen.intersection_update(unseen)

    def __next__(self) -> Passage:
        try:
            return next(self._passages)
        except StopIteration:
            raise
        except BaseException as error:
            self._passages = _again(error)
            raise

    def close(self) -> None:
        """Close whatever is open. A stream that was passed in stays open."""
        self._passages = _again(ValueError("the reader is closed"))
        for one, source in self._inputs:
            source.close()
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self) -> Iterator[Passage]:
        for one, source in self._inputs:
            self._cursor.source, self._cursor.line = one.name, 0
            self._current = source
            yield from source.passages(self._cursor)
            source.close()
            self._bytes_before += source.bytes_read
            self._current = None


def _again(error: BaseException) -> Iterator[Passage]:
    raise error
    yield
