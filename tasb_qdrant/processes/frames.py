"""Objects sent through a pipe between a process and its worker, with arrays not copied on the way."""

from __future__ import annotations

import pickle  # both ends are this program, and nobody else can write to the pipe
import struct
from io import FileIO
from typing import Final

_COUNT: Final = struct.Struct("<I")
_SIZE: Final = struct.Struct("<Q")


def write_frame(stream: FileIO, value: object) -> None:
    """Raises OSError if the reader is gone."""
    apart: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=apart.append)
    arrays = [buffer.raw() for buffer in apart]
    sizes = [len(body), *(array.nbytes for array in arrays)]
    _write(stream, memoryview(b"".join([_COUNT.pack(len(sizes)), *map(_SIZE.pack, sizes), body])))
    for array in arrays:
        _write(stream, array)


def read_frame(stream: FileIO) -> object:
    """The object that was written. Raises EOFError if the other end is closed, even in the middle of a frame."""
    (count,) = _COUNT.unpack(_read(stream, _COUNT.size))
    sizes = [size for (size,) in _SIZE.iter_unpack(_read(stream, count * _SIZE.size))]
    body, *arrays = (_read(stream, size) for size in sizes)
    return pickle.loads(body, buffers=arrays)  # noqa: S301  # see the import


def _write(stream: FileIO, data: memoryview) -> None:
    while data:
        data = data[stream.write(data) :]


def _read(stream: FileIO, size: int) -> bytearray:
    """A bytearray, because arrays over bytes would be read-only."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        got = stream.readinto(rest)
        if not got:
            raise EOFError
        rest = rest[got:]
    return data
