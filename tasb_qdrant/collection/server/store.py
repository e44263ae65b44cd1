"""A Qdrant server: its collections, made, listed, opened, deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Final, TypeVar

from qdrant_client import models

from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.collection.schema import CollectionSchema, check_name, check_no_alias, kept_settings, read_schema
from tasb_qdrant.collection.server.address import is_on_loopback
from tasb_qdrant.collection.server.aliases import where_allowed
from tasb_qdrant.collection.server.collection import ServerCollection
from tasb_qdrant.collection.server.connection import Patience, connect
from tasb_qdrant.collection.server.failure import sensible
from tasb_qdrant.collection.server.optimizers import unfinished_notes
from tasb_qdrant.collection.server.reads import ask
from tasb_qdrant.collection.server.replicas import choose_replicas
from tasb_qdrant.collection.server.retry import call
from tasb_qdrant.collection.server.shards import choose_shards
from tasb_qdrant.collection.server.state import state_of
from tasb_qdrant.collection.server.versions import TURBO
from tasb_qdrant.collection.watch import Watch
from tasb_qdrant.errors import (
    CollectionError,
    CollectionNotFoundError,
    RequestRefusedError,
    UnauthorizedError,
)
from tasb_qdrant.printable import logger
from tasb_qdrant.settings import CollectionSettings, Quantization, StoreSettings
from tasb_qdrant.steps import Deadline

T = TypeVar("T")

log: Final = logger(__name__)

_CORES_SECONDS: Final = 5.0
"""The longest that a server is asked for its cores, without which it is loaded as well."""


class ServerStore:
    """The collections of a server, over one connection. `sleep` waits between tries, and `watch` is told of them.

    Unless it is `patient`, as a load is, questions and reads end within the settings' `read_seconds`.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        patient: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._patient = patient
        self._patience = Patience.to_load(settings) if patient else Patience.to_read(settings)
        self._opening = self._patience.begin()
        self._connection = connect(settings, patience=self._patience, deadline=self._opening, sleep=sleep, watch=watch)
        self._questions = self._connection.questions
        self._client = self._connection.client
        self._settings = settings
        self._sleep = sleep
        self._made: dict[str, str] = {}
        self._untold: dict[str, tuple[str, ...]] = {}

    @property
    def settings(self) -> StoreSettings:
        """Where the server is, and how it is reached."""
        return self._settings

    @property
    def location(self) -> str:
        """The server's url."""
        return self._settings.location

    def names(self) -> list[str]:
        """The collections on the server, sorted."""
        return self._names(self._patience.begin())

    def _names(self, deadline: Deadline) -> list[str]:
        return sorted(self._ask(self._questions.names, "listing collections", deadline))

    def exists(self, name: str) -> bool:
        """Whether there is such a collection, ours or not."""
        return self._exists(name, self._patience.begin())

    def _exists(self, name: str, deadline: Deadline) -> bool:
        if not name or "/" in name or name in (".", ".."):
            return False  # no server has such a name, and in a path it would mean something else
        return self._ask(partial(self._questions.exists, name), "looking for the collection", deadline)

    def open(
        self,
        name: str,
        *,
        own_store: bool = False,
        lock_wait: float = 0.0,
        wanted: CollectionSettings | None = None,
        own_name: bool = False,
    ) -> ServerCollection:
        """The collection, over this store's connection; no lock is waited for. Raises CollectionNotFoundError.

        With `own_name` it is the one that an alias stands for now, even if the alias is switched later.
        """
        # A store that is opened for one collection alone opens it in the time that was given for both.
        deadline = self._opening if own_store else self._patience.begin()
        if not self._exists(name, deadline):
            raise CollectionNotFoundError(name, location=self.location, available=self._names(deadline))
        alias = ""
        if own_name and (meant := self.aliases().get(name)) is not None:
            alias, name = name, meant
        described = self._ask(partial(self._questions.describe, name), "reading the collection's state", deadline)
        state = state_of(described, name=name, location=self.location)
        schema = state.schema
        notes = [*kept_settings(schema, wanted), *self._untold.pop(name, ())]
        if wanted is None:  # a writer will finish it
            notes += unfinished_notes(name, described, schema)
        for sentence in notes:
            log.info("%s", sentence)
        return ServerCollection(
            name,
            connection=self._connection,
            settings=self._settings,
            state=state,
            notes=tuple(notes),
            close_connection=own_store,
            alias=alias,
            patience=None if self._patient else self._patience,
            sleep=self._sleep,
            watch=self._watch,
        )

    def create(
        self, name: str, schema: CollectionSchema, settings: CollectionSettings, *, passages: int | None = 0
    ) -> None:
        """Make an empty collection with the unnamed dense vector, so that every simple client can search it, and
        the sparse one beside it where BM25 is wanted.

        Raises RequestRefusedError when there is one of that name, SettingsError for a name that none can have.
        """
        check_name(name)
        nodes = cache(self._nodes)
        replicas = choose_replicas(settings, nodes)
        shards = choose_shards(
            settings, passages=passages, nodes=nodes, cores=self._cores, replicas=replicas.factor or 1
        )
        self._call(
            lambda: self._client.create_collection(
                name,
                vectors_config=models.VectorParams(
                    size=schema.contract.dim,
                    distance=models.Distance.DOT,
                    on_disk=settings.on_disk or None,
                    datatype=models.Datatype.FLOAT16 if settings.vectors == "float16" else None,
                ),
                hnsw_config=models.HnswConfigDiff(m=settings.hnsw_m, ef_construct=settings.hnsw_ef_construct),
                optimizers_config=models.OptimizersConfigDiff(
                    indexing_threshold=settings.indexing_threshold_kb, default_segment_number=shards.segments
                ),
                quantization_config=self._quantization(settings.quantization),
                shard_number=shards.number,
                replication_factor=replicas.factor,
                write_consistency_factor=replicas.write_consistency,
                sparse_vectors_config=None if schema.bm25 is None else {BM25: _sparse(settings)},
                metadata=schema.to_metadata(),
            ),
            "making the collection",
        )
        self._made[name] = schema.id
        self._untold[name] = (*replicas.notes, *shards.notes)

    def aliases(self) -> dict[str, str]:
        """Each alias with the collection that it stands for; none where this key may not ask."""
        return where_allowed(lambda: self._ask(self._questions.aliases, "listing aliases", self._patience.begin()))

    def delete(self, name: str) -> None:
        """Remove the collection and everything in it. Raises CollectionNotFoundError, and RequestRefusedError for an
        alias: a server answers that it did nothing."""
        if not self.exists(name):
            raise CollectionNotFoundError(name, location=self.location, available=self.names())
        check_no_alias(name, self.aliases(), location=self.location)
        if not self._call(lambda: self._client.delete_collection(name), "deleting the collection"):
            raise RequestRefusedError(
                f"{self.location}: the server did not delete collection {name!r}; see whether it is still there: "
                "tasb-qdrant collection list"
            )

    def discard_new(self, name: str) -> None:
        """Delete the collection if it is the one that `create` made here and it holds nothing. Raises
        CollectionError."""
        if (made := self._made.pop(name, None)) is None:
            return
        # No retries: a run that failed must not wait for minutes before it says so.
        doing = "reading the collection's state"
        described = self._call(lambda: self._client.get_collection(name), doing, retry_seconds=0)
        if read_schema(described.config.metadata, name=name, location=self.location).id != made:
            return  # somebody else has made one of that name since
        # Not counted: strict mode may forbid to count exactly.
        points, _ = self._call(
            lambda: self._client.scroll(name, limit=1, with_payload=False), "looking", retry_seconds=0
        )
        if not points:
            self._call(lambda: self._client.delete_collection(name), "deleting the collection", retry_seconds=0)

    def close(self) -> None:
        """Close the connection, which the collections opened here share."""
        self._connection.close()

    def _nodes(self) -> int | None:
        """How many nodes the cluster has: 1 without one, None if this key may not ask."""
        try:
            state = self._call(self._client.cluster_status, "asking for the cluster's nodes")
        except (UnauthorizedError, RequestRefusedError):
            return None  # any other failure is raised: taken for an answer, it would cost a collection its replicas
        peers = getattr(state, "peers", None)
        return 1 if peers is None else len(peers)

    def _cores(self) -> int | None:
        """How many cores the node has that is asked; None if neither it nor we know. To ask in vain costs nothing."""
        asking = partial(self._questions.cores, _CORES_SECONDS)
        try:
            told = self._call(asking, "asking for the server's cores", retry_seconds=0)
        except CollectionError:
            told = None
        if not is_on_loopback(self._settings):
            return told
        here = os.cpu_count()  # a container's server may see fewer, and is told so only here
        return here if told is None or here is None else min(here, told)

    def _quantization(self, kind: Quantization) -> models.QuantizationConfig | None:
        if kind == "int8":
            return models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
            )
        if kind == "binary":
            return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
        if kind == "turbo4":
            TURBO.require(self._connection.version, location=self.location, what="--quantization turbo4")
            return models.TurboQuantization(
                turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
            )
        return None

    def _ask(self, question: Callable[[float], T], doing: str, deadline: Deadline) -> T:
        """The answer to a small question."""
        self._connection.check_open()
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
        self._connection.check_open()
        return call(
            sensible(request),
            location=self._settings.location,
            doing=doing,
            retry_seconds=self._settings.retry_seconds if retry_seconds is None else retry_seconds,
            sleep=self._sleep,
            watch=self._watch,
        )


def _sparse(settings: CollectionSettings) -> models.SparseVectorParams:
    return models.SparseVectorParams(
        modifier=models.Modifier.IDF, index=models.SparseIndexParams(on_disk=True) if settings.on_disk else None
    )
