"""A collection on a Qdrant server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self, TypeVar

from qdrant_client import models

from tasb_qdrant.collection.edits import Edits
from tasb_qdrant.collection.info import CollectionInfo, OptimizeProgress, dense_indexed
from tasb_qdrant.collection.limits import StoreLimits, check_representable
from tasb_qdrant.collection.loads import LoadMark, Loads, load_metadata, read_loads
from tasb_qdrant.collection.payload import plain_payload, to_payload
from tasb_qdrant.collection.payload_indexes import check_indexes
from tasb_qdrant.collection.points import PointBatch, PointId, check_size, check_sparse
from tasb_qdrant.collection.reads.run import AsyncReads, Reads
from tasb_qdrant.collection.reads.state import State
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.collection.schema import CollectionSchema, check_same, edit_mark, read_schema
from tasb_qdrant.collection.server.address import is_elsewhere
from tasb_qdrant.collection.server.aliases import where_allowed
from tasb_qdrant.collection.server.confirmed import Confirmations
from tasb_qdrant.collection.server.connection import Connection, Patience
from tasb_qdrant.collection.server.edits import ServerEdits
from tasb_qdrant.collection.server.failure import CLIENT_ERRORS, RequestTooLargeError, sensible
from tasb_qdrant.collection.server.grpc import GrpcWire
from tasb_qdrant.collection.server.optimizers import Optimizers, is_deferred
from tasb_qdrant.collection.server.points import grpc_sender, rest_points, rest_sender
from tasb_qdrant.collection.server.reads import ServerReading, ask
from tasb_qdrant.collection.server.rest import RestWire
from tasb_qdrant.collection.server.retry import call
from tasb_qdrant.collection.server.state import indexes_of, schema_of
from tasb_qdrant.collection.server.upserts import UpsertWire
from tasb_qdrant.collection.server.versions import TEXT_SCORES, UPDATE_QUEUE, check_filter
from tasb_qdrant.collection.server.visibility import Backlog, wait_until_visible
from tasb_qdrant.collection.watch import Watch
from tasb_qdrant.errors import CollectionReplacedError
from tasb_qdrant.filters import Filter
from tasb_qdrant.records import IntegerIds, ModelContract, Passage, RoleFields
from tasb_qdrant.settings import Bm25Settings, IndexType, PayloadKeys, SplitSettings, StoreSettings
from tasb_qdrant.steps import Deadline

T = TypeVar("T")


class ServerCollection(Edits):
    """An open collection on a Qdrant server. `sleep` waits between tries, and `watch` is told of them.

    `patience` is for those who read it; None is a load's. A load that was given an `alias` stores in the collection
    that it stood for.
    """

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        settings: StoreSettings,
        state: State,
        close_connection: bool,
        alias: str = "",
        patience: Patience | None = None,
        notes: tuple[str, ...] = (),
        sleep: Callable[[float], None] = time.sleep,
        watch: Watch | None = None,
    ) -> None:
        self._name = name
        self._alias = alias
        self._connection = connection
        self._client = connection.client
        self._settings = settings
        self._close_connection = close_connection
        self._notes = notes
        self._sleep = sleep
        self._watch = watch
        self._wire = UpsertWire(name, dim=state.schema.contract.dim, keys=state.schema.keys)
        wire = GrpcWire if connection.channel is not None else RestWire
        self._steps = ReadSteps(
            wire(name, settings.location),
            state,
            name=name,
            location=settings.location,
            # A load writes what it made for the collection that it opened, and into no other.
            others="refused" if patience is None else "followed",
        )
        self._steps.filtering.check = self._check_filter
        self._patience = patience or Patience.to_load(settings)
        wait = None if patience is None else settings.read_seconds
        self._reading = ServerReading(name, connection, settings, wait=wait, sleep=sleep, watch=watch)
        self._reads = Reads(self._steps, self._reading.send)
        self._optimizers = Optimizers(
            name,
            location=settings.location,
            connection=connection,
            schema=state.schema,
            describe=self._describe_to_index,
            call=self._call,
            sleep=sleep,
        )
        self._confirmations = Confirmations(self._reads, self._backlog, state.schema.vectors)
        self._edits = ServerEdits(
            self._client,
            name,
            call=self._call,
            over_grpc=connection.transport == "grpc",
            timeout=settings.timeout,
            confirmations=self._confirmations,
            wait_seconds=self._wait_seconds,
        )

    @property
    def _schema(self) -> CollectionSchema:
        """What it says of itself, as far as is known."""
        return self._steps.state.now.schema

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._name

    @property
    def location(self) -> str:
        """The server's url."""
        return self._settings.location

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
        return self._schema.fields

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the way, such as REST because gRPC did not answer."""
        return (*self._connection.notes, *self._notes)

    @property
    def limits(self) -> StoreLimits:
        """What the server's strict mode allows, as far as is known: it is read again with the first read after 5 s."""
        return self._steps.state.now.limits

    @property
    def reads(self) -> Reads:
        """The read path."""
        return self._reads

    @property
    def payload_entries(self) -> Callable[[Passage], bytes] | None:
        """What makes a passage's payload as a gRPC request has it; None over REST."""
        return None if self._connection.channel is None else self._wire.payload

    def async_reads(self) -> AsyncReads:
        """The read path, awaited, over a connection of its own; close it in the event loop that used it."""
        return self._reading.async_reads()

    def upsert(self, batch: PointBatch) -> None:
        """Store the batch; returns when the server answered `completed` for it."""
        if not batch.passages:
            return
        batch = batch.identified(self.point_id)
        check_size(batch.vectors, name=self._name, dim=self.contract.dim)
        check_sparse(batch, self.bm25, name=self._name)
        check_representable(batch.vectors, self._schema.vectors)
        self.limits.check_terms(
            batch.sparse, [one.id for one in batch.passages], place=f"{self.location}, {self._name!r}"
        )
        try:
            self._call(self._sender(batch), f"storing {_counted(len(batch.passages))}")
        except RequestTooLargeError:
            if (half := len(batch.passages) // 2) == 0:
                raise
            self.upsert(batch.part(0, half))
            self.upsert(batch.part(half, len(batch.passages)))

    def delete_points(self, ids: Sequence[PointId]) -> None:
        """Delete these points; returns when the server answered `completed`."""
        self._edits.delete(ids)

    def replace_payloads(self, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Give each point its payload as a whole; returns when the server answered `completed` for each."""
        self._edits.replace_payloads(payloads)

    def patch_payloads(self, ids: Sequence[PointId], fields: Mapping[str, Any], removed: Sequence[str]) -> None:
        """Set these fields of these points, and remove others; returns when the server answered `completed`."""
        self._edits.patch_payloads(ids, plain_payload(fields), removed)

    def mark_edited(self) -> None:
        """Note in the collection's metadata that passages are edited now."""
        self._call(
            lambda: self._client.update_collection(self._name, metadata=edit_mark()), "noting that passages are edited"
        )

    @property
    def alias_of(self) -> str:
        """The collection that the name stands for, if it is an alias."""
        return self._aliases(self._patience.begin()).get(self._name, "")

    def _aliases(self, deadline: Deadline) -> dict[str, str]:
        return where_allowed(lambda: self._ask(self._connection.questions.aliases, "listing aliases", deadline))

    def record_fields(self, fields: RoleFields) -> None:
        """Have the collection say that its passages come from these fields, and from those that another process
        recorded since it was opened here. Raises CollectionReplacedError if it isn't the collection that was opened."""
        # Read anew: another process may have recorded something else since.
        metadata = self._describe().config.metadata
        check_same(self._schema, metadata, name=self._name, location=self.location)
        schema = read_schema(metadata, name=self._name, location=self.location)
        if schema.fields not in (None, self._schema.fields):
            fields = schema.fields.plus(fields)
        schema_now = schema.model_copy(update={"fields": fields})
        self._steps.state.now = replace(self._steps.state.now, schema=schema_now)
        if fields == schema.fields:
            return
        self._call(
            lambda: self._client.update_collection(self._name, metadata=self._schema.to_metadata()),
            "recording the sources' fields",
        )

    def loads(self) -> Loads:
        """The loads it knows of. Raises CollectionReplacedError if it isn't the collection that was opened."""
        metadata = self._describe_patiently().config.metadata
        check_same(self._schema, metadata, name=self._name, location=self.location)
        if self._alias and (now := self._aliases(self._patience.begin()).get(self._alias)) != self._name:
            what = f"what the alias {self._alias!r} stands for"
            raise CollectionReplacedError(self._name, [(what, self._name, now or "nothing")])
        return read_loads(metadata, shared=True)

    def note_load(self, load: str, mark: LoadMark | None, *, latest: str = "", retry: bool = True) -> None:
        """Have the collection's metadata say this of a load; without `retry` in one try."""
        metadata = load_metadata(load, mark, latest=latest)
        self._call(
            lambda: self._client.update_collection(self._name, metadata=metadata),
            "noting how far the load is",
            retry_seconds=None if retry else 0,
        )

    def indexes(self) -> dict[str, IndexType]:
        """The payload indexes there are."""
        return dict(indexes_of(self._describe()).types)

    def ensure_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        """Make the payload indexes that are missing, and wait for them."""
        self._steps.filtering.known.forget()
        for field, kind in check_indexes(self, indexes).items():
            # Without phrase matching a text index finds no phrase, and says nothing.
            schema = self._text_index() if kind == "text" else models.PayloadSchemaType(kind)
            self._call(
                lambda field=field, schema=schema: self._client.create_payload_index(  # type: ignore[misc]
                    self._name, field, schema, wait=True
                ),
                f"indexing payload field {field!r}",
            )

    def remove_index(self, field: str, *, retry: bool = True) -> None:
        """Drop the payload index of this field, if there is one; without `retry` in one try."""
        self._steps.filtering.known.forget()
        self._call(
            lambda: self._client.delete_payload_index(self._name, field, wait=True),
            f"dropping the index of payload field {field!r}",
            retry_seconds=None if retry else 0,
        )

    @property
    def shares_machine(self) -> bool:
        """Whether the server may be on this machine, as far as its address tells."""
        return not is_elsewhere(self._settings)

    def begin_load(self) -> None:
        """Have what is stored from now on be visible at once, whatever `prevent_unoptimized` says, until `end_load`."""
        self._optimizers.begin()

    def end_load(self) -> None:
        """Put back what `begin_load` switched off, here or in a run that didn't finish."""
        self._optimizers.end()

    def wait_until_visible(self) -> str:
        """Return when reads show all that was acknowledged, or when waiting is in vain: a sentence says so then."""
        left = self._backlog()
        if not any(left):
            return ""
        return (
            f"{self.location} has {left}, which did not become fewer for {self._settings.retry_seconds:.0f} s: what is "
            "read of the collection may lack them; wait for the server (another program may be writing), and run the "
            "same again"
        )

    def _backlog(self) -> Backlog:
        """What reads don't show, once it is as little as waiting makes it."""
        with (self._watch or Watch()).request("applying what it has acknowledged"):
            return wait_until_visible(
                self._describe_patiently, sleep=self._sleep, patience=self._settings.retry_seconds
            )

    def index_deferred(self) -> bool:
        """Whether a load that is under way, or did not finish, keeps the server from building the index."""
        config = (described := self._describe()).config
        schema = schema_of(described, name=self._name, location=self.location)
        return is_deferred(config.optimizer_config, schema)

    def defer_indexing(self) -> None:
        """Stop the server from building the vector index until `optimize`."""
        self._optimizers.defer()

    def resume_indexing(self) -> None:
        """Have the server build the vector index along with what is stored from now on."""
        self._optimizers.resume()

    def settle_index(self, *, changed: bool, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """`optimize` after a deferred load. Else wait for the server, which leaves out what is quicker to scan."""
        self._optimizers.settle(changed=changed, on_progress=on_progress)

    def optimize(self, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """Have every vector indexed, wait until nothing is pending, and put the wanted settings back."""
        self._optimizers.build_all(on_progress)

    def info(self) -> CollectionInfo:
        """What the collection is and holds now: the one that has the name now, should it be another by then."""
        deadline = self._patience.begin()
        described = self._describe(deadline)
        schema = schema_of(described, name=self._name, location=self.location)
        aliases = self._aliases(deadline)
        own_name = aliases.get(self._name, self._name)
        return CollectionInfo(
            name=self._name,
            location=self.location,
            store=f"Qdrant {'.'.join(map(str, self._connection.version))} ({self._connection.transport})",
            points=self._reads.run_until(self._steps.count(), deadline),
            indexed=_indexed(described, schema),
            status=described.status.value,
            index_deferred=is_deferred(described.config.optimizer_config, schema),
            vectors=schema.vectors,
            indexes=indexes_of(described).types,
            quantization=schema.quantization,
            keys=schema.keys,
            contract=schema.contract,
            bm25=schema.bm25,
            integer_ids=schema.integer_ids,
            alias_of=aliases.get(self._name, ""),
            aliases=tuple(sorted(alias for alias, name in aliases.items() if name == own_name)),
            split=schema.split,
        )

    def queued_updates(self) -> int | None:
        """The length of the update queue over all shards; None from servers before 1.17, or if there is no answer."""
        try:
            queue = self._connection.questions.describe(self._name, self._patience.request).update_queue
        except CLIENT_ERRORS:
            return None
        return None if queue is None else queue.length

    def cluster(self) -> models.ClusterStatusOneOf1 | None:
        """The server's cluster, and which of its peers it is; None if it isn't in a cluster."""
        status = self._call(self._client.cluster_status, "asking for the cluster's state")
        return status if isinstance(status, models.ClusterStatusOneOf1) else None

    def placement(self) -> models.CollectionClusterInfo:
        """Where the replicas of the collection's shards are."""
        return self._call(lambda: self._client.collection_cluster_info(self._name), "asking where the shards are")

    def damaged(self) -> list[str] | None:
        """None that we could see: a server looks after its own files."""
        return []

    def flush(self) -> None:
        """Nothing to do: a completed write is in the server's write-ahead log."""

    def close(self) -> None:
        """Close the connection, unless others share it."""
        self._reading.close()
        if self._close_connection:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sender(self, batch: PointBatch) -> Callable[[], None]:
        """What stores the batch when it is called, and may be called again."""
        if (channel := self._connection.channel) is not None:
            send = grpc_sender(
                channel, self._wire.request(batch, wait_seconds=self._wait_seconds()), timeout=self._settings.timeout
            )
        else:
            points = rest_points(batch, self._payloads(batch))
            send = rest_sender(self._client, self._name, points, wait_seconds=self._wait_seconds())
        return self._confirmations.stored(send, batch, lambda: self._payloads(batch))

    def _wait_seconds(self) -> int | None:
        """Seconds after which a server says how far a write is, if this one can; strict mode may allow fewer."""
        if self._connection.version < UPDATE_QUEUE.since:
            return None
        ours = max(1, int(self._settings.timeout) - _ANSWERED_BEFORE)
        return min(ours, self.limits.seconds or ours)

    def _check_filter(self, where: Filter) -> None:
        """Raises ServerTooOldError for conditions that the server doesn't have yet."""
        check_filter(where, self._connection.version, location=self.location)

    def _text_index(self) -> models.TextIndexParams:
        scoring = True if self._connection.version >= TEXT_SCORES.since else None
        return models.TextIndexParams(type=models.TextIndexType.TEXT, phrase_matching=True, scoring=scoring)

    def _payloads(self, batch: PointBatch) -> list[dict[str, Any]]:
        return [to_payload(passage, self.keys) for passage in batch.passages]

    def _describe_patiently(self) -> models.CollectionInfo:
        """For those who change what it says: that may take the server a while."""
        doing = "reading the collection's state"
        return self._call(lambda: self._client.get_collection(self._name), doing)

    def _describe_to_index(self) -> models.CollectionInfo:
        """The same with the dense vectors alone counted as indexed. Raises CollectionReplacedError in a load whose
        collection is another one by now, and what `schema_of` raises."""
        described = self._describe_patiently()
        if self._patience.loads:
            check_same(self._schema, described.config.metadata, name=self._name, location=self.location)
        schema = schema_of(described, name=self._name, location=self.location)
        described.indexed_vectors_count = _indexed(described, schema)
        return described

    def _describe(self, deadline: Deadline | None = None) -> models.CollectionInfo:
        described = partial(self._connection.questions.describe, self._name)
        return self._ask(described, "reading the collection's state", deadline)

    def _ask(self, question: Callable[[float], T], doing: str, deadline: Deadline | None = None) -> T:
        """The answer to a small question."""
        self._reading.check_open()
        return ask(
            question,
            doing,
            self._patience,
            settings=self._settings,
            sleep=self._sleep,
            watch=self._watch,
            deadline=deadline,
        )

    def _call(self, request: Callable[[], T], doing: str, *, retry_seconds: float | None = None) -> T:
        self._reading.check_open()
        return call(
            sensible(request),
            location=self.location,
            doing=doing,
            retry_seconds=self._settings.retry_seconds if retry_seconds is None else retry_seconds,
            sleep=self._sleep,
            watch=self._watch,
        )


_ANSWERED_BEFORE: Final = 5
"""Seconds before our own deadline in which a server says that a write takes longer: after it nobody would know."""


def _indexed(described: models.CollectionInfo, schema: CollectionSchema) -> int:
    """How many of the dense vectors are indexed."""
    indexed = described.indexed_vectors_count or 0
    return indexed if schema.bm25 is None else dense_indexed(indexed, described.points_count)


def _counted(passages: int) -> str:
    return "1 passage" if passages == 1 else f"{passages} passages"
