"""Points as the server's two transports want them, and sending them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grpc import Channel, UnaryUnaryMultiCallable
from qdrant_client import QdrantClient, grpc, models

from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.collection.server.failure import NotVisibleError, UnconfirmedError
from tasb_qdrant.records.sparse import SparseVectors


def rest_points(batch: PointBatch, payloads: Sequence[Mapping[str, Any]]) -> models.Batch:
    """Points as JSON."""
    dense = batch.vectors.tolist()
    vectors = dense if batch.sparse is None else {"": dense, BM25: _rest_sparse(batch.sparse)}
    return models.Batch(ids=list(batch.point_ids), vectors=vectors, payloads=[dict(p) for p in payloads])


def _rest_sparse(vectors: SparseVectors) -> list[models.Vector]:
    return [models.SparseVector(indices=one.indices.tolist(), values=one.values.tolist()) for one in vectors]


def grpc_sender(channel: Channel, request: bytes, *, timeout: float) -> Callable[[], None]:
    """A serialised UpsertPoints that can be sent more than once; raises UnconfirmedError, and what gRPC raises."""
    upsert: UnaryUnaryMultiCallable[bytes, grpc.PointsOperationResponse] = channel.unary_unary(
        "/qdrant.Points/Upsert", response_deserializer=grpc.PointsOperationResponse.FromString
    )

    def send() -> None:
        answer = upsert(request, timeout=timeout)
        if (status := answer.result.status) != grpc.UpdateStatus.Completed:
            raise _unconfirmed(status_name(status))

    return send


def rest_sender(
    client: QdrantClient, collection: str, points: models.Batch, *, wait_seconds: int | None = None
) -> Callable[[], None]:
    """The same for REST. After `wait_seconds` the server says how far it is."""

    def send() -> None:
        result = client.upsert(collection, points, wait=True, ordering=models.WriteOrdering.WEAK, timeout=wait_seconds)
        if result.status != models.UpdateStatus.COMPLETED:
            raise _unconfirmed(result.status.value)

    return send


def status_name(status: int) -> str:
    """What gRPC's messages call it; its number if that is none of theirs."""
    try:
        return str(grpc.UpdateStatus.Name(status))
    except ValueError:
        return str(status)


def _unconfirmed(status: str) -> UnconfirmedError:
    return unconfirmed(f"it took the passages, but said {status!r} instead of 'completed'", status)


def unconfirmed(text: str, status: str) -> UnconfirmedError:
    """The error for a write that was answered with this status: "WaitTimeout" in gRPC, "wait_timeout" in REST."""
    return (NotVisibleError if status.lower().replace("_", "") == "waittimeout" else UnconfirmedError)(text)
