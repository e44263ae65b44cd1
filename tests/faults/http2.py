"""HTTP/2 frames, as far as a proxy must read them to know which request is on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hpack import Decoder, Encoder

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

_HEADER_BYTES: Final = 9
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_PRIORITY: Final = 0x20


Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its bytes as they came, and what of it matters. `fields` are those of a block of headers."""

    raw: bytes
    kind: int
    stream: int
    ends_stream: bool = False
    data: bytes = b""
    fields: Headers | None = None

    def field(self, name: str) -> str | None:
        """The value of one of the headers."""
        return dict(self.fields or ()).get(name)


class FrameReader:
    """Cuts one direction of a connection into frames; keeps what is not a whole one yet.

    A block of headers that goes over several frames comes as one.
    """

    def __init__(self, *, preface: bool) -> None:
        self._rest = b""
        self._awaits_preface = preface
        self._decoder = Decoder()
        self._decoder.max_allowed_table_size = 1 << 20
        self._block = b""
        self._ends_stream = False

    def feed(self, more: bytes) -> Iterator[Frame]:
        """The frames that are whole now. The preface counts as a frame of kind -1."""
        self._rest += more
        if self._awaits_preface:
            if len(self._rest) < len(PREFACE):
                return
            self._awaits_preface = False
            self._rest = self._rest[len(PREFACE) :]
            yield Frame(PREFACE, -1, 0)
        while len(self._rest) >= _HEADER_BYTES:
            end = _HEADER_BYTES + int.from_bytes(self._rest[:3])
            if len(self._rest) < end:
                return
            raw, self._rest = self._rest[:end], self._rest[end:]
            if (frame := self._frame(raw)) is not None:
                yield frame

    def _frame(self, raw: bytes) -> Frame | None:
        kind, flags, stream = raw[3], raw[4], int.from_bytes(raw[5:9]) & 0x7FFFFFFF
        payload = raw[_HEADER_BYTES:]
        if kind in (DATA, HEADERS) and flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == HEADERS and flags & _PRIORITY:
            payload = payload[5:]
        if kind == DATA:
            return Frame(raw, kind, stream, bool(flags & _END_STREAM), payload)
        if kind not in (HEADERS, CONTINUATION):
            return Frame(raw, kind, stream)
        if kind == HEADERS:
            self._ends_stream = bool(flags & _END_STREAM)
        self._block += payload
        if not flags & _END_HEADERS:
            return None
        block, self._block = self._block, b""
        fields = [(str(name), str(value)) for name, value in self._decoder.decode(block)]
        return Frame(raw, HEADERS, stream, self._ends_stream, fields=fields)


class FrameWriter:
    """Makes the frames of one direction. Headers are encoded anew: so some can be left out, and others put in."""

    def __init__(self) -> None:
        self._encoder = Encoder()

    def passed_on(self, frame: Frame) -> bytes:
        """The same frame for the other side."""
        if frame.fields is None:
            return frame.raw
        return self.headers(frame.stream, frame.fields, ends_stream=frame.ends_stream)

    def headers(self, stream: int, fields: Headers, *, ends_stream: bool) -> bytes:
        """A block of headers."""
        flags = _END_HEADERS | (_END_STREAM if ends_stream else 0)
        return _frame(HEADERS, flags, stream, self._encoder.encode(fields))

    def answer(self, stream: int, status: int, fields: Headers, message: bytes) -> bytes:
        """A whole gRPC answer: the message where the status is 0, and else the status alone."""
        begin: Headers = [(":status", "200"), ("content-type", "application/grpc")]
        end: Headers = [("grpc-status", str(status)), *fields]
        if status:
            return self.headers(stream, [*begin, *end, ("grpc-message", "a%20fault")], ends_stream=True)
        body = b"\0" + len(message).to_bytes(4) + message
        first = self.headers(stream, begin, ends_stream=False)
        return first + _frame(DATA, 0, stream, body) + self.headers(stream, end, ends_stream=True)


def window_update(size: int) -> bytes:
    """Lets the other side send so many bytes more on the connection."""
    return _frame(WINDOW_UPDATE, 0, 0, size.to_bytes(4))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload
