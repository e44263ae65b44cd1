"""One JSON array of objects, as pandas' to_json and many APIs write it, an element at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from tasb_qdrant.errors import InvalidPassageError, SourceError
from tasb_qdrant.records import MAX_PAYLOAD_DEPTH, Passage
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.input.lines import MAX_LINE_BYTES
from tasb_qdrant.sources.input.streams import Head
from tasb_qdrant.sources.jsonl import Plan, finite_float, kind_of
from tasb_qdrant.sources.record.plan import FieldPlan

_SAMPLES: Final = 100
_SPACE: Final = re.compile(r"[ \t\r\n]*")


def is_array(head: Head) -> bool:
    """Whether the source is one array, and not a line for each record."""
    return head.data.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["


def plan_array(head: Head, plan: Plan) -> FieldPlan | None:
    """Which fields hold what, judging by the first elements; None if no object can be read there."""
    samples: list[dict[str, Any]] = []
    try:
        for _, value in _elements(iter([head.data]), source=""):
            if type(value) is dict:
                samples.append(value)
            if len(samples) == _SAMPLES:
                break
    except SourceError:  # the head is cut anywhere
        pass
    return plan(samples) if samples else None


def read_array(stream: Iterator[bytes], cursor: Cursor, planned: FieldPlan | None, plan_for: Plan) -> Iterator[Passage]:
    """The passages in order; `cursor.line` is the number of the element. Raises SourceError for what is no array."""
    plan = planned
    for number, value in _elements(stream, source=cursor.source):
        if type(value) is not dict:
            cursor.reject(number, f"expected a JSON object, got {kind_of(value)}")
            continue
        try:
            plan = plan or plan_for([value])
            passage = plan.passage(value, cursor, number)
        except InvalidPassageError as error:
            cursor.reject(number, error.reason)
            continue
        cursor.line = number
        yield passage


class _Text:
    """The decoded text from where reading stands, and more of it when asked."""

    def __init__(self, pieces: Iterator[bytes], *, source: str) -> None:
        self.text = ""
        self.at = 0
        self.ended = False
        self._pieces = pieces
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def more(self) -> bool:
        """Whether there was more. It doubles what is held, so that a long element is tried only a few times."""
        wanted = max(len(self.text) - self.at, 1)
        parts = [self.text[self.at :]]
        size = 0
        while size < wanted and not self.ended:
            piece = next(self._pieces, b"")
            self.ended = not piece
            try:
                parts.append(self._decoder.decode(piece, final=self.ended))
            except UnicodeDecodeError as error:
                reason = (
                    f"invalid UTF-8 (byte 0x{error.object[error.start]:02x}); if the file has another encoding, name it"
                )
                raise SourceError(f"{reason}: --encoding cp1252", source=self._source) from None
            size += len(parts[-1])
        self.text, self.at = "".join(parts), 0
        return size > 0

    def peek(self) -> str:
        """The next character that is no white space, or nothing at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]


def _elements(pieces: Iterator[bytes], *, source: str) -> Iterator[tuple[int, Any]]:
    """(its number from 1 on, the element). Raises SourceError, with the element's number, where the array is broken."""
    text = _Text(pieces, source=source)
    text.peek()
    text.at += 1  # the bracket, which told that this is an array
    number = 0
    if text.peek() == "]":
        text.at += 1
    else:
        while True:
            number += 1
            text.peek()
            yield number, _element(text, number, source)
            mark = text.peek()
            text.at += 1
            if mark == "]":
                break
            if mark != ",":
                raise _broken(
                    f"expected a comma or the array's end, got {mark or 'the end of the file'!r}", number, source
                )
    if left := text.peek():
        raise _broken(f"expected nothing after the array, got {left!r}", number, source)


_DECODER: Final = json.JSONDecoder(parse_float=finite_float)


def _element(text: _Text, number: int, source: str) -> Any:
    while True:
        try:
            value, end = _DECODER.raw_decode(text.text, text.at)
            # A number may go on in the next piece.
            if end < len(text.text) or text.ended or not isinstance(value, int | float):
                text.at = end
                return value
            problem = ""
        except RecursionError:
            raise _broken(f"nested deeper than {MAX_PAYLOAD_DEPTH}", number, source) from None
        except ValueError as error:
            problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        if len(text.text) - text.at > MAX_LINE_BYTES:
            raise _broken(f"longer than {MAX_LINE_BYTES:,} characters, the most that is read", number, source)
        if not text.more():
            raise _broken(f"malformed JSON: {problem}", number, source)


def _broken(reason: str, number: int, source: str) -> SourceError:
    return SourceError(
        f"element {number:,} of the JSON array: {reason}; correct the file, or write one object per line, where a bad "
        "one costs no others",
        source=source,
        line=number,
    )
