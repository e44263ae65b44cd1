"""Requests built from bytes are those that qdrant-client itself makes, and are sent as it sends its own."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import RestToGrpc

from tasb_qdrant.collection.open import open_for_writing, open_store_at
from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.collection.server import upserts as server_wire
from tasb_qdrant.collection.server.address import plain_channel, with_key
from tasb_qdrant.collection.server.points import rest_points
from tasb_qdrant.collection.server.upserts import UpsertWire
from tasb_qdrant.errors import InvalidPassageError, UnauthorizedError
from tasb_qdrant.records import Passage
from tasb_qdrant.records.sparse import SparseVectors
from tasb_qdrant.settings import CollectionSettings, PayloadKeys, StoreSettings, store_settings
from tests.collection.helpers import CONTRACT, fresh_name, passages, random_vectors
from tests.qdrant_servers import QdrantServer

KEYS = PayloadKeys()
RESERVED = {KEYS.id, KEYS.text, KEYS.title}
any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)
matrices = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 48)), elements=any_float32, fill=any_float32
)
numbers = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
names = texts.filter(bool)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | texts | st.integers(120, 140).map("x".__mul__) | st.sampled_from([0, -1, 2**63 - 1, -(2**63), 0.0, -0.0, 5e-324]),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
fields = st.dictionaries(names.filter(lambda name: name not in RESERVED), json, max_size=4)
ids = numbers.map(str) | st.uuids().map(str) | texts.filter(lambda text: bool(text.strip()))
given_passages = st.builds(Passage, ids, texts.filter(lambda text: bool(text.strip())), st.none() | texts, fields)


def _sent(batch: PointBatch, *, keys: PayloadKeys = KEYS, collection: str = "c") -> grpc.UpsertPoints:
    sent: grpc.UpsertPoints = grpc.UpsertPoints.FromString(
        UpsertWire(collection, dim=batch.vectors.shape[1], keys=keys).request(batch)
    )
    return sent


def _theirs(batch: PointBatch, *, keys: PayloadKeys = KEYS, collection: str = "c") -> grpc.UpsertPoints:
    points = [
        RestToGrpc.convert_point_struct(
            models.PointStruct(id=passage.point_id, vector=row.tolist(), payload=to_payload(passage, keys))
        )
        for passage, row in zip(batch.passages, batch.vectors, strict=True)
    ]
    weak = grpc.WriteOrdering(type=grpc.WriteOrderingType.Weak)
    return grpc.UpsertPoints(collection_name=collection, wait=True, points=points, ordering=weak)


@given(vectors=matrices, passage=given_passages, collection=names)
@settings(deadline=None, max_examples=500)
def test_a_request_is_equal_to_qdrant_clients(vectors: NDArray[np.float32], passage: Passage, collection: str) -> None:
    batch = PointBatch([passage] * len(vectors), vectors)
    sent = _sent(batch, collection=collection)
    assert sent == _theirs(batch, collection=collection)
    assert sent.ByteSize() == len(
        UpsertWire(collection, dim=vectors.shape[1], keys=KEYS).request(batch)
    )  # nothing is said twice
    stored = np.array([point.vectors.vector.dense.data for point in sent.points], dtype=np.float32)
    assert stored.tobytes() == vectors.tobytes()  # so is -0.0


@given(value=json)
@settings(deadline=None)
def test_numbers_keep_their_sign_and_kind(value: object) -> None:
    (point,) = _sent(PointBatch([Passage("1", "t", None, {"f": value})], random_vectors(1))).points
    kind = point.payload["f"].WhichOneof("kind")
    expected = {bool: "bool_value", int: "integer_value", float: "double_value", str: "string_value"}
    assert kind == expected.get(type(value), kind)
    if isinstance(value, float):
        assert str(point.payload["f"].double_value) == str(value)


sparse_vectors = st.lists(
    st.dictionaries(st.integers(0, 2**32 - 1) | st.integers(0, 200), any_float32, max_size=40), min_size=1, max_size=4
)


def _sparse(rows: list[dict[int, float]]) -> SparseVectors:
    return SparseVectors(
        np.array([index for row in rows for index in row], dtype=np.uint32),
        np.array([value for row in rows for value in row.values()], dtype=np.float32),
        np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64),
    )


@given(rows=sparse_vectors, passage=given_passages, dim=st.integers(1, 40))
@settings(deadline=None, max_examples=300)
def test_a_request_with_words_says_what_qdrant_clients_says(
    rows: list[dict[int, float]], passage: Passage, dim: int
) -> None:
    vectors = random_vectors(len(rows), dim)
    batch = PointBatch([passage] * len(rows), vectors, sparse=_sparse(rows))
    sent = _sent(batch)
    for point, row, vector in zip(sent.points, rows, vectors, strict=True):
        words = models.SparseVector(indices=list(row), values=list(row.values()))
        wanted = models.PointStruct(
            id=passage.point_id, vector={"": vector.tolist(), BM25: words}, payload=to_payload(passage, KEYS)
        )
        assert point == RestToGrpc.convert_point_struct(wanted)
    assert _sent(batch.part(1, len(rows))).points == sent.points[1:]


@pytest.mark.parametrize("count", [0, 1, 11, 12, 13, 1_639, 3_277, 20_000])
def test_words_of_every_number_are_framed_right(count: int) -> None:
    rows = [{n * 214_748: n / 7 for n in range(count)}, {1: 2.0}]
    for point, row in zip(
        _sent(PointBatch(passages([1, 2]), random_vectors(2), sparse=_sparse(rows))).points, rows, strict=True
    ):
        words = point.vectors.vectors.vectors[BM25].sparse
        assert list(words.indices) == list(row)
        assert list(words.values) == [float(np.float32(value)) for value in row.values()]


class _Kind(enum.IntEnum):
    FIRST = 1


class _Word(str):
    __slots__ = ()


class _Fields(Mapping[str, Any]):
    def __init__(self, inner: dict[str, Any]) -> None:
        self._inner = inner

    def __getitem__(self, key: str) -> Any:
        return self._inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)


def test_kin_of_pythons_types_are_what_they_are_derived_from() -> None:
    odd = {"a": _Kind.FIRST, "b": _Word("w"), "c": np.float64(0.5), "d": MappingProxyType({"e": (1, _Word("x"))})}
    for payload in (odd, MappingProxyType(odd), _Fields(odd)):
        batch = PointBatch([Passage("1", "t", "u", payload)], random_vectors(1))
        assert _sent(batch) == _theirs(batch)


@given(lengths=st.lists(st.integers(0, 9_000), min_size=1, max_size=6))
@settings(deadline=None)
def test_strings_of_every_length_are_framed_right_also_when_they_come_again(lengths: list[int]) -> None:
    batch = PointBatch(
        [
            Passage("1", "ü" * (length + 1), "t" * length, {"f": "x" * length, "g": ["x" * length]})
            for length in lengths
        ],
        random_vectors(len(lengths)),
    )
    wire = UpsertWire("c", dim=4, keys=KEYS)
    for _ in range(2):
        assert grpc.UpsertPoints.FromString(wire.request(batch)) == _theirs(batch)


def test_new_names_for_ever_take_no_memory_for_ever() -> None:
    wire = UpsertWire("c", dim=4, keys=KEYS)
    for number in range(3 * server_wire._NAMES):
        wire.request(PointBatch([Passage("1", "t", None, {f"n{number}": number})], random_vectors(1)))
    assert len(wire.payload._names) <= server_wire._NAMES


def test_other_payload_names_are_used_and_a_clash_is_refused() -> None:
    keys = PayloadKeys(id="_id", text="page_content", title="heading")
    batch = PointBatch([Passage("a", "b", "c", {"text": 1, "title": 2})], random_vectors(1))
    assert _sent(batch, keys=keys) == _theirs(batch, keys=keys)
    with pytest.raises(InvalidPassageError, match="rename the field, or store the text under another name"):
        _sent(batch)


def test_point_ids_that_are_given_are_not_made_again() -> None:
    batch = PointBatch(passages([1, 2]), random_vectors(2), [7, 8])
    assert [point.id.num for point in _sent(batch).points] == [7, 8]
    assert [point.id.num for point in _sent(batch.part(1, 2)).points] == [8]
    assert replace(batch, ids=None).point_ids == [1, 2]


def test_every_size_up_to_1024_is_right_and_any_memory_layout() -> None:
    rng = np.random.default_rng(0)
    for dim in range(1, 1025):
        row = rng.standard_normal((1, dim)).astype(np.float32)
        batch = PointBatch(passages([dim]), np.asfortranarray(np.repeat(row, 2, axis=1))[:, ::2])
        (point,) = _sent(batch).points
        assert point.vectors.vector.dense.data == row[0].tolist()
        assert point == _theirs(batch).points[0]


def test_numbers_at_the_edges_keep_their_bits() -> None:
    edges = np.array([[0.0, -0.0, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38]], dtype=np.float32)
    largest = PointBatch([Passage(str(2**64 - 1), "t")], edges, [2**64 - 1])
    (point,) = _sent(largest).points
    assert np.array(point.vectors.vector.dense.data, dtype=np.float32).tobytes() == edges.tobytes()
    assert point.id.num == 2**64 - 1
    batch = rest_points(largest, [{}])
    assert np.array(batch.vectors, dtype=np.float32).tobytes() == edges.tobytes()


def _settings(server: QdrantServer, key: str | None) -> StoreSettings:
    return store_settings(url=server.url, grpc_port=server.grpc_port, api_key=key, transport="grpc", retry_seconds=0)


def test_the_key_goes_with_every_request(keyed_server: QdrantServer) -> None:
    store = open_store_at(_settings(keyed_server, keyed_server.api_key))
    name = fresh_name()
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    collection.upsert(PointBatch(passages(range(3)), random_vectors(3)))
    assert collection.reads.count() == 3
    store.delete(name)
    store.close()


def test_a_key_that_was_revoked_is_said_at_once(keyed_server: QdrantServer) -> None:
    settings = _settings(keyed_server, keyed_server.api_key)
    store = open_store_at(settings)
    name = fresh_name()
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    others = _settings(keyed_server, "another")
    other = with_key(plain_channel(others), others)
    kept = collection._connection.channel  # type: ignore[attr-defined]
    object.__setattr__(collection._connection, "channel", other)  # type: ignore[attr-defined]
    with pytest.raises(UnauthorizedError, match="set QDRANT_API_KEY"):
        collection.upsert(PointBatch(passages(range(3)), random_vectors(3)))
    object.__setattr__(collection._connection, "channel", kept)  # type: ignore[attr-defined]
    other.close()
    store.delete(name)
    store.close()
