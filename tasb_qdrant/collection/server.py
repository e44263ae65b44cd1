"""A collection on a Qdrant server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from tasb_qdrant.collection.connection import Connection
from tasb_qdrant.collection.filter_qdrant import to_qdrant
from tasb_qdrant.collection.payload import to_hit, to_payload
from tasb_qdrant.collection.protocol import (
    CollectionInfo,
    OptimizeProgress,
    PointBatch,
    PointId,
    SearchOptions,
    Where,
    index_conflicts,
)
from tasb_qdrant.collection.retry import call
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.collection.server_points import grpc_points, rest_points
from tasb_qdrant.errors import RequestRefusedError, ServerBusyError, StoreCorruptError
from tasb_qdrant.filters import Filter
from tasb_qdrant.records import Hit, ModelContract
from tasb_qdrant.settings import IndexType, PayloadKeys, StoreSettings

T = TypeVar("T")

POLL_SECONDS: Final = 0.25
QUIET_POLLS: Final = 40
"""Polls without any change, all green, after which an index that counts fewer vectors is taken as built:
the server's indexed count is an estimate, which deleted and duplicate versions can lower."""

_FULL_INDEXING_KB: Final = 1
"""The threshold that makes the optimizers index every segment, however small."""


class ServerCollection:
    """An open collection on a Qdrant server. `sleep` is injectable for tests."""

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        settings: StoreSettings,
        schema: CollectionSchema,
        close_connection: bool,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._connection = connection
        self._client = connection.client
        self._settings = settings
        self._schema = schema
        self._close_connection = close_connection
        self._sleep = sleep

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._name

    @property
    def location(self) -> str:
        """The server's url."""
        return self._settings.location

    @property
    def contract(self) -> ModelContract:
        """What made the vectors."""
        return self._schema.contract

    @property
    def keys(self) -> PayloadKeys:
        """The payload's names for id, text and title."""
        return self._schema.keys

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the way, such as REST where gRPC did not answer."""
        return self._connection.notes

    def upsert(self, batch: PointBatch) -> None:
        """Store the batch; returns when the server answered `completed` for it."""
        if not batch.passages:
            return
        ids = [passage.point_id for passage in batch.passages]
        payloads = [to_payload(passage, self.keys) for passage in batch.passages]
        if self._connection.transport == "grpc":
            points: Any = grpc_points(ids, batch.vectors, payloads)
        else:
            points = rest_points(ids, batch.vectors, payloads)
        result = self._call(
            lambda: self._client.upsert(self._name, points, wait=True, ordering=models.WriteOrdering.WEAK),
            f"storing {len(ids)} passages",
        )
        if result.status != models.UpdateStatus.COMPLETED:
            raise ServerBusyError(
                f"{self.location}: the server took {len(ids)} passages but didn't confirm that they are stored "
                f"(it said {result.status.value!r}); run the same again"
            )

    def search(self, vectors: NDArray[np.float32], options: SearchOptions) -> list[list[Hit]]:
        """The hits of each row, best first, in one request."""
        where = _qdrant_filter(options.where)
        params = models.SearchParams(exact=options.exact, hnsw_ef=options.hnsw_ef)
        requests = [
            models.QueryRequest(
                query=vector.tolist(),
                limit=options.limit,
                offset=options.offset or None,
                filter=where,
                score_threshold=options.score_threshold,
                params=params,
                with_payload=True,
            )
            for vector in vectors
        ]
        if not requests:
            return []
        responses = self._call(lambda: self._client.query_batch_points(self._name, requests), "searching")
        return [
            [to_hit(_plain_id(point.id), point.score, point.payload, self.keys) for point in response.points]
            for response in responses
        ]

    def payloads(self, ids: Sequence[PointId]) -> dict[PointId, Mapping[str, Any]]:
        """The whole payload of each of these points that is there."""
        if not ids:
            return {}
        records = self._call(
            lambda: self._client.retrieve(self._name, list(ids), with_payload=True), "reading stored passages"
        )
        return {_plain_id(record.id): record.payload or {} for record in records}

    def sample(self, limit: int) -> list[Mapping[str, Any]]:
        """The payloads of the first `limit` points in the order of ids."""
        records, _ = self._call(
            lambda: self._client.scroll(self._name, limit=limit, with_payload=True), "reading stored passages"
        )
        return [record.payload or {} for record in records]

    def count(self, where: Where | None = None) -> int:
        """The exact number of points that match."""
        condition = _qdrant_filter(where)
        return self._call(lambda: self._client.count(self._name, count_filter=condition, exact=True), "counting").count

    def indexes(self) -> dict[str, IndexType]:
        """The payload indexes there are."""
        return _indexes(self._describe())

    def ensure_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        """Make the payload indexes that are missing, and wait for them."""
        there = self.indexes()
        for field, is_, wanted in index_conflicts(there, indexes):
            raise RequestRefusedError(
                f"{self.location}: field {field!r} of collection {self._name!r} is indexed as {is_}, not as "
                f"{wanted}; drop that index, or ask for {field}:{is_}"
            )
        for field, kind in indexes.items():
            if field not in there:
                schema = models.PayloadSchemaType(kind)
                self._call(
                    lambda field=field, schema=schema: self._client.create_payload_index(  # type: ignore[misc]
                        self._name, field, schema, wait=True
                    ),
                    f"indexing payload field {field!r}",
                )

    def defer_indexing(self) -> None:
        """Stop the server from building the vector index until `optimize`."""
        self._set_indexing_threshold(0)

    def optimize(self, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """Have every vector indexed, wait until nothing is pending, and put the wanted threshold back."""
        self._set_indexing_threshold(_FULL_INDEXING_KB)
        try:
            self._wait_until_indexed(on_progress)
        finally:
            self._set_indexing_threshold(self._schema.indexing_threshold_kb)

    def info(self) -> CollectionInfo:
        """What the collection is and holds now."""
        described = self._describe()
        return CollectionInfo(
            name=self._name,
            location=self.location,
            store=f"Qdrant {'.'.join(map(str, self._connection.version))} ({self._connection.transport})",
            points=self.count(),
            indexed=described.indexed_vectors_count or 0,
            status=described.status.value,
            indexes=_indexes(described),
            quantization=self._schema.quantization,
            keys=self.keys,
            contract=self.contract,
        )

    def flush(self) -> None:
        """Nothing to do: a completed write is in the server's write-ahead log."""

    def close(self) -> None:
        """Close the connection, unless others share it."""
        if self._close_connection:
            self._client.close()

    def _wait_until_indexed(self, on_progress: Callable[[OptimizeProgress], None] | None) -> None:
        quiet, last = 0, None
        while True:
            described = self._describe()
            points, indexed = described.points_count or 0, described.indexed_vectors_count or 0
            waiting_for = _pending(described)
            if on_progress is not None:
                on_progress(OptimizeProgress(points, min(indexed, points), waiting_for))
            if not waiting_for:
                # One more look guards against the moment between the update and the optimizers' start.
                quiet = quiet + 1 if (points, indexed) == last else 0
                if (indexed >= points and quiet >= 1) or quiet >= QUIET_POLLS:
                    return
            last = (points, indexed)
            self._sleep(POLL_SECONDS)

    def _describe(self) -> models.CollectionInfo:
        described = self._call(lambda: self._client.get_collection(self._name), "reading the collection's state")
        if described.status == models.CollectionStatus.RED:
            raise StoreCorruptError(
                f"{self.location}: collection {self._name!r} is in status red ({described.optimizer_status}); "
                "look into the server's log"
            )
        return described

    def _set_indexing_threshold(self, kilobytes: int) -> None:
        self._call(
            lambda: self._client.update_collection(
                self._name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=kilobytes)
            ),
            "setting when the vector index is built",
        )

    def _call(self, request: Callable[[], T], doing: str) -> T:
        return call(
            request,
            location=self.location,
            doing=doing,
            retry_seconds=self._settings.retry_seconds,
            sleep=self._sleep,
        )


def _pending(described: models.CollectionInfo) -> str:
    """What the server is still doing, in words, or an empty string."""
    if isinstance(described.optimizer_status, models.OptimizersStatusOneOf1):
        raise ServerBusyError(f"the server's optimizer failed: {described.optimizer_status.error}; look into its log")
    if described.update_queue is not None and described.update_queue.length:
        return f"{described.update_queue.length} queued updates"
    if described.status != models.CollectionStatus.GREEN:
        return "the vector index"
    return ""


def _indexes(described: models.CollectionInfo) -> dict[str, IndexType]:
    known: tuple[IndexType, ...] = get_args(IndexType)
    by_name = {kind: kind for kind in known}
    return {
        field: by_name[info.data_type.value]
        for field, info in described.payload_schema.items()
        if info.data_type.value in by_name
    }


def _qdrant_filter(where: Where | None) -> models.Filter | None:
    return to_qdrant(where) if isinstance(where, Filter) else where


def _plain_id(point_id: Any) -> PointId:
    """int or canonical UUID string: the client may give a uuid.UUID."""
    return point_id if isinstance(point_id, int) else str(point_id)
