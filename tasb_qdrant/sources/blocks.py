"""Sources in blocks that can be read one by one, in any process: together they give what the whole source gives."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from tasb_qdrant.errors import SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.find.partitions import Partition
from tasb_qdrant.sources.input.lines import MAX_LINE_BYTES, TOO_LONG, after_line, without_bom
from tasb_qdrant.sources.jsonl import read_jsonl
from tasb_qdrant.sources.msmarco_tsv import read_msmarco
from tasb_qdrant.sources.record.plan import FieldPlan

BLOCK_BYTES: Final = 256 * 1024
"""About how many bytes a block has: some hundred passages, so that handing it over costs little beside reading it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines or rows of source number `source`: `data`, whose meaning its format knows. `before` of them come before
    the first, and `bytes_read` is how far the reader was, over all its sources, when it had them."""

    source: int
    before: int
    data: Any
    bytes_read: int


class BlockFormat(Protocol):
    """How the blocks of one source are read, each by itself. It can be sent to another process."""

    def passages(self, data: Any, cursor: Cursor, *, before: int) -> Iterator[Passage]:
        """The passages of the lines or rows after the first `before`, in order."""


@dataclass(frozen=True, slots=True)
class InBlocks:
    """A source that can be read in blocks: their format, and what gives (data, how many lines or rows) of each."""

    format: BlockFormat
    blocks: Callable[[], Iterator[tuple[Any, int]]]


@dataclass(frozen=True, slots=True)
class LineFormat:
    """Lines of JSONL, which have a `plan`, or of MS MARCO's TSV."""

    kind: Literal["jsonl", "msmarco"]
    plan: FieldPlan | None = None
    partition: Partition = field(default_factory=dict)

    def passages(self, data: bytes | None, cursor: Cursor, *, before: int) -> Iterator[Passage]:
        """Those of whole lines; None stands for one line that is too long to be read."""
        if data is None:
            cursor.reject(before + 1, TOO_LONG)
            return iter(())
        # A byte order mark belongs to the start of a file: this one is skipped, and none in the lines is.
        stream = iter((BOM_UTF8, data))
        if self.plan is None:
            return read_msmarco(stream, cursor, self.partition, before=before)
        return read_jsonl(stream, cursor, self.plan, _planned_already, before=before)


def line_pieces(pieces: Iterator[bytes], *, source: str, size: int = BLOCK_BYTES) -> Iterator[tuple[bytes | None, int]]:
    """Whole lines, of about `size` bytes, and their number; None stands for a line that is too long.

    A byte order mark at the start is skipped. A SourceError from the bytes is raised after the lines before it, and
    names the line reached.
    """
    held = bytearray()
    skipping = False
    count = 0
    pieces = without_bom(pieces)
    while True:
        try:
            piece = next(pieces, None)
        except SourceError as error:
            if cut := held.rfind(b"\n") + 1:
                count += (lines := held.count(b"\n"))
                yield bytes(held[:cut]), lines
            raise after_line(error, count, source) from None
        if piece is None:
            break
        if skipping:
            end = piece.find(b"\n")
            if end < 0:
                continue
            count += 1
            yield None, 1
            piece, skipping = piece[end + 1 :], False
        held += piece
        if len(held) < size:
            continue
        if cut := held.rfind(b"\n") + 1:
            data = bytes(held[:cut])
            del held[:cut]
            count += (lines := data.count(b"\n"))
            yield data, lines
        if len(held) > MAX_LINE_BYTES:
            held.clear()
            skipping = True
    if skipping:
        yield None, 1
    elif held:
        yield bytes(held), held.count(b"\n") + (not held.endswith(b"\n"))


def _planned_already(_: object) -> FieldPlan:
    raise AssertionError("a source without a plan is not read in blocks")
