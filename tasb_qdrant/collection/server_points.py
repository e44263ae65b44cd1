"""Points as the server's two transports want them, and sending them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, grpc, models
from qdrant_client.conversions.conversion import payload_to_grpc

from tasb_qdrant.collection.protocol import PointId
from tasb_qdrant.collection.retry import UnconfirmedError


def grpc_points(
    ids: Sequence[PointId], vectors: NDArray[np.float32], payloads: Sequence[Mapping[str, Any]]
) -> list[grpc.PointStruct]:
    """Protobuf points. `vectors` is float32 (n, dim).

    A vector's floats stand in the message just as they stand in memory (packed, little endian), so the
    vector is parsed from a header and the row's bytes: 5 µs a point of 768 against 121 for passing the row.
    """
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    header = _vector_header(rows.shape[1])
    return [
        grpc.PointStruct(
            id=grpc.PointId(num=point_id) if isinstance(point_id, int) else grpc.PointId(uuid=point_id),
            vectors=grpc.Vectors.FromString(header + row.tobytes()),
            payload=payload_to_grpc(dict(payload)),
        )
        for point_id, row, payload in zip(ids, rows, payloads, strict=True)
    ]


def rest_points(
    ids: Sequence[PointId], vectors: NDArray[np.float32], payloads: Sequence[Mapping[str, Any]]
) -> models.Batch:
    """The same for REST."""
    return models.Batch(ids=list(ids), vectors=vectors.tolist(), payloads=[dict(p) for p in payloads])


def grpc_sender(
    client: QdrantClient, collection: str, points: Sequence[grpc.PointStruct], *, timeout: float
) -> Callable[[], None]:
    """A request that can be sent more than once; raises UnconfirmedError, and what the client raises."""
    request = grpc.UpsertPoints(
        collection_name=collection,
        wait=True,
        points=points,
        ordering=grpc.WriteOrdering(type=grpc.WriteOrderingType.Weak),
    )

    def send() -> None:
        # To the stub itself: the client's `upsert` warns that it won't always take protobuf points.
        answer = client.grpc_points.Upsert(request, timeout=timeout)
        if (status := answer.result.status) != grpc.UpdateStatus.Completed:
            raise _unconfirmed(grpc.UpdateStatus.Name(status))

    return send


def rest_sender(client: QdrantClient, collection: str, points: models.Batch) -> Callable[[], None]:
    """The same for REST."""

    def send() -> None:
        result = client.upsert(collection, points, wait=True, ordering=models.WriteOrdering.WEAK)
        if result.status != models.UpdateStatus.COMPLETED:
            raise _unconfirmed(result.status.value)

    return send


def _unconfirmed(status: str) -> UnconfirmedError:
    return UnconfirmedError(f"it took the passages, but said {status!r} instead of 'completed'")


def _vector_header(dim: int) -> bytes:
    """The bytes before the floats in a serialised `Vectors` holding one dense vector of `dim` floats."""
    row = np.ones(dim, dtype="<f4")
    message = grpc.Vectors(vector=grpc.Vector(dense=grpc.DenseVector(data=row.tolist())))
    serialized: bytes = message.SerializeToString()
    return serialized.removesuffix(row.tobytes())
