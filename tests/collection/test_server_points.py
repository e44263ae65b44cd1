"""Points built from bytes are those that qdrant-client itself makes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import RestToGrpc

from tasb_qdrant.collection.server_points import grpc_points, rest_points

any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)
matrices = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 48)), elements=any_float32, fill=any_float32
)
ids = st.one_of(st.integers(0, 2**64 - 1), st.uuids().map(str))
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def _theirs(point_id: int | str, row: NDArray[np.float32], payload: dict[str, object]) -> grpc.PointStruct:
    return RestToGrpc.convert_point_struct(models.PointStruct(id=point_id, vector=row.tolist(), payload=payload))


@given(vectors=matrices, point_id=ids, payload=st.dictionaries(st.text(), json, max_size=4))
@settings(deadline=None)
def test_points_equal_those_of_qdrant_client(
    vectors: NDArray[np.float32], point_id: int | str, payload: dict[str, object]
) -> None:
    points = grpc_points([point_id] * len(vectors), vectors, [payload] * len(vectors))
    assert points == [_theirs(point_id, row, payload) for row in vectors]
    stored = np.array([point.vectors.vector.dense.data for point in points], dtype=np.float32)
    assert stored.tobytes() == vectors.tobytes()  # so is -0.0


def test_every_size_up_to_1024_is_right_and_any_memory_layout() -> None:
    rng = np.random.default_rng(0)
    for dim in range(1, 1025):
        row = rng.standard_normal((1, dim)).astype(np.float32)
        (point,) = grpc_points([dim], np.asfortranarray(np.repeat(row, 2, axis=1))[:, ::2], [{}])
        assert point.vectors.vector.dense.data == row[0].tolist()
        assert point == _theirs(dim, row[0], {})


def test_numbers_at_the_edges_keep_their_bits() -> None:
    edges = np.array([[0.0, -0.0, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38]], dtype=np.float32)
    for vectors in (edges, edges.astype(">f4").astype(np.float32)):
        (point,) = grpc_points([2**64 - 1], vectors, [{}])
        assert np.array(point.vectors.vector.dense.data, dtype=np.float32).tobytes() == edges.tobytes()
        assert point.id.num == 2**64 - 1
        batch = rest_points([2**64 - 1], vectors, [{}])
        assert np.array(batch.vectors, dtype=np.float32).tobytes() == edges.tobytes()
