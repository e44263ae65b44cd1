"""Upsert requests over gRPC as bytes, without a protobuf object for every point and value.

A point of 768 numbers and six payload fields takes 3 µs this way, and 20 through qdrant-client's messages.
The layout is that of Qdrant's points.proto and json_with_int.proto; a test compares it with protobuf's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.payload import check_names
from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.records import Passage
from tasb_qdrant.records.sparse import SparseVectors
from tasb_qdrant.settings import PayloadKeys

_POINT: Final = b"\x1a"  # UpsertPoints.points
_TAIL: Final = b"\x10\x01\x22\x00"  # UpsertPoints.wait = true, .ordering = weak, which is an empty message
_TIMEOUT: Final = b"\x38"  # UpsertPoints.timeout
_FIELD: Final = b"\x1a"  # PointStruct.payload, an entry of a map
_NESTED: Final = b"\x0a"  # Struct.fields, an entry of a map
_DOUBLE: Final = Struct("<cd")

_SHORT: Final = 2_048
"""Strings up to this length share the bytes that precede them; nearly all ids, titles and passages are shorter."""

_INDEX: Final = 5
"""Bytes of an index of a sparse vector: a hash, of 31 bits as a rule."""

_NAMES: Final = 256
"""Payload names that are remembered: some sources never stop bringing new ones."""

_INTEGERS: Final = 1_024
"""Integers that are remembered for each name."""

_LOW: Final = [bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(1 << 14)]
_ALONE: Final = [bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(1 << 14)]
"""Varints of up to 14 bits, with more to follow and without."""


class UpsertWire:
    """Makes the upsert requests of one collection; several threads may do so at once."""

    def __init__(self, collection: str, *, dim: int, keys: PayloadKeys) -> None:
        floats = 4 * dim
        self._row_bytes = floats
        self._head = _sized(b"\x0a", collection.encode())  # UpsertPoints.collection_name
        dense = _head(b"\x0a", b"", floats)  # DenseVector.data, packed
        vector = _head(b"\xaa\x06", dense, floats)  # Vector.dense
        self._before_row = _head(b"\x22", _head(b"\x0a", vector, floats), floats)  # PointStruct.vectors, .vector
        self._named = _NamedVectors(vector, floats)
        self.payload = PayloadWire(keys)

    def request(self, batch: PointBatch, *, wait_seconds: int | None = None) -> bytes:
        """A serialised UpsertPoints that is answered when it is done, or after `wait_seconds`, when the server says how
        far it is (None: whenever it wants to). The vectors are copied once."""
        tail = _TAIL if wait_seconds is None else _TAIL + _TIMEOUT + _varint(wait_seconds)
        if batch.sparse is not None:
            return self._request_with_sparse(batch, batch.sparse, tail)
        rows = _bytes_of(batch.vectors)
        before, size = self._before_row, self._row_bytes
        fixed = len(before) + size
        parts: list[bytes | memoryview] = [self._head]
        start = 0
        for point_id, payload in zip(batch.point_ids, self._payloads(batch), strict=True):
            ident = _ident(point_id)
            length = _varint(len(ident) + len(payload) + fixed)
            parts += (_POINT, length, ident, payload, before, rows[start : start + size])
            start += size
        parts.append(tail)
        return b"".join(parts)

    def _request_with_sparse(self, batch: PointBatch, sparse: SparseVectors, tail: bytes) -> bytes:
        """The same with two vectors for each point: the dense one, which has no name, and the sparse one.

        An empty one too: where a point is in a finished segment, a server keeps the earlier vector of a name that
        is left out (1.16.3 and 1.17.0).
        """
        rows, size = _bytes_of(batch.vectors), self._row_bytes
        values, indices = _bytes_of(sparse.values), _varints(sparse.indices)
        ends = sparse.offsets.tolist()
        parts: list[bytes | memoryview] = [self._head]
        start = 0
        for point_id, payload, first, last in zip(batch.point_ids, self._payloads(batch), ends, ends[1:], strict=False):
            ident = _ident(point_id)
            named = self._named[last - first]
            length = _varint(len(ident) + len(payload) + named.size)
            parts += (_POINT, length, ident, payload, named.before_row, rows[start : start + size])
            parts += (named.before_values, values[4 * first : 4 * last])
            parts += (named.before_indices, indices[_INDEX * first : _INDEX * last])
            start += size
        parts.append(tail)
        return b"".join(parts)

    def _payloads(self, batch: PointBatch) -> Iterable[bytes]:
        return batch.entries if batch.entries is not None else map(self.payload, batch.passages)


class PayloadWire:
    """Makes the entries of PointStruct.payload, what `to_payload` puts side by side. It can be sent to a process."""

    def __init__(self, keys: PayloadKeys) -> None:
        self._keys = keys
        self._reserved = (keys.id, keys.text, keys.title)
        self._id, self._text, self._title = (_Name(_FIELD, name).strings for name in self._reserved)
        self._names: dict[str, _Name] = {}

    def __reduce__(self) -> tuple[type[PayloadWire], tuple[PayloadKeys]]:
        return PayloadWire, (self._keys,)

    def __call__(self, passage: Passage) -> bytes:
        """The entries of one passage. Raises InvalidPassageError where a name of its payload is taken."""
        fields = passage.payload
        if not fields.keys().isdisjoint(self._reserved):
            check_names(fields, self._keys)
        names = self._names
        raw_id, raw_text = passage.id.encode(), passage.text.encode()
        parts = [self._id[len(raw_id)], raw_id, self._text[len(raw_text)], raw_text]
        if (title := passage.title) is not None:
            raw = title.encode()
            parts += (self._title[len(raw)], raw)
        for key, value in fields.items():
            name = names.get(key) or self._name(key)
            if (kind := type(value)) is str:
                raw = value.encode()
                parts += (name.strings[len(raw)], raw)
            elif kind is int:
                parts.append(name.integers[value])
            else:
                raw = _value(value)
                parts += (name.values[len(raw)], raw)
        return b"".join(parts)

    def _name(self, key: str) -> _Name:
        if len(self._names) >= _NAMES:
            self._names.clear()
        name = self._names[key] = _Name(_FIELD, key)
        return name


@dataclass(frozen=True, slots=True)
class _Frame:
    """The bytes around the numbers of a dense and a sparse vector; `size` is that of the whole PointStruct.vectors."""

    before_row: bytes
    before_values: bytes
    before_indices: bytes
    size: int


class _NamedVectors(dict[int, _Frame]):
    """PointStruct.vectors with a vector named "" and one named "bm25", by how many numbers the second has."""

    def __init__(self, vector: bytes, floats: int) -> None:
        super().__init__()
        self._dense = _head(b"\x0a", b"\x0a\x00" + _head(b"\x12", vector, floats), floats)  # an entry with the key ""
        self._floats = floats

    def __missing__(self, count: int) -> _Frame:
        values, indices = 4 * count, _INDEX * count
        before_indices = b"\x12" + _varint(indices)  # SparseVector.indices
        before_values = b"\x0a" + _varint(values)  # SparseVector.values
        numbers = values + indices + len(before_indices)
        before_values = _head(b"\xb2\x06", before_values, numbers)  # Vector.sparse
        before_values = _head(b"\x0a", _sized(b"\x0a", BM25.encode()) + _head(b"\x12", before_values, numbers), numbers)
        rest = self._floats + len(before_values) + numbers
        before_row = _head(b"\x22", _head(b"\x12", self._dense, rest), rest)  # PointStruct.vectors, Vectors.vectors
        frame = _Frame(before_row, before_values, before_indices, len(before_row) + rest)
        if count <= _SHORT:
            self[count] = frame
        return frame


class _Heads(dict[int, bytes]):
    """The bytes before the value of a map entry, by the value's length."""

    def __init__(self, tag: bytes, key: bytes, *, string: bool) -> None:
        super().__init__()
        self._tag, self._key, self._string = tag, key, string

    def __missing__(self, length: int) -> bytes:
        kind = b"\x22" + _varint(length) if self._string else b""  # Value.string_value
        value = b"\x12" + _varint(len(kind) + length) + kind
        head = self._tag + _varint(len(self._key) + len(value) + length) + self._key + value
        if length <= _SHORT:
            self[length] = head
        return head


class _Integers(dict[int, bytes]):
    """Map entries whose values are integers: years and the like recur."""

    def __init__(self, heads: _Heads) -> None:
        super().__init__()
        self._heads = heads

    def __missing__(self, value: int) -> bytes:
        raw = _integer(value)
        entry = self._heads[len(raw)] + raw
        if len(self) < _INTEGERS:
            self[value] = entry
        return entry


class _Name:
    """A payload name in the entries of a map."""

    __slots__ = ("integers", "strings", "values")

    def __init__(self, tag: bytes, name: str) -> None:
        key = _sized(b"\x0a", str.encode(name))
        self.strings = _Heads(tag, key, string=True)
        self.values = _Heads(tag, key, string=False)
        self.integers = _Integers(self.values)


def _value(value: Any) -> bytes:
    """A serialised Value. Its subclasses are what they are derived from, as in `to_payload`."""
    kind = type(value)
    if kind is int:
        return _integer(value)
    if kind is float:
        return _DOUBLE.pack(b"\x11", value)
    if kind is bool:
        return b"\x28\x01" if value else b"\x28\x00"
    if value is None:
        return b"\x08\x00"
    if isinstance(value, str):
        return _sized(b"\x22", str.encode(value))
    if isinstance(value, Mapping):
        return _sized(b"\x32", b"".join(_entry(name, item) for name, item in value.items()))
    if isinstance(value, list | tuple):
        return _sized(b"\x3a", b"".join(_sized(b"\x0a", _value(item)) for item in value))
    return _integer(int(value)) if isinstance(value, int) else _DOUBLE.pack(b"\x11", float(value))


def _entry(name: str, value: Any) -> bytes:
    return _sized(_NESTED, _sized(b"\x0a", str.encode(name)) + _sized(b"\x12", _value(value)))


def _integer(value: int) -> bytes:
    """Value.integer_value, in two's complement. Raises OverflowError outside i64."""
    return b"\x18" + _varint(int.from_bytes(value.to_bytes(8, "little", signed=True), "little"))


def _ident(point_id: PointId) -> bytes:
    """PointStruct.id."""
    if isinstance(point_id, str):
        return _sized(b"\x0a", _sized(b"\x12", point_id.encode()))
    number = b"\x08" + _varint(point_id)
    return b"\x0a" + _varint(len(number)) + number


def _bytes_of(floats: NDArray[np.float32]) -> memoryview:
    return np.ascontiguousarray(floats, dtype="<f4").reshape(-1).data.cast("B")


def _varints(numbers: NDArray[np.uint32]) -> memoryview:
    """Each as a varint of _INDEX bytes, which is the longest it may need; protobuf reads longer ones than needed."""
    found = np.empty((len(numbers), _INDEX), dtype=np.uint8)
    for place in range(_INDEX):
        found[:, place] = numbers >> np.uint32(7 * place) & np.uint32(0x7F)
    found[:, :-1] |= 0x80
    return found.reshape(-1).data.cast("B")


def _head(tag: bytes, start: bytes, rest: int) -> bytes:
    """A field up to and with the `start` of its content, of which `rest` bytes follow."""
    return tag + _varint(len(start) + rest) + start


def _sized(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 1 << 14:
        return _ALONE[number]
    return _LOW[number & 0x3FFF] + _varint(number >> 14)
