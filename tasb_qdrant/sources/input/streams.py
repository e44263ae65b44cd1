"""A source's bytes: opened, counted, decompressed, and peeked at before they are read."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from tasb_qdrant.errors import SourceError
from tasb_qdrant.sources.find.discover import Found
from tasb_qdrant.sources.input.compression import MAGIC_BYTES, decompressed
from tasb_qdrant.sources.input.encodings import as_utf8

HEAD_BYTES: Final = 64 * 1024
"""How much of a source is peeked at before it is read."""

_HEAD_LIMIT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """The start of a source, in whole lines if it has any. `whole` if nothing follows."""

    data: bytes
    whole: bool

    def lines(self) -> list[bytes]:
        """The complete lines."""
        lines = self.data.split(b"\n")
        return lines if self.whole else lines[:-1]


class ByteStream(Iterator[bytes]):
    """Decompressed text in UTF-8, in small pieces. `bytes_read` counts the raw ones. Raises SourceError."""

    def __init__(
        self, stream: BinaryIO, *, source: str, first: bytes = b"", owned: bool = True, encoding: str | None = None
    ) -> None:
        self.bytes_read = 0
        self._stream = stream
        self._owned = owned
        self._source = source
        # read1 returns what the pipe holds; read would wait until the piece is full.
        self._read_some = getattr(stream, "read1", stream.read)
        self._pending = first
        self._head: list[bytes] = []
        self._failure: SourceError | None = None
        magic = self._raw_start()
        self._pieces = as_utf8(decompressed(self._read, magic, source=source), encoding, source=source)

    def __next__(self) -> bytes:
        if self._head:
            return self._head.pop()
        if self._failure is not None:
            raise self._failure
        return next(self._pieces)

    def peek(self) -> Head:
        """The start of the bytes, without consuming them: HEAD_BYTES of whole lines, or one longer line.

        It depends only on the bytes, not on how they arrive. An error is raised when they are read, not here.
        """
        head, ended = b"", False
        while len(head) < HEAD_BYTES or (len(head) < _HEAD_LIMIT and b"\n" not in head):
            try:
                piece = next(self._pieces, None)
            except SourceError as error:
                self._failure = error
                break
            if piece is None:
                ended = True
                break
            head += piece
        if self._failure is not None and not head:
            raise self._failure
        self._head = [head] if head else []
        if ended and len(head) <= HEAD_BYTES:
            return Head(head, whole=True)
        cut = head.rfind(b"\n", 0, HEAD_BYTES)
        cut = cut if cut >= 0 else head.find(b"\n")
        return Head(head[: cut + 1] if cut >= 0 else head, whole=ended and cut < 0)

    def close(self) -> None:
        """Close the file. A stream that was passed in stays open."""
        if self._owned:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _raw_start(self) -> bytes:
        start = self._pending
        self._pending = b""
        while len(start) < MAGIC_BYTES and (more := self._read(MAGIC_BYTES)):
            start += more
        self._pending = start
        return start

    def _read(self, size: int) -> bytes:
        if self._pending:
            data, self._pending = self._pending, b""
            return data
        try:
            data = self._read_some(size)
        except OSError as error:
            raise _unreadable(error, self._source) from None
        self.bytes_read += len(data)
        return data


class Input:
    """One source: a file, which can be opened any number of times, or a stream, which is read once.

    `name` is for people, `file_name` has the ending that tells the format.
    """

    def __init__(self, found: Found, *, stdin: BinaryIO | None, fifo_wait: float, encoding: str | None = None) -> None:
        self.found = found
        self.path: Path | None = found.path
        self.remote = found.remote
        self.file_name = found.label if found.remote else found.name
        self.name = found.name
        self.size = found.size
        self._encoding = encoding
        self._stream: ByteStream | None = None
        if found.kind == "stdin":
            self._stream = ByteStream(stdin or sys.stdin.buffer, source=self.name, owned=False, encoding=encoding)
        elif found.kind == "fifo" and found.path is not None:
            self._stream = _open_fifo(found.path, wait=fifo_wait, encoding=encoding)

    @property
    def is_stream(self) -> bool:
        """Whether it can be read only once and has no known size."""
        return self._stream is not None

    def head(self) -> Head:
        """Its first bytes, as `peek` gives them."""
        if self._stream is not None:
            return self._stream.peek()
        with self.open() as stream:
            return stream.peek()

    def open(self) -> ByteStream:
        """Its bytes, from the start."""
        if self._stream is not None:
            return self._stream
        try:
            # ByteStream closes it.
            file = self.remote.stream() if self.remote else open(self.name, "rb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _unreadable(error, self.name) from None
        try:
            return ByteStream(file, source=self.name, encoding=self._encoding)
        except SourceError:
            file.close()
            raise

    def close(self) -> None:
        """Release a stream; files are closed by whoever opened them."""
        if self._stream is not None:
            self._stream.close()


def _open_fifo(path: Path, *, wait: float, encoding: str | None) -> ByteStream:
    """The pipe, once a writer has opened it. Raises SourceError when none has within `wait` seconds.

    Opening a pipe that has no writer would block for ever, silently. A writer that has opened it may take its
    time: a sort, for one, does all its work before the first byte.
    """
    source = str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(error, source) from None
    first = b""
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if not poller.poll(wait * 1000):
            first = _first_byte(descriptor, source, wait)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    stream = os.fdopen(descriptor, "rb", buffering=0)
    return ByteStream(stream, source=source, first=first, encoding=encoding)


def _first_byte(descriptor: int, source: str, wait: float) -> bytes:
    """The first byte, if it has arrived; nothing if a writer is there but hasn't written yet."""
    try:
        first = os.read(descriptor, 1)
    except BlockingIOError:
        return b""
    if not first:
        raise SourceError(
            f"a pipe that no writer opened within {wait:g} s; start the writer first, or use -", source=source
        )
    return first


def _unreadable(error: OSError, source: str) -> SourceError:
    reason = error.strerror or " ".join(str(error).split())
    return SourceError(f"can't be read ({reason}); correct the name or its permissions", source=source)
