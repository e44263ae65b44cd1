"""Text in other encodings as UTF-8, piece by piece."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final

from tasb_qdrant.errors import SourceError

# The mark of UTF-32 begins with that of UTF-16, and so goes first.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARK_BYTES: Final = 4


def as_utf8(pieces: Iterator[bytes], encoding: str | None, *, source: str) -> Iterator[bytes]:
    """The text in UTF-8. Without an encoding that was asked for, a byte order mark tells it, else it is UTF-8 already.

    Raises SourceError where the bytes aren't of the encoding that was asked for, after all that comes before them.
    """
    start = b""
    while len(start) < _MARK_BYTES and (piece := next(pieces, b"")):
        start += piece
    told = encoding or next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if told is None or codecs.lookup(told).name in ("utf-8", "utf-8-sig"):
        if start:
            yield start
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder(told)()
    size = 0
    piece = start
    while True:
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            if before := _decodable(error, told):
                yield before
            raise SourceError(
                f"no {told} text: the bytes {error.object[error.start : error.end].hex(' ')} near byte {size:,} are "
                "none of its; give another --encoding",
                source=source,
            ) from None
        size += len(piece)
        if text:
            yield text.encode(errors="surrogatepass")
        if not piece:
            return
        piece = next(pieces, b"")


def _decodable(error: UnicodeDecodeError, encoding: str) -> bytes:
    return error.object[: error.start].decode(encoding, errors="ignore").encode(errors="surrogatepass")
