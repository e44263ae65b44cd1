"""HTTP/2 frames, as far as a proxy must read them to know which request is on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hpack import Decoder

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
CONTINUATION: Final = 9

_HEADER_BYTES: Final = 9
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_PRIORITY: Final = 0x20


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its bytes as they came, and what of it matters."""

    raw: bytes
    kind: int
    stream: int
    ends_stream: bool
    data: bytes = b""
    headers: dict[str, str] | None = None


class FrameReader:
    """Cuts one direction of a connection into frames; keeps what is not a whole one yet."""

    def __init__(self, *, preface: bool) -> None:
        self._rest = b""
        self._awaits_preface = preface
        self._decoder = Decoder()
        self._decoder.max_allowed_table_size = 1 << 20
        self._block = b""

    def feed(self, more: bytes) -> Iterator[Frame]:
        """The frames that are whole now. The preface counts as a frame of kind -1."""
        self._rest += more
        if self._awaits_preface:
            if len(self._rest) < len(PREFACE):
                return
            self._awaits_preface = False
            self._rest = self._rest[len(PREFACE) :]
            yield Frame(PREFACE, -1, 0, ends_stream=False)
        while len(self._rest) >= _HEADER_BYTES:
            end = _HEADER_BYTES + int.from_bytes(self._rest[:3])
            if len(self._rest) < end:
                return
            raw, self._rest = self._rest[:end], self._rest[end:]
            yield self._frame(raw)

    def _frame(self, raw: bytes) -> Frame:
        kind, flags, stream = raw[3], raw[4], int.from_bytes(raw[5:9]) & 0x7FFFFFFF
        payload = raw[_HEADER_BYTES:]
        if kind in (DATA, HEADERS) and flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == HEADERS and flags & _PRIORITY:
            payload = payload[5:]
        ends_stream = kind in (DATA, HEADERS) and bool(flags & _END_STREAM)
        if kind not in (HEADERS, CONTINUATION):
            return Frame(raw, kind, stream, ends_stream, payload if kind == DATA else b"")
        self._block += payload
        if not flags & _END_HEADERS:
            return Frame(raw, kind, stream, ends_stream)
        block, self._block = self._block, b""
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        return Frame(raw, kind, stream, ends_stream, headers=headers)
