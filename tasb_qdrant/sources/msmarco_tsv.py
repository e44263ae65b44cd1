"""MS MARCO's collection.tsv: `pid<TAB>text` on each line, no header, no quoting."""

from __future__ import annotations

from collections.abc import Iterator

from tasb_qdrant.records import Passage
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.find.partitions import Partition
from tasb_qdrant.sources.input.lines import TOO_LONG, line_blocks, undecodable


def read_msmarco(
    stream: Iterator[bytes], cursor: Cursor, partition: Partition, *, before: int = 0
) -> Iterator[Passage]:
    """The passages of the lines after the first `before`, in order. Blank lines are skipped; the text is as it is."""
    number = before
    for block in line_blocks(stream, source=cursor.source):
        for raw in block:
            number += 1
            if not raw:
                if raw is None:
                    cursor.reject(number, TOO_LONG)
                continue
            # ValueError: not UTF-8, not two columns, or not a passage. Told apart afterwards, because
            # checking every good line would cost more than the rest of the loop.
            try:
                passage_id, text = raw.decode().split("\t")
                passage = Passage(id=passage_id, text=text.removesuffix("\r"), payload={**partition})
            except ValueError as error:
                if not raw.isspace():
                    cursor.reject(number, _why(raw, error))
                continue
            cursor.line = number
            yield passage


def _why(raw: bytes, error: ValueError) -> str:
    if reason := undecodable(raw):
        return reason
    columns = raw.count(b"\t") + 1
    if columns != 2:
        return f"{columns} column{'s' * (columns > 1)}, expected 2 (pid<TAB>text)"
    return str(error)
