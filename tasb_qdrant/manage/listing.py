"""Listing the collections of a store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from tasb_qdrant.collection.info import CollectionInfo
from tasb_qdrant.collection.open import open_store_at
from tasb_qdrant.collection.protocol import Store
from tasb_qdrant.errors import (
    CollectionError,
    NotOurCollectionError,
    SearchTimeoutError,
    ServerBusyError,
    ServerUnreachableError,
    StoreLockedError,
    UnauthorizedError,
)
from tasb_qdrant.settings import StoreSettings

_OF_THE_SERVER: Final = (ServerUnreachableError, ServerBusyError, UnauthorizedError)


@dataclass(frozen=True, slots=True)
class ListedCollection:
    """A collection of a store. `info` is None if it can't be read, and `remark` says why. `aliases` are other
    names for it."""

    name: str
    info: CollectionInfo | None
    remark: str = ""
    aliases: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        info = None if self.info is None else self.info.to_dict()
        return {"name": self.name, "info": info, "remark": self.remark, "aliases": list(self.aliases)}


def list_collections(settings: StoreSettings) -> list[ListedCollection]:
    """Every collection of the store, sorted by name; also those of others, and those open elsewhere."""
    store = open_store_at(settings, patient=False)
    try:
        aliases = store.aliases()
        return [
            replace(_look_at(store, name), aliases=tuple(sorted(each for each in aliases if aliases[each] == name)))
            for name in store.names()
        ]
    finally:
        store.close()


def collection_names(settings: StoreSettings) -> list[str]:
    """The names of every collection of the store, and on a server its aliases, sorted. Raises CollectionError."""
    store = open_store_at(settings, patient=False)
    try:
        return sorted([*store.names(), *store.aliases()])
    finally:
        store.close()


def _look_at(store: Store, name: str) -> ListedCollection:
    try:
        collection = store.open(name)
    except NotOurCollectionError:
        return ListedCollection(name, None, "made by another program")
    except StoreLockedError:
        return ListedCollection(name, None, "open elsewhere")
    except (*_OF_THE_SERVER, SearchTimeoutError):
        raise  # what is wrong with the server is wrong with every collection
    except CollectionError as error:
        return ListedCollection(name, None, str(error))
    try:
        return ListedCollection(name, collection.info())
    except _OF_THE_SERVER:
        raise
    except CollectionError as error:  # counting the points of a large one may take longer than others wait
        return ListedCollection(name, None, str(error))
    finally:
        collection.close()
