"""What a collection promises, whichever store holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, Self

from tasb_qdrant.collection.info import CollectionInfo, OptimizeProgress
from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.loads import LoadMark, Loads
from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.reads.questions import Where
from tasb_qdrant.collection.reads.run import AsyncReads, Reads
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.records import IntegerIds, ModelContract, Passage, RoleFields
from tasb_qdrant.records.edit import EditReport
from tasb_qdrant.settings import Bm25Settings, CollectionSettings, IndexType, PayloadKeys, SplitSettings, StoreSettings


class Collection(Protocol):
    """Vectors and payload at rest. Every method raises CollectionError or one of its kinds."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def location(self) -> str:
        """The server's url or the embedded store's folder."""
        ...

    @property
    def identity(self) -> str:
        """Random, and made with the collection: one of the same name made later has another. May be "" (unknown)."""
        ...

    @property
    def edited(self) -> str:
        """Random, and made with each edit of single passages; as it was when the collection was opened, "" for none."""
        ...

    @property
    def contract(self) -> ModelContract:
        """What made its vectors."""
        ...

    @property
    def integer_ids(self) -> IntegerIds:
        """Which passage ids are integers as point ids: "u53" in new collections, "u64" in old ones."""
        ...

    def point_id(self, passage_id: str) -> PointId:
        """The id of the point that holds this passage, if any does."""
        ...

    @property
    def keys(self) -> PayloadKeys:
        """Under which keys of the payload id, text and title stand."""
        ...

    @property
    def bm25(self) -> Bm25Settings | None:
        """How the words of each passage become its sparse vector; None if passages have none."""
        ...

    @property
    def split(self) -> SplitSettings | None:
        """How long texts become several passages; None if each is one."""
        ...

    @property
    def fields(self) -> RoleFields | None:
        """From which fields of their sources the passages came; None where that isn't known."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        ...

    @property
    def limits(self) -> StoreLimits:
        """What may be stored, and how much at once."""
        ...

    @property
    def reads(self) -> Reads:
        """The read path."""
        ...

    @property
    def payload_entries(self) -> Callable[[Passage], bytes] | None:
        """What makes a passage's payload as a request has it, in whichever process; None if there is no such form."""
        ...

    def upsert(self, batch: PointBatch) -> None:
        """Store, or replace, each passage of the batch. Returning means stored, not merely accepted."""
        ...

    def delete_points(self, ids: Sequence[PointId]) -> None:
        """Delete these points; missing ones are ignored. Returning means deleted."""
        ...

    def replace_payloads(self, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Give each of these points another payload as a whole, and leave its vector. Returning means stored."""
        ...

    def record_fields(self, fields: RoleFields) -> None:
        """Have the collection say that its passages come from these fields, and from those that another process
        recorded since it was opened here."""
        ...

    def loads(self) -> Loads:
        """The loads that the collection knows of, read anew. Raises CollectionReplacedError if it isn't the collection
        that was opened: made anew, with another contract, or behind an alias that was switched."""
        ...

    def note_load(self, load: str, mark: LoadMark | None, *, latest: str = "", retry: bool = True) -> None:
        """Have the collection know this of a load, or forget it (None), and that the `latest` one began; without
        `retry` in one try."""
        ...

    def indexes(self) -> dict[str, IndexType]:
        """The payload indexes there are."""
        ...

    def ensure_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        """Make the payload indexes that are missing. RequestRefusedError when one has another type."""
        ...

    def remove_index(self, field: str, *, retry: bool = True) -> None:
        """Drop the payload index of this field, if there is one; without `retry` in one try."""
        ...

    @property
    def shares_machine(self) -> bool:
        """Whether the store may work on this machine's cores: False where it surely doesn't."""
        ...

    def begin_load(self) -> None:
        """Have what is stored from now on be visible at once, whatever the person's settings say, until `end_load`."""
        ...

    def end_load(self) -> None:
        """Put back what `begin_load` switched off, here or in a run that didn't finish; `settle_index` does so too."""
        ...

    def wait_until_visible(self) -> str:
        """Return when reads show all that was acknowledged, or when waiting is in vain: a sentence says so then."""
        ...

    def index_deferred(self) -> bool:
        """Whether `defer_indexing` is in force: for a load that is under way, or that did not finish."""
        ...

    def defer_indexing(self) -> None:
        """Build no vector index until `optimize`, for a bulk load."""
        ...

    def resume_indexing(self) -> None:
        """Build the vector index along with what is stored from now on, where `defer_indexing` is in force; in the end
        `settle_index` has everything in it."""
        ...

    def settle_index(self, *, changed: bool, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """Return when the wanted settings are in force, and the vector index is as they want it.

        After a deferred load that is `optimize`; where nothing is to be done it costs one look.
        `changed` says that something was stored since the collection was opened; `on_progress` is as in `optimize`.
        """
        ...

    def optimize(self, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        """Build the vector index over every point, and return when it is built and settings are restored."""
        ...

    def info(self) -> CollectionInfo:
        """What it is and holds now."""
        ...

    def queued_updates(self) -> int | None:
        """Updates, from any client, that the store has accepted and not yet applied; None if it doesn't say."""
        ...

    def flush(self) -> None:
        """Return when everything acknowledged so far is on disk."""
        ...

    def close(self) -> None:
        """Close it, and a connection that was opened for it alone."""
        ...


class EditableCollection(Collection, Protocol):
    """What edits of single passages are made with."""

    def patch_payloads(self, ids: Sequence[PointId], fields: Mapping[str, Any], removed: Sequence[str]) -> None:
        """Set these fields of these points, and remove those at the paths `removed`. Returning means stored."""
        ...

    def mark_edited(self) -> None:
        """Note, beside the schema, that passages are edited now."""
        ...

    @property
    def alias_of(self) -> str:
        """The collection that the name, an alias, stands for; "" if it is the collection's own."""
        ...


class OpenCollection(EditableCollection, Protocol):
    """A collection as its store opens it: closed at the end of a `with` block, and read in event loops, too. People
    edit it by its passages' ids (see `Edits`)."""

    def delete(self, ids: Iterable[str]) -> EditReport:
        """Delete these passages; the report names those that aren't there. Returning means deleted."""
        ...

    def delete_where(self, where: str | Where | bool, *, dry_run: bool = False) -> EditReport:
        """Delete the passages that match; a `dry_run` counts them and shows some. Raises FilterError."""
        ...

    def patch(
        self, ids: Iterable[str], fields: Mapping[str, Any] | None = None, *, remove: Iterable[str] = ()
    ) -> EditReport:
        """Set these payload `fields` of passages, and `remove` others; their text, title and vectors stay.

        Raises InvalidPassageError for a value that can't be stored or that a payload index doesn't hold, and for id,
        text and title; nothing is changed then.
        """
        ...

    def patch_where(
        self, where: str | Where, fields: Mapping[str, Any] | None = None, *, remove: Iterable[str] = ()
    ) -> EditReport:
        """Set these `fields`, and `remove` others, of the passages that match. Raises FilterError, and what `patch`
        does."""
        ...

    def add_indexes(
        self, indexes: Mapping[str, IndexType], *, on_page: Callable[[int], None] | None = None
    ) -> dict[str, IndexType]:
        """Make these payload indexes, once all that is stored was looked at; returns those that were new. `on_page`
        gets the number of passages of each page that was looked at. Raises IndexMismatchError, RequestRefusedError."""
        ...

    def drop_indexes(self, fields: Iterable[str]) -> dict[str, IndexType]:
        """Drop the payload indexes of these fields; returns them. Raises SettingsError where there is none."""
        ...

    def index_points(self) -> dict[str, tuple[IndexType, int]]:
        """The payload indexes, each with its type and the number of passages that it holds, by the store's estimate."""
        ...

    def damaged(self) -> list[str] | None:
        """The store's own files that aren't as they were written last, all of which are read; None if that isn't known.
        A server looks after its own."""
        ...

    def async_reads(self) -> AsyncReads:
        """The read path, awaited, for one event loop, in which the caller closes it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Store(Protocol):
    """A place that holds collections: a server, or a folder. Every method raises CollectionError or one of its
    kinds."""

    @property
    def settings(self) -> StoreSettings:
        """Where it is, and how it is reached."""
        ...

    @property
    def location(self) -> str:
        """The server's url or the folder."""
        ...

    def names(self) -> list[str]:
        """All collections there, sorted; on a server also those that others made."""
        ...

    def exists(self, name: str) -> bool:
        """Whether a collection of this name is there, whoever made it."""
        ...

    def open(
        self,
        name: str,
        *,
        own_store: bool = False,
        lock_wait: float = 0.0,
        wanted: CollectionSettings | None = None,
        own_name: bool = False,
    ) -> OpenCollection:
        """The collection; with `own_store`, closing it closes this store too. With `own_name` it is the one that an
        alias stands for now, even if the alias is switched later.

        If only one process may have a collection open, wait `lock_wait` seconds for it. The notes of the
        collection say which of the `wanted` settings it does not adopt.
        Raises CollectionNotFoundError, NotOurCollectionError, StoreLockedError.
        """
        ...

    def create(
        self, name: str, schema: CollectionSchema, settings: CollectionSettings, *, passages: int | None = 0
    ) -> None:
        """Make an empty collection, whole or not at all. About so many `passages` will come; None: unknown."""
        ...

    def aliases(self) -> dict[str, str]:
        """Other names of collections there, each with the collection's own; none if they may not be asked for."""
        ...

    def delete(self, name: str) -> None:
        """Delete the collection and everything in it. Raises CollectionNotFoundError, and RequestRefusedError for an
        alias."""
        ...

    def discard_new(self, name: str) -> None:
        """Delete the collection if `create` made it here and it holds nothing; without retries."""
        ...

    def close(self) -> None:
        """Close the connection that the collections opened here share."""
        ...
