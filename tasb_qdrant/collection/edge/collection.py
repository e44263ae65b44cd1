"""A collection embedded in a folder: the Qdrant engine in this process, no server.

DIR/NAME/collection.json    the schema: contract, key names, wanted settings
DIR/NAME/lock               held while the collection is open; one process at a time
DIR/NAME/shard/             the engine's own files
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from tasb_qdrant.collection.edge.engine import (
    engine_error,
    index_schema,
    indexes_of,
    is_engine_error,
    load_shard,
)
from tasb_qdrant.collection.edge.files import EdgeLock, in_memory, load_schema, shard_folder
from tasb_qdrant.collection.edge.optimize import INDEX_EVERYTHING_KB, build_in_child
from tasb_qdrant.collection.edge.reads import EdgeAsyncReads, EdgeReads
from tasb_qdrant.collection.edge.vectors import DENSE, edge_vectors, sparse_of
from tasb_qdrant.collection.edge.wire import EdgeWire
from tasb_qdrant.collection.info import CollectionInfo, OptimizeProgress, dense_indexed
from tasb_qdrant.collection.limits import VECTOR_BYTES, StoreLimits, check_representable
from tasb_qdrant.collection.payload import plain_id, to_hit, to_payload
from tasb_qdrant.collection.points import PointBatch, PointId, check_queries, check_size, check_sparse
from tasb_qdrant.collection.protocol import Page, SearchOptions, StoredPoint
from tasb_qdrant.collection.reads.known_indexes import KnownIndexes
from tasb_qdrant.collection.reads.questions import BM25, FindOptions, Nearest, ReadOptions, Where
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.collection.reads.wire import most_compared
from tasb_qdrant.collection.schema import CollectionSchema, index_conflicts, kept_settings
from tasb_qdrant.errors import CollectionError, RequestRefusedError
from tasb_qdrant.records import Hit, ModelContract
from tasb_qdrant.records.sparse import SparseVector
from tasb_qdrant.settings import Bm25Settings, CollectionSettings, IndexType, PayloadKeys

_BATCH: Final = 1
"""Queries that the engine answers at a time, while every other thread stands still. With its vector index it is
quickest so: 1,000 queries of 6,000 points took 2.1 s one by one, 3.4 s by eights, 5.6 s by 64."""


class EdgeCollection:
    """An open embedded collection. Its methods may be called from several threads; they take turns."""

    def __init__(self, folder: Path, *, lock_wait: float = 0.0, wanted: CollectionSettings | None = None) -> None:
        self._folder = folder
        self._file_lock = EdgeLock(folder)
        self._turn = threading.RLock()
        self._file_lock.acquire(lock_wait)
        try:
            self._schema: CollectionSchema = load_schema(folder)
            self._notes = kept_settings(self._schema, wanted)
            self._shard: edge.EdgeShard | None = load_shard(shard_folder(folder))
            self._known = KnownIndexes()
            self._steps = ReadSteps(
                EdgeWire(),
                known=self._known,
                quantization=self._schema.quantization,
                most_compared=most_compared(self._schema, in_memory=in_memory(folder)),
                batch_queries=_BATCH,
            )
            self._reads = EdgeReads(self._steps, self._engine)
        except BaseException:
            self._file_lock.release()
            raise

    @property
    def name(self) -> str:
        """The collection's name: its folder's."""
        return self._folder.name

    @property
    def location(self) -> str:
        """The folder that holds the collections."""
        return str(self._folder.parent)

    @property
    def identity(self) -> str:
        """What tells it from a later collection of the same name; "" if it is older than that."""
        return self._schema.id

    @property
    def contract(self) -> ModelContract:
        """What made the vectors."""
        return self._schema.contract

    @property
    def keys(self) -> PayloadKeys:
        """The payload's names for id, text and title."""
        return self._schema.keys

    @property
    def bm25(self) -> Bm25Settings | None:
        """How words became vectors."""
        return self._schema.bm25

    @property
    def notes(self) -> tuple[str, ...]:
        """What the collection did not take over of the settings wanted."""
        return self._notes

    @property
    def limits(self) -> StoreLimits:
        """None."""
        return StoreLimits()

    @property
    def reads(self) -> EdgeReads:
        """The read path."""
        return self._reads

    def async_reads(self) -> EdgeAsyncReads:
        """The read path, awaited: other threads wait."""
        return EdgeAsyncReads(self._steps, self._reads)

    def upsert(self, batch: PointBatch) -> None:
        """Store the batch; on return it is in the write-ahead log, which a killed process leaves intact."""
        if not batch.passages:
            return
        check_size(batch.vectors, name=self.name, dim=self.contract.dim)
        check_sparse(batch, self.bm25, name=self.name)
        check_representable(batch.vectors, self._schema.vectors)
        points = [
            edge.Point(point_id, vector, to_payload(passage, self.keys))
            for point_id, passage, vector in zip(batch.point_ids, batch.passages, edge_vectors(batch), strict=True)
        ]
        with self._engine("storing passages") as shard:
            shard.update(edge.UpdateOperation.upsert_points(points))

    def search(self, vectors: NDArray[np.float32], options: SearchOptions) -> list[list[Hit]]:
        """The hits of each row, best first."""
        check_queries(vectors, name=self.name, dim=self.contract.dim)
        found = self.reads.query(
            [Nearest(vector) for vector in vectors],
            FindOptions(**{name: getattr(options, name) for name in options.__slots__}),
        )
        return [[to_hit(point.id, point.score, point.payload, self.keys) for point in points] for points in found]

    def payloads(self, ids: Sequence[PointId]) -> dict[PointId, Mapping[str, Any]]:
        """The whole payload of each of these points that is there."""
        with self._engine("reading stored passages") as shard:
            records = shard.retrieve(list(ids), with_payload=True, with_vector=False)
        return {plain_id(record.id): record.payload or {} for record in records}

    def vectors(self, ids: Sequence[PointId]) -> dict[PointId, NDArray[np.float32]]:
        """The vector of each of these points that is there."""
        with self._engine("reading stored passages") as shard:
            records = shard.retrieve(list(ids), with_payload=False, with_vector=DENSE)
        return {plain_id(record.id): np.asarray(record.vector, dtype=np.float32) for record in records}

    def sparse_vectors(self, ids: Sequence[PointId]) -> dict[PointId, SparseVector]:
        """The sparse vector of each of these points that has one."""
        if self.bm25 is None:
            return {}
        with self._engine("reading stored passages") as shard:
            records = shard.retrieve(list(ids), with_payload=False, with_vector=[BM25])
        found = {plain_id(record.id): sparse_of(record.vector) for record in records}
        return {point_id: one for point_id, one in found.items() if one is not None}

    def page(
        self, start: PointId | None = None, *, limit: int = 1_000, payloads: bool = False, vectors: bool = False
    ) -> Page:
        """The points from `start` on, in the order of ids."""
        request = edge.ScrollRequest(
            offset=start, limit=limit, with_payload=payloads, with_vector=DENSE if vectors else False
        )
        with self._engine("reading the collection by pages") as shard:
            records, following = shard.scroll(request)
        points = [
            StoredPoint(
                id=plain_id(record.id),
                payload=(record.payload or {}) if payloads else None,
                vector=np.asarray(record.vector, dtype=np.float32) if vectors else None,
            )
            for record in records
        ]
        return Page(points, None if following is None else plain_id(following))

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete these points; on return that is in the write-ahead log."""
        if ids:
            with self._engine("deleting passages") as shard:
                shard.update(edge.UpdateOperation.delete_points(list(ids)))

    def replace_payloads(self, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Give each point its payload as a whole; on return that is in the write-ahead log."""
        with self._engine("replacing payloads") as shard:
            for point_id, payload in payloads.items():
                shard.update(edge.UpdateOperation.overwrite_payload([point_id], dict(payload)))

    def sample(self, limit: int) -> list[Mapping[str, Any]]:
        """The payloads of the first `limit` points in the order of ids."""
        return self._reads.sample_payloads(limit)

    def count(self, where: Where | None = None) -> int:
        """The exact number of points that match."""
        return self._reads.count_matching(where, exact=True, read=ReadOptions())

    def indexes(self) -> dict[str, IndexType]:
        """The payload indexes there are."""
        with self._engine("reading the collection's state") as shard:
            return indexes_of(shard.info())

    def ensure_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        """Make the payload indexes that are missing."""
        with self._engine("indexing a payload field") as shard:
            there = indexes_of(shard.info())
            for field, is_, wanted in index_conflicts(there, indexes):
                raise RequestRefusedError(
                    f"{self.location}: field {field!r} of collection {self.name!r} is indexed as {is_}, not as "
                    f"{wanted}; drop that index, or ask for {field}:{is_}"
                )
            for field, kind in indexes.items():
                if field not in there:
                    self._known.forget()
                    shard.update(edge.UpdateOperation.create_field_index(field, index_schema(kind)))

    def index_deferred(self) -> bool:
        """No: nothing but `optimize` builds the index, and `info` says how much is in it."""
        return False

    def defer_indexing(self) -> None:
        """Nothing to do: the engine builds the vector index in `optimize` alone."""

    def settle_index(self, *, changed: bool, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """`optimize`, unless the index holds everything already but what is too little for one."""
        with self._engine("reading the collection's state") as shard:
            described = shard.info()
        missing = self.count() - self._indexed(described)
        vector_bytes = self.contract.dim * VECTOR_BYTES[self._schema.vectors]
        if missing > described.segments_count * (INDEX_EVERYTHING_KB * 1024 // vector_bytes + 1):
            self.optimize(on_progress)

    def optimize(self, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """Build the vector index over every point.

        The engine holds the interpreter's lock for as long as it builds, so a process of its own does
        the work: progress and Ctrl-C stay alive here.
        """
        with self._turn:
            points = self.count()
            self.flush()
            self._close_shard()
            try:
                self._build(points, on_progress)
            finally:
                self._shard = load_shard(shard_folder(self._folder))
            if on_progress is not None:
                on_progress(OptimizeProgress(points, self._indexed(self._open_shard().info()), ""))

    def info(self) -> CollectionInfo:
        """What the collection is and holds now."""
        with self._engine("reading the collection's state") as shard:
            described = shard.info()
            return CollectionInfo(
                name=self.name,
                location=self.location,
                store="embedded",
                points=self.count(),
                indexed=self._indexed(described),
                status="open",
                index_deferred=False,
                indexes=indexes_of(described),
                quantization=self._schema.quantization,
                vectors=self._schema.vectors,
                keys=self.keys,
                contract=self.contract,
                bm25=self.bm25,
            )

    def queued_updates(self) -> None:
        """None: an update is done when the call that brings it returns."""

    def flush(self) -> None:
        """Return when everything stored so far is on disk."""
        with self._engine("writing to disk") as shard:
            shard.flush()

    def close(self) -> None:
        """Write everything to disk, and let other processes open the collection."""
        with self._turn:
            try:
                if self._shard is not None:
                    self._close_shard()
            finally:
                self._file_lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _indexed(self, described: edge.ShardInfo) -> int:
        indexed = described.indexed_vectors_count
        return indexed if self.bm25 is None else dense_indexed(indexed, described.points_count)

    def _build(self, points: int, on_progress: Callable[[OptimizeProgress], None] | None) -> None:
        def tell() -> None:
            if on_progress is not None:
                on_progress(OptimizeProgress(points, 0, "the vector index"))

        try:
            build_in_child(shard_folder(self._folder), lock=self._file_lock.fileno(), while_waiting=tell)
        except BaseException as error:
            if not is_engine_error(error):
                raise
            raise engine_error(error, f"{self._folder}, building the vector index") from error

    @contextmanager
    def _engine(self, doing: str) -> Iterator[edge.EdgeShard]:
        """The shard, for one caller at a time. What the engine raises becomes an error of ours."""
        with self._turn:
            shard = self._open_shard()
            try:
                yield shard
            except BaseException as error:
                if not is_engine_error(error):
                    raise
                raise engine_error(error, f"{self._folder}, {doing}") from error

    def _open_shard(self) -> edge.EdgeShard:
        if self._shard is None:
            raise CollectionError(f"collection {self.name!r} is closed; open it again")
        return self._shard

    def _close_shard(self) -> None:
        with self._engine("closing the collection") as shard:
            self._shard = None
            shard.close()
