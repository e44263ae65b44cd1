"""What a Parquet file says of the sizes of its columns, row group by row group.

pyarrow tells them, too, but where the footer contradicts itself (a histogram of levels that the schema doesn't have)
its accessor lets an exception of C++ through, which ends the process; and so may its writer of footers. So the few
numbers are read from the footer itself. Sources: parquet.thrift, and Thrift's compact protocol.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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

_BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = 3, 7, 8, 9, 10, 11, 12, 13
"""Types of the protocol."""
_TRUE_OR_FALSE: Final = (1, 2)
_INTEGERS: Final = (4, 5, 6)

_LONG: Final = 15
"""Lists with as many items or more say how many in a number of its own."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The part of a column in a row group: bytes as they are stored and unpacked, and whether it begins with a
    dictionary. A column whose key is missing has neither."""

    packed: int = 0
    unpacked: int = 0
    dictionary: bool = False


@dataclass(frozen=True, slots=True)
class RowGroup:
    """So many rows, and a chunk for each leaf of the schema, in its order."""

    rows: int
    chunks: tuple[Chunk, ...]


def read_row_groups(file: BinaryIO) -> list[RowGroup]:
    """All of a Parquet file's, in its order. Raises ValueError for a footer that isn't one."""
    reader = _Compact(_footer(file))
    groups: list[RowGroup] = []
    try:
        for field, kind in reader.fields():
            if field == _ROW_GROUPS:
                groups = [_row_group(reader) for _ in range(reader.list_size())]
            else:
                reader.skip(kind)
    except IndexError:
        raise ValueError("its footer is cut short") from None
    return groups


def _footer(file: BinaryIO) -> bytes:
    """The last bytes are the footer, its size, and a mark. One read has all of most."""
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


def _row_group(reader: _Compact) -> RowGroup:
    rows = 0
    chunks: tuple[Chunk, ...] = ()
    for field, kind in reader.fields():
        if field == _COLUMNS:
            chunks = tuple(_chunk(reader) for _ in range(reader.list_size()))
        elif field == _ROWS:
            rows = reader.integer()
        else:
            reader.skip(kind)
    return RowGroup(rows, chunks)


def _chunk(reader: _Compact) -> Chunk:
    found = Chunk()
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
        while head := self._byte():
            step = head >> 4
            number = number + step if step else self.integer()
            yield number, head & 0x0F

    def integer(self) -> int:
        """A signed one, of any size."""
        number = self._varint()
        return number >> 1 ^ -(number & 1)

    def list_size(self) -> int:
        """The number of items of a list, which follow. Raises ValueError for more than there are bytes."""
        head = self._byte()
        size = head >> 4
        return self._fitting(size if size < _LONG else self._varint())

    def skip(self, kind: int, depth: int = 0) -> None:
        """A value of this type."""
        if depth > _DEEPEST:
            raise ValueError("its footer is nested too deep")
        if kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind == _BINARY:
            size = self._varint()
            self._at += size
        elif kind in (_LIST, _SET):
            items = self._data[self._at] & 0x0F
            for _ in range(self.list_size()):
                self._skip_item(items, depth + 1)
        elif kind == _MAP:
            self._skip_map(depth + 1)
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _UUID:
            self._at += 16
        elif kind == _BYTE:
            self._at += 1
        elif kind in _INTEGERS:
            self._varint()
        elif kind not in _TRUE_OR_FALSE:  # these have no byte of their own in a struct
            raise ValueError(f"its footer has a value of the type {kind}, which there isn't")

    def _skip_item(self, kind: int, depth: int) -> None:
        if kind in _TRUE_OR_FALSE:
            self._at += 1
        else:
            self.skip(kind, depth)

    def _skip_map(self, depth: int) -> None:
        if not (size := self._fitting(self._varint())):
            return
        kinds = self._byte()
        for _ in range(size):
            self._skip_item(kinds >> 4, depth)
            self._skip_item(kinds & 0x0F, depth)

    def _fitting(self, size: int) -> int:
        if size > len(self._data) - self._at:
            raise ValueError("its footer has a longer list than it has bytes")
        return size

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 0x80:
            found |= (byte & 0x7F) << shift
            if (shift := shift + 7) >= _VARINT_BITS:
                raise ValueError("its footer has a number without an end")
        return found | byte << shift
