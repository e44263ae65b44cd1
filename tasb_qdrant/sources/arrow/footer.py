"""What a Parquet file says of the sizes of its columns, row group by row group.

pyarrow tells them, too, but where the footer contradicts itself (a histogram of levels that the schema doesn't have)
its accessor lets an exception of C++ through, which ends the process; and so may its writer of footers. So the few
numbers are read from the footer itself. Sources: parquet.thrift, and Thrift's compact protocol.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

_TAIL: Final = 2**16
_DEEPEST: Final = 64
"""Structs and lists within each other; Parquet's have a handful."""

_VARINT_BITS: Final = 70

_MAGIC: Final = b"PAR1"

_ROW_GROUPS: Final = 4
"""The number of a field, in FileMetaData. Then in RowGroup, in ColumnChunk, and in ColumnMetaData:"""
_COLUMNS, _ROWS = 1, 3
_META_DATA: Final = 3
_UNCOMPRESSED, _COMPRESSED, _DICTIONARY = 6, 7, 11

_BINARY, _LIST, _SET, _MAP, _STRUCT = 8, 9, 10, 11, 12
"""Types of the protocol."""
_TRUE_OR_FALSE: Final = (1, 2)
_INTEGERS: Final = (4, 5, 6)
_FIXED: Final = {3: 1, 7: 8, 13: 16}
"""Bytes of a byte, a double and a UUID."""

_STEP: Final = 0x10
_MORE: Final = 0x80
"""A byte of a number that isn't its last has this bit."""

_LONG: Final = 15
"""Lists with as many items or more say how many in a number of its own."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The part of a column in a row group: bytes as they are stored and unpacked, and whether it begins with a
    dictionary. A column whose key is missing has neither."""

    packed: int = 0
    unpacked: int = 0
    dictionary: bool = False


_NOT_READ: Final = Chunk()


@dataclass(frozen=True, slots=True)
class RowGroup:
    """So many rows, and a chunk for each leaf of the schema, in its order."""

    rows: int
    chunks: tuple[Chunk, ...]


def read_footer(file: BinaryIO) -> bytes:
    """A Parquet file's: the last bytes are the footer, its size, and a mark. One read has all of most. Raises
    ValueError where there is none."""
    whole = file.seek(0, os.SEEK_END)
    file.seek(max(0, whole - _TAIL))
    tail = file.read(_TAIL)
    size = int.from_bytes(tail[-8:-4], "little")
    if tail[-4:] != _MAGIC or size + 8 > whole:
        raise ValueError("it doesn't end with a footer")
    if size + 8 > len(tail):
        file.seek(whole - size - 8)
        tail = file.read(size + 8)
    return tail[-size - 8 : -8]


def row_groups(footer: bytes, columns: Container[int] | None = None) -> list[RowGroup]:
    """All of them, in the file's order; chunks of other `columns` than these, by their number in the schema, are empty.
    Raises ValueError for a footer that isn't one. 1 MB takes 90 ms, 50 where hardly any column is read."""
    reader = _Compact(footer)
    groups: list[RowGroup] = []
    try:
        for field, kind in reader.fields():
            if field == _ROW_GROUPS:
                groups = [_row_group(reader, columns) for _ in range(reader.list_size())]
            else:
                reader.skip(kind)
    except IndexError:
        raise ValueError("its footer is cut short") from None
    return groups


def _row_group(reader: _Compact, columns: Container[int] | None) -> RowGroup:
    rows = 0
    chunks: tuple[Chunk, ...] = ()
    for field, kind in reader.fields():
        if field == _COLUMNS:
            numbers = range(reader.list_size())
            chunks = tuple(_chunk(reader, read=columns is None or number in columns) for number in numbers)
        elif field == _ROWS:
            rows = reader.integer()
        else:
            reader.skip(kind)
    return RowGroup(rows, chunks)


def _chunk(reader: _Compact, *, read: bool) -> Chunk:
    if not read:
        reader.skip(_STRUCT)
        return _NOT_READ
    found = _NOT_READ
    for field, kind in reader.fields():
        if field == _META_DATA:
            found = _sizes(reader)
        else:
            reader.skip(kind)
    return found


def _sizes(reader: _Compact) -> Chunk:
    packed = unpacked = 0
    dictionary = False
    for field, kind in reader.fields():
        if field == _COMPRESSED:
            packed = reader.integer()
        elif field == _UNCOMPRESSED:
            unpacked = reader.integer()
        else:
            dictionary = dictionary or field == _DICTIONARY
            reader.skip(kind)
    return Chunk(packed, unpacked, dictionary)


class _Compact:
    """Reads Thrift's compact protocol. Raises IndexError where the data end too early, ValueError for what is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and the type of each field of a struct, whose value is to be read, or skipped, before the next."""
        number = 0
        while head := self._data[self._at]:
            self._at += 1
            step = head >> 4
            number = number + step if step else self.integer()
            yield number, head & 0x0F
        self._at += 1

    def integer(self) -> int:
        """A signed one, of any size."""
        number, self._at = _varint(self._data, self._at)
        return number >> 1 ^ -(number & 1)

    def list_size(self) -> int:
        """The number of items of a list, which follow. Raises ValueError for more than there are bytes."""
        head = self._data[self._at]
        size, self._at = head >> 4, self._at + 1
        if size >= _LONG:
            size, self._at = _varint(self._data, self._at)
        _check_fits(size, self._data, self._at)
        return size

    def skip(self, kind: int) -> None:
        """A value of this type."""
        self._at = _skipped(self._data, self._at, kind, 0)


def _skipped(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where the value ends that begins there.

    A footer may have megabytes of them: what most are, integers and bytes in structs, is done within the loop."""
    if depth > _DEEPEST:
        raise ValueError("its footer is nested too deep")
    if kind != _STRUCT:
        return _skipped_other(data, at, kind, depth)
    while head := data[at]:
        at += 1
        if head < _STEP:  # the field's number follows
            at = _varint(data, at)[1]
        inner = head & 0x0F
        if inner in _INTEGERS:
            while data[at] >= _MORE:
                at += 1
            at += 1
        elif inner == _BINARY:
            size = data[at]
            if size < _MORE:
                at += 1 + size
            else:
                size, at = _varint(data, at)
                at += size
        elif inner == _STRUCT:
            at = _skipped(data, at, inner, depth + 1)
        elif inner == _LIST:
            at = _skipped_list(data, at, depth + 1)
        else:
            at = _skipped_other(data, at, inner, depth)
    return at + 1


def _skipped_list(data: bytes, at: int, depth: int) -> int:
    head = data[at]
    size, kind, at = head >> 4, head & 0x0F, at + 1
    if size >= _LONG:
        size, at = _varint(data, at)
    _check_fits(size, data, at)
    if kind in _INTEGERS:
        for _ in range(size):
            while data[at] >= _MORE:
                at += 1
            at += 1
    else:
        for _ in range(size):
            at = _skipped_item(data, at, kind, depth)
    return at


def _skipped_other(data: bytes, at: int, kind: int, depth: int) -> int:
    if kind in _INTEGERS:
        return _varint(data, at)[1]
    if kind in _TRUE_OR_FALSE:  # these have no byte of their own in a struct
        return at
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in (_LIST, _SET):
        return _skipped_list(data, at, depth + 1)
    if kind == _MAP:
        return _skipped_map(data, at, depth + 1)
    if kind in _FIXED:
        return at + _FIXED[kind]
    raise ValueError(f"its footer has a value of the type {kind}, which there isn't")


def _skipped_item(data: bytes, at: int, kind: int, depth: int) -> int:
    return at + 1 if kind in _TRUE_OR_FALSE else _skipped(data, at, kind, depth)


def _skipped_map(data: bytes, at: int, depth: int) -> int:
    size, at = _varint(data, at)
    if not size:
        return at
    kinds = data[at]
    at += 1
    _check_fits(size, data, at)
    for _ in range(size):
        at = _skipped_item(data, at, kinds >> 4, depth)
        at = _skipped_item(data, at, kinds & 0x0F, depth)
    return at


def _check_fits(size: int, data: bytes, at: int) -> None:
    if size > len(data) - at:
        raise ValueError("its footer has a longer list than it has bytes")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    found = shift = 0
    while (byte := data[at]) >= _MORE:
        found |= (byte & 0x7F) << shift
        at += 1
        if (shift := shift + 7) >= _VARINT_BITS:
            raise ValueError("its footer has a number without an end")
    return found | byte << shift, at + 1
