"""Plain text and Markdown: each file is a passage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.input.lines import MAX_LINE_BYTES, undecodable
from tasb_qdrant.sources.record.plan import Origin

_HEADING: Final = re.compile(r"\s*#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*(?:\r?\n|$)")


def read_text(stream: Iterator[bytes], cursor: Cursor, origin: Origin) -> Iterator[Passage]:
    """The one passage: its id is the file's path below the folder that was named, its title the heading that the text
    begins with (which the text then doesn't repeat), or the file's name."""
    data = bytearray()
    for piece in stream:
        data += piece
        if len(data) > MAX_LINE_BYTES:
            cursor.reject(1, f"the file is longer than {MAX_LINE_BYTES:,} bytes, the most that is read as one passage")
            return
    if not data.strip():
        cursor.reject(1, "the file is empty")
        return
    raw = bytes(data).removeprefix(b"\xef\xbb\xbf")
    if reason := undecodable(raw):
        cursor.reject(1, reason.replace("of the line", "of the file"))
        return
    text = raw.decode()
    heading = _HEADING.match(text)
    title = heading[1] if heading else PurePath(origin.label).stem
    try:
        passage = Passage(
            id=origin.label or cursor.source,
            text=text[heading.end() :].strip() if heading else text.strip(),
            title=title,
            payload=dict(origin.partition),
        )
    except InvalidPassageError as error:
        cursor.reject(1, error.reason)
        return
    cursor.line = 1
    yield passage
