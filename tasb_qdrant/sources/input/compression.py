"""gzip and Zstandard, recognised by their first bytes and decompressed piece by piece.

Every piece is small however much a stream expands: the decompressors of the standard library and of
`zstandard` are fed so that a decompression bomb costs time, not memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final

import zstandard

from tasb_qdrant.errors import SourceError

PIECE_BYTES: Final = 256 * 1024
"""The approximate maximum length of a piece: large enough to be cheap, small enough for the cache."""

MAGIC_BYTES: Final = 10
"""How many leading bytes identify the compression."""

_RAW_BYTES: Final = 64 * 1024

# One block of Zstandard yields at most 128 KiB and takes at least 4 bytes, so a feed of 256 bytes can
# expand to 8 MiB and no further. Feeds of 64 KiB decompress a common corpus only 10% faster.
_ZSTD_FEED_BYTES: Final = 256

# What the zstd command allows without --long; a larger window lets a file demand that much memory.
_ZSTD_WINDOW_BYTES: Final = 128 * 1024 * 1024

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_OTHERS: Final = (
    (b"BZh", "bzip2", "bzip2 -dc"),
    (b"\xfd7zXZ\x00", "xz", "xz -dc"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
    (b"PK\x03\x04", "zip", "unzip -p"),
)

Read = Callable[[int], bytes]


def decompressed(read: Read, magic: bytes, *, source: str) -> Iterator[bytes]:
    """The plain bytes, in pieces of at most PIECE_BYTES. `magic` is the start of what `read` will return.

    Raises SourceError for an unsupported compression, a damaged stream, or one that ends too early
    (after every piece before the end).
    """
    if magic.startswith(_GZIP):
        return _pieces(_gunzip(read, source))
    if magic.startswith(_ZSTD) or _is_skippable_frame(magic):
        return _pieces(_unzstd(read, source))
    for start, name, command in _OTHERS:
        if magic.startswith(start) and (name != "bzip2" or magic[4:10] == b"1AY&SY"):
            raise SourceError(
                f"compressed with {name}; expected gzip, zstd or plain text; decompress it through a pipe: "
                f"{command} FILE | tasb-qdrant ingest - --format FORMAT",
                source=source,
            )
    return iter(lambda: read(PIECE_BYTES), b"")


def _is_skippable_frame(magic: bytes) -> bool:
    """Whether it starts with a frame that carries no data, as pzstd and others write."""
    return magic[1:4] == b"\x2a\x4d\x18" and 0x50 <= magic[0] <= 0x5F


def _gunzip(read: Read, source: str) -> Iterator[bytes]:
    data = read(_RAW_BYTES)
    while data:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            data = data or read(_RAW_BYTES)
            at_end = not data
            try:
                piece = member.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise _damaged("gzip", error, source) from None
            data = member.unconsumed_tail
            if piece:
                yield piece
            elif at_end and not member.eof:
                raise _truncated(source)
        # Tapes and some writers pad with zeros; another member may follow.
        data = member.unused_data.lstrip(b"\x00")
        while not data and (more := read(_RAW_BYTES)):
            data = more.lstrip(b"\x00")


def _unzstd(read: Read, source: str) -> Iterator[bytes]:
    # stream_reader would be shorter, but it takes a truncated stream for a complete one.
    options = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    frame = options.decompressobj()
    at_boundary = False
    while data := read(_RAW_BYTES):
        start = 0
        while start < len(data):
            feed = data[start : start + _ZSTD_FEED_BYTES]
            if at_boundary:
                frame = options.decompressobj()
            try:
                piece = frame.decompress(feed)
            except zstandard.ZstdError as error:
                raise _damaged("zstd", error, source) from None
            start += len(feed) - len(frame.unused_data)
            at_boundary = frame.eof
            if piece:
                yield piece
    if not at_boundary:
        raise _truncated(source)


def _pieces(stream: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, joined or cut into pieces of PIECE_BYTES. An error is raised after the bytes that precede it."""
    gathered: list[bytes] = []
    size = 0
    failure: SourceError | None = None
    while failure is None:
        try:
            piece = next(stream, b"")
        except SourceError as error:
            failure, piece = error, b""
        gathered.append(piece)
        size += len(piece)
        if piece and size < PIECE_BYTES:
            continue
        joined = b"".join(gathered)
        yield from (joined[at : at + PIECE_BYTES] for at in range(0, size, PIECE_BYTES))
        if not piece and failure is None:
            return
        gathered, size = [], 0
    raise failure


def _damaged(name: str, error: Exception, source: str) -> SourceError:
    detail = str(error).split(": ")[-1]
    return SourceError(f"the {name} stream is damaged ({detail}); fetch it again", source=source)


def _truncated(source: str) -> SourceError:
    return SourceError("the file ends in the middle of the compressed stream; fetch it again", source=source)
