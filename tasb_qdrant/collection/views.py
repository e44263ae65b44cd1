"""The ways to look at a collection that together show all of its replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class Views:
    """The collection as each peer of a cluster holds it, by the peers' addresses; without a cluster, itself under "".

    `unchecked` has a sentence for each replica that none of them shows.
    """

    collections: Mapping[str, Collection]
    unchecked: tuple[str, ...] = ()


@contextmanager
def views_of(collection: Collection, settings: StoreSettings, peers: Sequence[str] = ()) -> Iterator[Views]:
    """Every peer with replicas of the collection: those at `peers`, and those whose address can be derived.

    Raises SettingsError for `peers` that aren't any, and CollectionError for one that doesn't answer.
    """
    if settings.path is not None:
        if peers:
            raise SettingsError(f"--peer names {peers[0]}, but the store is the folder {settings.path}; leave it out")
        yield Views({"": collection})
        return
    from tasb_qdrant.collection.server.collection import ServerCollection
    from tasb_qdrant.collection.server.peers import open_peers

    if not isinstance(collection, ServerCollection):
        yield Views({"": collection})
        return
    with open_peers(collection, settings, peers) as found:
        yield Views(dict(found.collections) or {"": collection}, found.unchecked)
