"""A collection embedded in a folder: the Qdrant engine in this process, no server.

DIR/NAME/collection.json    the schema: contract, key names, wanted settings
DIR/NAME/lock               held while the collection is open; one process at a time
DIR/NAME/shard/             the engine's own files
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import orjson
import qdrant_edge as edge

from tasb_qdrant.collection.edge.engine import index_schema, indexes_of
from tasb_qdrant.collection.edge.optimize import INDEX_EVERYTHING_KB
from tasb_qdrant.collection.edge.room import Writing, size_of
from tasb_qdrant.collection.edge.shard import OpenShard, closed_error
from tasb_qdrant.collection.edge.vectors import edge_vectors
from tasb_qdrant.collection.edge.wire import EdgeRequest
from tasb_qdrant.collection.edits import Edits
from tasb_qdrant.collection.info import CollectionInfo, OptimizeProgress, dense_indexed
from tasb_qdrant.collection.limits import VECTOR_BYTES, StoreLimits, check_representable
from tasb_qdrant.collection.loads import LoadMark, Loads, load_metadata, read_loads
from tasb_qdrant.collection.payload import plain_payload, to_payload
from tasb_qdrant.collection.payload_indexes import check_indexes
from tasb_qdrant.collection.points import PointBatch, PointId, check_size, check_sparse
from tasb_qdrant.collection.reads.questions import ScoredPoint
from tasb_qdrant.collection.reads.run import AsyncReads, Reads
from tasb_qdrant.forks import keep
from tasb_qdrant.records import IntegerIds, ModelContract, RoleFields
from tasb_qdrant.settings import Bm25Settings, IndexType, PayloadKeys, SplitSettings
from tasb_qdrant.steps import Deadline

_MEASURED: Final = 64
"""Points whose payloads are read at a time, to see how large they are."""

_PATCHED_BYTES: Final = 2**20
"""Points are patched together until their payloads, and the words of their texts, have so many bytes."""

_WORD: Final = 8
"""Bytes of a word in a sparse vector."""


class EdgeCollection(Edits):
    """An open embedded collection, over a shard that others may share. `let_go` is called when it is closed.

    Its methods may be called from several threads; they take turns.
    """

    def __init__(self, shard: OpenShard, *, let_go: Callable[[OpenShard], None], notes: tuple[str, ...] = ()) -> None:
        self._shard = shard
        self._schema = shard.schema
        self._let_go = let_go
        self._notes = notes
        self._closed = False
        self._reads = Reads(shard.steps, self._send)

    @property
    def name(self) -> str:
        """The collection's name: its folder's."""
        return self._shard.folder.name

    @property
    def location(self) -> str:
        """The folder that holds the collections."""
        return str(self._shard.folder.parent)

    @property
    def identity(self) -> str:
        """What tells it from a later collection of the same name; "" if it is older than that."""
        return self._schema.id

    @property
    def edited(self) -> str:
        """What names the last edit of single passages before the collection was opened; "" if there was none."""
        return self._schema.edited

    @property
    def contract(self) -> ModelContract:
        """What made the vectors."""
        return self._schema.contract

    @property
    def integer_ids(self) -> IntegerIds:
        """Which passage ids are integers as point ids."""
        return self._schema.integer_ids

    def point_id(self, passage_id: str) -> PointId:
        """The id of the point that holds this passage, if any does."""
        return self._schema.point_id(passage_id)

    @property
    def keys(self) -> PayloadKeys:
        """The payload's names for id, text and title."""
        return self._schema.keys

    @property
    def bm25(self) -> Bm25Settings | None:
        """How the sparse vectors were made."""
        return self._schema.bm25

    @property
    def split(self) -> SplitSettings | None:
        """How long texts were split."""
        return self._schema.split

    @property
    def fields(self) -> RoleFields | None:
        """From which fields of their sources the passages came."""
        return self._shard.schema.fields

    @property
    def notes(self) -> tuple[str, ...]:
        """Which of the wanted settings the collection did not adopt."""
        return self._notes

    @property
    def limits(self) -> StoreLimits:
        """There are none."""
        return StoreLimits()

    @property
    def reads(self) -> Reads:
        """The read path."""
        return self._reads

    @property
    def payload_entries(self) -> None:
        """None: the engine takes Python's values."""

    def async_reads(self) -> AsyncReads:
        """The read path, awaited: another thread waits. The event loop stands still while the engine answers."""

        async def send(requests: Sequence[EdgeRequest], deadline: Deadline) -> list[Any]:
            return await asyncio.to_thread(self._send, requests, deadline)

        async def close() -> None:
            """Nothing is held open."""

        return AsyncReads(send, close)

    def upsert(self, batch: PointBatch) -> None:
        """Store the batch; on return it is in the write-ahead log, which a killed process leaves intact."""
        if not batch.passages:
            return
        batch = batch.identified(self.point_id)
        check_size(batch.vectors, name=self.name, dim=self.contract.dim)
        check_sparse(batch, self.bm25, name=self.name)
        check_representable(batch.vectors, self._schema.vectors)
        payloads = [to_payload(passage, self.keys) for passage in batch.passages]
        points = [
            edge.Point(point_id, vector, payload)
            for point_id, payload, vector in zip(batch.point_ids, payloads, edge_vectors(batch), strict=True)
        ]
        with self._writing("storing passages", size_of(batch, payloads)) as shard:
            shard.update(edge.UpdateOperation.upsert_points(points))

    def delete_points(self, ids: Sequence[PointId]) -> None:
        """Delete these points; on return that is in the write-ahead log."""
        if ids:
            with self._writing("deleting passages", Writing(len(ids))) as shard:
                shard.update(edge.UpdateOperation.delete_points(list(ids)))

    def replace_payloads(self, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Give each point its payload as a whole; on return that is in the write-ahead log."""
        for point_id, payload in payloads.items():
            # The engine moves a point that it has indexed, with its vector.
            size = Writing(1, 4 * self.contract.dim, len(orjson.dumps(payload)))
            with self._writing("replacing payloads", size) as shard:
                shard.update(edge.UpdateOperation.overwrite_payload([point_id], dict(payload)))

    def patch_payloads(self, ids: Sequence[PointId], fields: Mapping[str, Any], removed: Sequence[str]) -> None:
        """Set these fields of these points, and remove others; on return that is in the write-ahead log."""
        doing, plain = "patching payloads", plain_payload(fields)
        # Either change writes the whole payload anew, its text included, and moves a point that is indexed.
        each, times = len(orjson.dumps(plain)), bool(fields) + bool(removed)
        with self._engine(doing):  # nobody else changes a payload between the look at its size and the patch
            for group, stored in self._by_size(ids):
                size = Writing(len(group), 4 * self.contract.dim * len(group), times * (stored + each * len(group)))
                with self._writing(doing, size) as shard:
                    if fields:
                        shard.update(edge.UpdateOperation.set_payload(list(group), plain))
                    if removed:
                        shard.update(edge.UpdateOperation.delete_payload(list(group), list(removed)))

    def mark_edited(self) -> None:
        """Note in the sidecar that passages are edited now."""
        self._check_open()
        self._shard.mark_edited()

    @property
    def alias_of(self) -> str:
        """Nothing: there are no aliases."""
        return ""

    def record_fields(self, fields: RoleFields) -> None:
        """Have the collection say that its passages come from these fields. Raises CollectionError."""
        self._shard.record(self._shard.schema.model_copy(update={"fields": fields}))

    def loads(self) -> Loads:
        """The loads that the sidecar knows of; while it is open here, no other process loads. Raises
        CollectionReplacedError if the folder is another collection's now."""
        self._check_open()
        return read_loads(self._shard.metadata_now(), shared=False)

    def note_load(self, load: str, mark: LoadMark | None, *, latest: str = "", retry: bool = True) -> None:
        """Have the sidecar say this of a load."""
        self._check_open()
        self._shard.note(load_metadata(load, mark), "noting how far the load is")

    def indexes(self) -> dict[str, IndexType]:
        """The payload indexes there are."""
        with self._engine("reading the collection's state") as shard:
            return indexes_of(shard.info())

    def ensure_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        """Make the payload indexes that are missing."""
        missing = check_indexes(self, indexes)
        points = self._reads.count(exact=False)
        self._check_open()
        texts = [kind == "text" for kind in missing.values()]
        with self._shard.indexing("indexing a payload field", texts=texts, points=points) as shard:
            for field, kind in missing.items():
                self._shard.steps.filtering.known.forget()
                shard.update(edge.UpdateOperation.create_field_index(field, index_schema(kind)))

    def remove_index(self, field: str, *, retry: bool = True) -> None:
        """Drop the payload index of this field, if there is one."""
        with self._writing("dropping an index", Writing(1)) as shard:
            self._shard.steps.filtering.known.forget()
            shard.update(edge.UpdateOperation.delete_field_index(field))

    @property
    def shares_machine(self) -> bool:
        """Yes, and even this process."""
        return True

    def begin_load(self) -> None:
        """Nothing to do: all that is stored is visible at once."""

    def end_load(self) -> None:
        """Nothing to do either."""

    def wait_until_visible(self) -> str:
        """Nothing to wait for: "" at once."""
        return ""

    def index_deferred(self) -> bool:
        """No: nothing but `optimize` builds the index, and `info` says how much is in it."""
        return False

    def defer_indexing(self) -> None:
        """Nothing to do: the engine builds the vector index in `optimize` alone."""

    def resume_indexing(self) -> None:
        """Nothing to do either."""

    def settle_index(self, *, changed: bool, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """`optimize`, unless the index holds everything already but what is too little for one."""
        with self._engine("reading the collection's state") as shard:
            described = shard.info()
        missing = self._reads.count() - self._indexed(described)
        vector_bytes = self.contract.dim * VECTOR_BYTES[self._schema.vectors]
        if missing > described.segments_count * (INDEX_EVERYTHING_KB * 1024 // vector_bytes + 1):
            self.optimize(on_progress)

    def optimize(self, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """Build the vector index over every point. Others wait for their turn."""
        tell = on_progress or (lambda _: None)
        points = self._reads.count()
        self._shard.build_index(lambda: tell(OptimizeProgress(points, 0, "the vector index")))
        with self._engine("reading the collection's state") as shard:
            tell(OptimizeProgress(points, self._indexed(shard.info()), ""))

    def info(self) -> CollectionInfo:
        """What the collection is and holds now."""
        with self._engine("reading the collection's state") as shard:
            described = shard.info()
            points = self._reads.count()
            return CollectionInfo(
                name=self.name,
                location=self.location,
                store="embedded",
                points=points,
                indexed=min(points, self._indexed(described)),  # which counts vectors that were deleted, too
                status="open",
                index_deferred=False,
                indexes=indexes_of(described),
                quantization=self._schema.quantization,
                vectors=self._schema.vectors,
                keys=self.keys,
                contract=self.contract,
                bm25=self.bm25,
                integer_ids=self.integer_ids,
                split=self.split,
            )

    def queued_updates(self) -> None:
        """None: an update is done when the call that brings it returns."""

    def damaged(self) -> list[str] | None:
        """The engine's files that aren't as they were written last, by their checksums; None if that isn't known: the
        last to write was killed, or was another program, or has the collection open here."""
        self._check_open()
        return self._shard.damaged()

    def flush(self) -> None:
        """Return when everything stored so far is on disk."""
        self._check_open()
        self._shard.flush()

    def close(self) -> None:
        """Write everything to disk; the last to close a shared collection lets other processes open it."""
        if not self._closed:
            self._closed = True
            if self._shard.is_elsewhere:
                keep(self._shard)  # it is the other process's, and so is the lock
                return
            self._let_go(self._shard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _by_size(self, ids: Sequence[PointId]) -> Iterator[tuple[list[PointId], int]]:
        """The points in groups, and the bytes of each group's payloads and words as they are stored."""
        group: list[PointId] = []
        total = 0
        for start in range(0, len(ids), _MEASURED):
            part = ids[start : start + _MEASURED]
            sizes = {
                point.id: _stored_bytes(point) for point in self._reads.retrieve(part, sparse=self.bm25 is not None)
            }
            for point_id in part:
                size = sizes.get(point_id, 0)
                if group and total + size > _PATCHED_BYTES:
                    yield group, total
                    group, total = [], 0
                group.append(point_id)
                total += size
        if group:
            yield group, total

    def _indexed(self, described: edge.ShardInfo) -> int:
        indexed = described.indexed_vectors_count
        return indexed if self.bm25 is None else dense_indexed(indexed, described.points_count)

    def _send(self, requests: Sequence[EdgeRequest], deadline: Deadline) -> list[Any]:
        self._check_open()
        return self._shard.send(requests, deadline)

    @contextmanager
    def _engine(self, doing: str) -> Iterator[edge.EdgeShard]:
        self._check_open()
        with self._shard.engine(doing) as shard:
            yield shard

    @contextmanager
    def _writing(self, doing: str, size: Writing) -> Iterator[edge.EdgeShard]:
        """For every update: the shard, when the disk has room for one of that size."""
        self._check_open()
        with self._shard.writing(doing, size) as shard:
            yield shard

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self.name)


def _stored_bytes(point: ScoredPoint) -> int:
    words = 0 if point.sparse is None else _WORD * len(point.sparse.indices)
    return words + len(orjson.dumps(point.payload))
