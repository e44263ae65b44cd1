"""Opening collections, wherever they live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final, TypeAlias, Unpack

from tasb_qdrant.collection.payload_indexes import check_indexes
from tasb_qdrant.collection.protocol import Collection, OpenCollection, Store
from tasb_qdrant.collection.schema import (
    CollectionSchema,
    check_bm25,
    check_contract,
    check_keys,
    check_name,
    check_split,
)
from tasb_qdrant.collection.watch import Watch
from tasb_qdrant.errors import RequestRefusedError, SettingsError
from tasb_qdrant.keywords import chosen, expanded_signature
from tasb_qdrant.records import ModelContract
from tasb_qdrant.settings import (
    DEFAULT_AVG_LEN,
    CollectionSettings,
    ReadingStoreOptions,
    StoreSettings,
    store_settings,
)

LOCK_WAIT: Final = 10.0
"""Seconds that an embedded collection is waited for: a search has it for the seconds of loading its model."""


Place: TypeAlias = Store | StoreSettings
"""An open store, or where one is to be opened for a single collection."""


class OpenOptions(ReadingStoreOptions, total=False):
    """Where a collection lives: in a `store` that is open already, or as the other options say."""

    store: Store | None
    """From `open_store`, for several collections and searchers; close it after all of them."""


@expanded_signature(StoreSettings)
def open_store(**options: Unpack[ReadingStoreOptions]) -> Store:
    """The server `url` or the folder `path` (else as `store_settings` says), for `store=` of searchers and collections.

    A server is asked at once whether it will do. Raises what the store raises; close it after all that use it.
    """
    return open_store_at(store_settings(**options), patient=False)


def open_store_at(
    settings: StoreSettings,
    *,
    patient: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    watch: Watch | None = None,
) -> Store:
    """The server or folder that the settings name. A server is asked at once whether it will do.

    Unless it is `patient`, as a load is, opening and every read end within the settings' `read_seconds`. `sleep` waits
    between the tries of a request to a server, and may raise to end them; `watch` is told of them.
    """
    if settings.path is not None:
        from tasb_qdrant.collection.edge.store import EdgeStore

        return EdgeStore(settings.path)
    # qdrant-client takes 0.6 s to import, which the embedded store needn't pay for.
    from tasb_qdrant.collection.server.store import ServerStore

    return ServerStore(settings, patient=patient, sleep=sleep, watch=watch)


@expanded_signature(StoreSettings, store=None)
def open_collection(name: str, **options: Unpack[OpenOptions]) -> OpenCollection:
    """The collection in a `store` that is open, on the server `url` or in the folder `path` (else as `store_settings`
    says).

    Raises CollectionNotFoundError, NotOurCollectionError, and what the store raises.
    """
    return open_at(name, place_of(options))


def place_of(options: OpenOptions) -> Place:
    """The open store, or the settings of one. Raises SettingsError where both are given."""
    if (store := options.get("store")) is None:
        return store_settings(**chosen(ReadingStoreOptions, options))
    if others := options.keys() - {"store"}:
        raise SettingsError(
            f"both an open store and {', '.join(sorted(others))} are given; leave out one of them: the store has its "
            "own"
        )
    return store


def open_at(name: str, place: Place) -> OpenCollection:
    """The collection there. Closing it closes a store that was opened for it alone."""
    if isinstance(place, StoreSettings):
        return open_existing(name, place)
    check_name(name)
    return place.open(name, lock_wait=LOCK_WAIT)


def open_existing(
    name: str, settings: StoreSettings, *, lock_wait: float = LOCK_WAIT, patient: bool = False
) -> OpenCollection:
    """The same, from settings. Closing the collection closes its connection. To be `patient` is for long work."""
    check_name(name)
    store = open_store_at(settings, patient=patient)
    try:
        return store.open(name, own_store=True, lock_wait=lock_wait)
    except BaseException:
        store.close()
        raise


def open_for_writing(
    name: str,
    store: Store,
    *,
    contract: ModelContract,
    settings: CollectionSettings,
    avg_len: float = DEFAULT_AVG_LEN,
    passages: int | None = 0,
    lock_wait: float = LOCK_WAIT,
) -> Collection:
    """The collection, made if it isn't there; one that is there must agree in contract, key names, BM25 and split.

    `avg_len` is the passages' average length for the BM25 of a new one, if the settings don't give it, and `passages`
    is about how many will come (None: unknown), which decides on its shards. A new one gets its payload indexes; of one
    that is there it is checked that it may have them, and its notes say which other wanted settings it does not adopt.
    Raises ContractMismatchError, NotOurCollectionError, and what the store raises.
    """
    check_name(name)
    there = store.exists(name)
    if not there:
        try:
            store.create(name, CollectionSchema.of(contract, settings, avg_len=avg_len), settings, passages=passages)
        except RequestRefusedError:
            # Another process was quicker, or a first attempt succeeded and its answer was lost.
            if not store.exists(name):
                raise
    with nullcontext() if there else no_leftover(name, store):
        collection = store.open(name, lock_wait=lock_wait, wanted=settings if there else None, own_name=there)
        try:
            check_contract(name, collection.contract, contract)
            check_keys(name, collection.keys, settings.keys)
            check_bm25(name, collection.bm25, settings.bm25)
            check_split(name, collection.split, settings.split)
            if there:
                check_indexes(collection, settings.indexes)
            else:
                collection.ensure_indexes(settings.indexes)
        except BaseException:
            collection.close()
            raise
        return collection


@contextmanager
def no_leftover(name: str, store: Store) -> Iterator[None]:
    """Should the block fail, a collection that `store` made, and that still holds nothing, is deleted.

    An empty one would block the next attempt with another model, and on a server it never indexes anything.
    The collection must be closed by then.
    """
    try:
        yield
    except BaseException as error:
        try:
            store.discard_new(name)
        except Exception as second:
            error.add_note(f"the empty collection {name!r} could not be deleted: {second}")
        raise
