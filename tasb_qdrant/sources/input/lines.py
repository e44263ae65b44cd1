"""Bytes split into lines of bounded length."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final

from tasb_qdrant.errors import SourceError

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""A longer line is refused without ever being held in memory."""

TOO_LONG: Final = f"the line is longer than {MAX_LINE_BYTES:,} bytes, the most that is read"


def line_blocks(pieces: Iterator[bytes], *, source: str) -> Iterator[list[bytes | None]]:
    r"""The lines in order, in lists that are cheap to loop over; None stands for a line that is too long.

    Lines end at \n, and at no other character; the \n is cut off, a \r before it is kept. A byte order
    mark at the start is skipped. A SourceError from the bytes is raised after the lines before it, and
    names the line reached.
    """
    tail = b""
    skipping = False
    count = 0
    pieces = without_bom(pieces)
    while True:
        try:
            piece = next(pieces, b"")
        except SourceError as error:
            raise after_line(error, count, source) from None
        if not piece:
            break
        lines: list[bytes | None] = [*piece.split(b"\n")]
        lines[0] = tail + (lines[0] or b"")
        tail = lines.pop() or b""
        if lines:
            if skipping or len(lines[0] or b"") > MAX_LINE_BYTES:
                lines[0] = None
                skipping = False
            count += len(lines)
            yield lines
        if skipping or len(tail) > MAX_LINE_BYTES:
            tail, skipping = b"", True
    if skipping or tail:
        yield [None if skipping else tail]


def undecodable(raw: bytes) -> str | None:
    """Why the line isn't UTF-8, or None if it is."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return (
            f"invalid UTF-8 (byte 0x{raw[error.start]:02x}) at byte offset {error.start} of the line; if the file has "
            "another encoding, name it: --encoding cp1252"
        )
    return None


def without_bom(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes without a byte order mark at their start."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= len(codecs.BOM_UTF8):
            break
    if start := start.removeprefix(codecs.BOM_UTF8):
        yield start
    yield from pieces


def after_line(error: SourceError, count: int, source: str) -> SourceError:
    """The error of a source of which so many lines were read."""
    read = f"the {count:,} lines before it were read" if count else "no line was read before it"
    return SourceError(f"{error.reason}; {read}", source=source, line=count + 1)
