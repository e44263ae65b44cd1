"""Deleting a server's points and replacing their payloads: requests that may be sent more than once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qdrant_client import QdrantClient, grpc, models
from qdrant_client.conversions.conversion import payload_to_grpc

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.server.confirmed import Confirmations
from tasb_qdrant.collection.server.failure import RequestTooLargeError, UnconfirmedError
from tasb_qdrant.collection.server.points import status_name, unconfirmed

_WEAK_GRPC = grpc.WriteOrdering(type=grpc.WriteOrderingType.Weak)


def grpc_id(point_id: PointId) -> grpc.PointId:
    """As protobuf has it."""
    return grpc.PointId(num=point_id) if isinstance(point_id, int) else grpc.PointId(uuid=point_id)


class ServerEdits:
    """The edits of one collection. `call` sends a request with retries; its second argument says what for.

    After so many `wait_seconds` the server says how far it is, and `confirmations` look (None: whenever it wants to).
    """

    def __init__(
        self,
        client: QdrantClient,
        name: str,
        *,
        call: Callable[[Callable[[], Any], str], Any],
        over_grpc: bool,
        timeout: float,
        confirmations: Confirmations,
        wait_seconds: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._client = client
        self._name = name
        self._call = call
        self._over_grpc = over_grpc
        self._timeout = timeout
        self._confirmations = confirmations
        self._wait = wait_seconds

    def delete(self, ids: Sequence[PointId]) -> None:
        """Returns when the server answered `completed`."""
        if not ids:
            return
        if self._over_grpc:
            send = grpc_delete(self._client, self._name, ids, timeout=self._timeout, wait=self._wait())
        else:
            send = rest_delete(self._client, self._name, ids, wait=self._wait())
        self._call(self._confirmations.deleted(send, ids), "deleting passages")

    def patch_payloads(self, ids: Sequence[PointId], fields: Mapping[str, Any], removed: Sequence[str]) -> None:
        """Set fields of these points, and remove others; returns when the server answered `completed` for both."""
        if not ids:
            return
        if self._over_grpc:
            send = grpc_patch(self._client, self._name, ids, fields, removed, timeout=self._timeout, wait=self._wait())
        else:
            send = rest_patch(self._client, self._name, ids, fields, removed, wait=self._wait())
        self._call(self._confirmations.patched(send, ids, fields, removed), "patching payloads")

    def replace_payloads(self, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Returns when the server answered `completed` for every one of them."""
        if not payloads:
            return
        if self._over_grpc:
            send = grpc_payloads(self._client, self._name, payloads, timeout=self._timeout, wait=self._wait())
        else:
            send = rest_payloads(self._client, self._name, payloads, wait=self._wait())
        try:
            self._call(self._confirmations.replaced(send, payloads), "replacing payloads")
        except RequestTooLargeError:
            if (half := len(payloads) // 2) == 0:
                raise
            items = list(payloads.items())
            for part in (items[:half], items[half:]):
                self.replace_payloads(dict(part))


def grpc_delete(
    client: QdrantClient, collection: str, ids: Sequence[PointId], *, timeout: float, wait: int | None
) -> Callable[[], None]:
    """Deletes the points; raises UnconfirmedError, and what the client raises."""
    request = grpc.DeletePoints(
        collection_name=collection, wait=True, points=_selector(ids), ordering=_WEAK_GRPC, timeout=wait
    )

    def send() -> None:
        # To the stub itself: the client's conversion fails on statuses that it doesn't know.
        answer = client.grpc_points.Delete(request, timeout=timeout)
        _check(status_name(answer.result.status))

    return send


def rest_delete(
    client: QdrantClient, collection: str, ids: Sequence[PointId], *, wait: int | None
) -> Callable[[], None]:
    """The same for REST."""
    points = models.PointIdsList(points=list(ids))

    def send() -> None:
        result = client.delete(collection, points, wait=True, ordering=models.WriteOrdering.WEAK, timeout=wait)
        _check(result.status.value)

    return send


def grpc_payloads(
    client: QdrantClient,
    collection: str,
    payloads: Mapping[PointId, Mapping[str, Any]],
    *,
    timeout: float,
    wait: int | None,
) -> Callable[[], None]:
    """Replaces the payload of each point; raises UnconfirmedError, and what the client raises."""
    overwrite = grpc.PointsUpdateOperation.OverwritePayload
    operations = [
        grpc.PointsUpdateOperation(
            overwrite_payload=overwrite(payload=payload_to_grpc(dict(payload)), points_selector=_selector([point_id]))
        )
        for point_id, payload in payloads.items()
    ]
    return _grpc_batch(client, collection, operations, timeout=timeout, wait=wait)


def rest_payloads(
    client: QdrantClient, collection: str, payloads: Mapping[PointId, Mapping[str, Any]], *, wait: int | None
) -> Callable[[], None]:
    """The same for REST."""
    operations: list[models.UpdateOperation] = [
        models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload=dict(payload), points=[point_id]))
        for point_id, payload in payloads.items()
    ]
    return _rest_batch(client, collection, operations, wait=wait)


def grpc_patch(
    client: QdrantClient,
    collection: str,
    ids: Sequence[PointId],
    fields: Mapping[str, Any],
    removed: Sequence[str],
    *,
    timeout: float,
    wait: int | None,
) -> Callable[[], None]:
    """Sets fields of the points, and removes others; raises UnconfirmedError, and what the client raises."""
    update, points = grpc.PointsUpdateOperation, _selector(ids)
    operations = []
    if fields:
        set_payload = update.SetPayload(payload=payload_to_grpc(dict(fields)), points_selector=points)
        operations.append(update(set_payload=set_payload))
    if removed:
        operations.append(update(delete_payload=update.DeletePayload(keys=removed, points_selector=points)))
    return _grpc_batch(client, collection, operations, timeout=timeout, wait=wait)


def rest_patch(
    client: QdrantClient,
    collection: str,
    ids: Sequence[PointId],
    fields: Mapping[str, Any],
    removed: Sequence[str],
    *,
    wait: int | None,
) -> Callable[[], None]:
    """The same for REST."""
    points: list[models.ExtendedPointId] = list(ids)
    operations: list[models.UpdateOperation] = []
    if fields:
        set_payload = models.SetPayload(payload=dict(fields), points=points)
        operations.append(models.SetPayloadOperation(set_payload=set_payload))
    if removed:
        delete_payload = models.DeletePayload(keys=list(removed), points=points)
        operations.append(models.DeletePayloadOperation(delete_payload=delete_payload))
    return _rest_batch(client, collection, operations, wait=wait)


def _selector(ids: Sequence[PointId]) -> grpc.PointsSelector:
    return grpc.PointsSelector(points=grpc.PointsIdsList(ids=[grpc_id(point_id) for point_id in ids]))


def _grpc_batch(
    client: QdrantClient,
    collection: str,
    operations: Sequence[grpc.PointsUpdateOperation],
    *,
    timeout: float,
    wait: int | None,
) -> Callable[[], None]:
    request = grpc.UpdateBatchPoints(
        collection_name=collection, wait=True, operations=operations, ordering=_WEAK_GRPC, timeout=wait
    )

    def send() -> None:
        answer = client.grpc_points.UpdateBatch(request, timeout=timeout)
        _check_all([status_name(result.status) for result in answer.result], len(operations))

    return send


def _rest_batch(
    client: QdrantClient, collection: str, operations: Sequence[models.UpdateOperation], *, wait: int | None
) -> Callable[[], None]:
    def send() -> None:
        results = client.batch_update_points(
            collection, operations, wait=True, ordering=models.WriteOrdering.WEAK, timeout=wait
        )
        _check_all([result.status.value for result in results], len(operations))

    return send


def _check_all(statuses: Sequence[str], count: int) -> None:
    if len(statuses) != count:
        raise UnconfirmedError(f"it answered {len(statuses)} of {count} changes")
    for status in statuses:
        _check(status)


def _check(status: str) -> None:
    if status.lower() != "completed":
        raise unconfirmed(f"it took the change, but said {status!r} instead of 'completed'", status)
