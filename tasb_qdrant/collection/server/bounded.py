"""A server's answers over REST, unpacked here: what grows a thousandfold on the way into memory is not taken."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx

ENCODINGS: Final = "gzip, deflate"
"""How answers may be packed, for the header Accept-Encoding."""

_MUCH: Final = 64 * 2**20
_GROWTH: Final = 100
"""An unpacked answer has more than _MUCH bytes only if each byte that was sent gives at most so many: JSON of vectors
gives 3, that of texts 10."""

_MOST: Final = 2**32
_PIECE: Final = 2**20


class AnswerTooLargeError(httpx.HTTPError):
    """More than is taken. Not one of the errors that another try may overcome."""


def bound(answer: httpx.Response) -> None:
    """Have the answer, whose body is still to be read, unpacked within bounds: a hook of an `httpx.Client`."""
    answer.stream = _Bounded(answer.stream, _Unpacker(_taken_encoding(answer)))


async def bound_async(answer: httpx.Response) -> None:
    """The same for an `httpx.AsyncClient`."""
    answer.stream = _AsyncBounded(answer.stream, _Unpacker(_taken_encoding(answer)))


def _taken_encoding(answer: httpx.Response) -> str:
    """What the header says, which is taken out: the client itself would unpack without an end."""
    encoding: str = answer.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return ""
    del answer.headers["content-encoding"]
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise AnswerTooLargeError(f"it is packed as {encoding[:40]!r}, which was not asked for")
    return encoding


class _Unpacker:
    """Packed bytes to plain ones, a piece at a time. Raises AnswerTooLargeError, httpx.DecodingError."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._member: Any = None
        self._sent = self._given = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What these bytes give."""
        self._sent += len(data)
        if not self._encoding:
            yield self._counted(data)
            return
        while data:
            if self._member is None:
                self._member = zlib.decompressobj(_window(self._encoding, data))
            try:
                piece = self._member.decompress(data, _PIECE)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from None
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if self._member.eof:
                self._member = None
            if piece:
                yield self._counted(piece)
            elif not data:
                return

    def _counted(self, piece: bytes) -> bytes:
        self._given += len(piece)
        if self._given > (max(_MUCH, _GROWTH * self._sent) if self._encoding else _MOST) or self._given > _MOST:
            raise AnswerTooLargeError(
                f"{self._sent:,} bytes of it are more than {self._given // 2**20:,} MiB in memory"
            )
        return piece


def _window(encoding: str, data: bytes) -> int:
    """zlib's argument for the format; deflate may come with zlib's header or, from some servers, without."""
    if encoding != "deflate":
        return zlib.MAX_WBITS | 16
    has_header = len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


class _Bounded(httpx.SyncByteStream):
    def __init__(self, stream: Any, unpacker: _Unpacker) -> None:
        self._stream = stream
        self._unpacker = unpacker

    def __iter__(self) -> Iterator[bytes]:
        for data in self._stream:
            yield from self._unpacker.pieces(data)

    def close(self) -> None:
        self._stream.close()


class _AsyncBounded(httpx.AsyncByteStream):
    def __init__(self, stream: Any, unpacker: _Unpacker) -> None:
        self._stream = stream
        self._unpacker = unpacker

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            for piece in self._unpacker.pieces(data):
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
