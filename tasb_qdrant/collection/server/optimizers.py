"""When a server builds the vector index: put off during a load, and put back as the person wants it.

The state is the server's own: an indexing threshold of 0 (never) or FULL_INDEXING_KB (everything) that
nobody asked for means that a load is under way, or did not finish. So it is seen after any crash,
from any machine. The settings that people want are in the collection's schema.

With a person's own `prevent_unoptimized`, each request of a load would wait until its passages are indexed. It is
off while a load runs; where the threshold doesn't tell of it, the schema does, written in the same request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final, Protocol

from qdrant_client import models

from tasb_qdrant.collection.info import OptimizeProgress
from tasb_qdrant.collection.limits import VECTOR_BYTES
from tasb_qdrant.collection.schema import CollectionSchema, read_schema
from tasb_qdrant.collection.server.connection import Connection
from tasb_qdrant.collection.server.index import FULL_INDEXING_KB, is_indexed, wait_until_indexed
from tasb_qdrant.collection.server.versions import PREVENT_UNOPTIMIZED
from tasb_qdrant.collection.server.visibility import Backlog
from tasb_qdrant.errors import CollectionError, CollectionReplacedError

NEVER_KB: Final = 0
"""The threshold at which a server builds no vector index."""


def is_deferred(config: models.OptimizersConfig, schema: CollectionSchema) -> bool:
    """Whether a load is under way, or was never finished."""
    return config.indexing_threshold in (NEVER_KB, FULL_INDEXING_KB) and not _is_wanted(config, schema)


def unfinished_notes(name: str, described: models.CollectionInfo, schema: CollectionSchema) -> list[str]:
    """What a person who searches should know of loads that are under way, or did not finish; a sentence each."""
    notes = []
    if is_deferred(described.config.optimizer_config, schema):
        notes.append(_deferred_note(name))
    elif schema.prevent_suspended:
        notes.append(
            f"prevent_unoptimized of {name!r} is off because of a load that is under way or did not finish. The same "
            f"ingest again, or tasb-qdrant collection optimize --collection {name}, puts it back."
        )
    if hidden := Backlog.of(described).hidden:
        notes.append(
            f"{hidden:,} points of {name!r} are hidden from searches and counts until they are indexed "
            "(prevent_unoptimized)."
        )
    return notes


def _deferred_note(name: str) -> str:
    return (
        f"The vector index of {name!r} is deferred by a load that is under way or did not finish: searches are slow, "
        "and may miss what is being indexed. The same ingest again, or tasb-qdrant collection optimize "
        f"--collection {name}, finishes it."
    )


def _is_wanted(config: models.OptimizersConfig, schema: CollectionSchema) -> bool:
    return config.indexing_threshold == schema.indexing_threshold_kb


class _Call(Protocol):
    """How the collection sends a request: named, with retries for so long, or as long as its settings say."""

    def __call__(self, request: Callable[[], object], doing: str, *, retry_seconds: float | None = None) -> object: ...


class Optimizers:
    """The optimizers of one collection; `describe` gives its state, `call` sends a request.

    What the collection says of itself is read anew before anything is decided: another load may have switched
    something off and left it to this one, or recorded the fields of its source.
    """

    def __init__(
        self,
        name: str,
        *,
        location: str,
        connection: Connection,
        schema: CollectionSchema,
        describe: Callable[[], models.CollectionInfo],
        call: _Call,
        sleep: Callable[[float], None],
    ) -> None:
        self._name = name
        self._location = location
        self._client = connection.client
        self._can_prevent = connection.version >= PREVENT_UNOPTIMIZED.since
        self._schema = schema
        self._describe = describe
        self._call = call
        self._sleep = sleep
        self._resumed = False

    def defer(self) -> None:
        """Build no index for now. The wanted settings are recorded in the same request, if they aren't yet."""
        record = self._adopted(self._look())
        self._set(NEVER_KB, prevent=False if self._schema.prevent_unoptimized else None, record=record)

    def resume(self) -> None:
        """Build it from now on as the wanted settings say, though `defer` is in force. `settle` indexes the rest."""
        config = self._look().config.optimizer_config
        self._resumed = True
        if not is_deferred(config, self._schema):
            return
        suspended = bool(self._schema.prevent_unoptimized)
        if suspended:  # the threshold no longer tells that it is off because of a load
            self._schema = self._schema.model_copy(update={"prevent_suspended": True})
        self._set(
            self._schema.indexing_threshold_kb,
            prevent=False if suspended else None,
            record=self._schema if suspended else None,
        )

    def begin(self) -> None:
        """Have nothing hidden that is stored from now on, where the person's own settings would."""
        config = (described := self._look()).config.optimizer_config
        if not config.prevent_unoptimized or is_deferred(config, self._schema):
            return
        self._adopted(described)
        self._schema = self._schema.model_copy(update={"prevent_suspended": True})
        self._set(None, prevent=False, record=self._schema)

    def end(self) -> None:
        """Put that back, unless the index is still to be built, after which it is."""
        config = self._look().config.optimizer_config
        if self._schema.prevent_suspended and not is_deferred(config, self._schema):
            self._restore()

    def settle(self, *, changed: bool, on_progress: Callable[[OptimizeProgress], None] | None) -> None:
        """`build_all` after a deferred load. Else wait for the server, which leaves out what is quicker to scan."""
        described = self._look()
        threshold = described.config.optimizer_config.indexing_threshold
        if self._resumed or is_deferred(described.config.optimizer_config, self._schema):
            self.build_all(on_progress)
            self._resumed = False
            return
        suspended = self._schema.prevent_suspended
        with self._restoring() if suspended else nullcontext():
            if threshold and (changed or not is_indexed(described, self._vector_bytes, threshold)):
                self._wait(threshold, on_progress)
        if suspended:
            self.end()

    def build_all(self, on_progress: Callable[[OptimizeProgress], None] | None) -> None:
        """Have every vector indexed, wait until nothing is pending, and put the wanted settings back.

        Where the server can, its searches pass over what isn't indexed yet: they would else compare with
        every vector of the backlog, and slow down the building. `deferred_note` says so meanwhile.
        """
        record = self._adopted(self._look())
        with self._restoring():
            self._set(FULL_INDEXING_KB, prevent=True, record=record)
            self._wait(FULL_INDEXING_KB, on_progress)
            self._look()
        self._restore()

    def _look(self) -> models.CollectionInfo:
        """The collection as it is now, and its record with it."""
        described = self._describe()
        self._schema = read_schema(described.config.metadata, name=self._name, location=self._location)
        return described

    @contextmanager
    def _restoring(self) -> Iterator[None]:
        """Should the block fail, put the wanted settings back."""
        try:
            yield
        except CollectionReplacedError:
            raise  # another collection's settings are left alone
        except BaseException as error:
            # Whatever went wrong, or Ctrl-C, is what the person must see: one try, and no second error.
            try:
                self._restore(retry_seconds=0)
            except CollectionError as second:
                wanted = self._schema.indexing_threshold_kb
                error.add_note(f"the indexing threshold could not be restored to {wanted} KB: {second}")
            raise

    def _adopted(self, described: models.CollectionInfo) -> CollectionSchema | None:
        """The schema to record, if the settings were changed by other means since: those are the wanted ones now."""
        config = described.config.optimizer_config
        if config.indexing_threshold is None or is_deferred(config, self._schema):
            return None
        adopted = self._schema.model_copy(
            update={
                "indexing_threshold_kb": config.indexing_threshold,
                # Off because of a load, and not because anybody wants it so.
                "prevent_unoptimized": (
                    self._schema.prevent_unoptimized if self._schema.prevent_suspended else config.prevent_unoptimized
                ),
            }
        )
        if adopted == self._schema:
            return None
        self._schema = adopted
        return adopted

    @property
    def _vector_bytes(self) -> int:
        return self._schema.contract.dim * VECTOR_BYTES[self._schema.vectors]

    def _wait(self, threshold_kb: int, on_progress: Callable[[OptimizeProgress], None] | None) -> None:
        wait_until_indexed(
            self._describe,
            vector_bytes=self._vector_bytes,
            threshold_kb=threshold_kb,
            nudge=lambda: self._set(threshold_kb),
            on_progress=on_progress,
            sleep=self._sleep,
        )

    def _restore(self, *, retry_seconds: float | None = None) -> None:
        """Put the wanted settings back."""
        restored = self._schema.model_copy(update={"prevent_suspended": False})
        self._set(
            self._schema.indexing_threshold_kb,
            prevent=bool(self._schema.prevent_unoptimized),
            record=restored if self._schema.prevent_suspended else None,
            retry_seconds=retry_seconds,
        )
        self._schema = restored

    def _set(
        self,
        threshold_kb: int | None,
        *,
        prevent: bool | None = None,
        record: CollectionSchema | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        """One request, so that it is in force whole or not at all. None leaves a setting as it is."""
        config = models.OptimizersConfigDiff(
            indexing_threshold=threshold_kb, prevent_unoptimized=prevent if self._can_prevent else None
        )
        metadata = None if record is None else record.to_metadata()
        self._call(
            lambda: self._client.update_collection(self._name, optimizers_config=config, metadata=metadata),
            "setting when the vector index is built",
            retry_seconds=retry_seconds,
        )
