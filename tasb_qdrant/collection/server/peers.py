"""The peers of a cluster: through each, the replicas that it holds can be read.

A read goes to the replica of the server that is asked, where that has an active one, and to another peer's
where it hasn't: reading the whole collection at every peer that holds a part of it reads every active replica.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from qdrant_client import models

from tasb_qdrant.collection.server.collection import ServerCollection
from tasb_qdrant.collection.server.key import for_peer
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import SettingsError, TasbQdrantError
from tasb_qdrant.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class Peers:
    """The peers that can be asked, by address, and a sentence for each that can't, and for each dead replica.

    Both are empty if there is no cluster.
    """

    collections: Mapping[str, ServerCollection]
    unchecked: tuple[str, ...]
    _open: ExitStack

    def close(self) -> None:
        """Close the connections to the peers."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_peers(collection: ServerCollection, settings: StoreSettings, addresses: Sequence[str] = ()) -> Peers:
    """The peers that hold replicas of the collection: at `addresses`, and else where they are likely to be.

    That is the host of a peer's own uri, with the port of the server in `settings`. Raises SettingsError for
    an address that isn't one of the cluster's, and CollectionError for one that doesn't answer.
    """
    for url in addresses:
        settings.at(url, transport="rest")  # an address that can't be one, or holds a secret, is told without it
    status = collection.cluster()
    if status is None:
        if addresses:
            raise SettingsError(
                f"--peer names {addresses[0]}, but {settings.location} isn't a cluster; leave --peer out"
            )
        return Peers({}, (), ExitStack())
    found = _Found(collection.name, settings, status, addresses)
    with ExitStack() as stack:
        stack.callback(found.close)
        placement = collection.placement()
        holders = _holders(placement)
        if status.peer_id in holders:
            found.look_for(status.peer_id)
        for url in addresses:
            found.take(url)
        for peer in sorted(holders - found.peers.keys()):
            found.look_for(peer)
        found.drop_others(holders)
        return Peers(found.collections(), (*found.unreached(), *_unreadable(placement)), stack.pop_all())


class _Found:
    """The peers as they are found."""

    def __init__(
        self, name: str, settings: StoreSettings, status: models.ClusterStatusOneOf1, addresses: Sequence[str]
    ) -> None:
        self._name = name
        self._named = addresses
        self._settings = settings
        self._status = status
        self.peers: dict[int, tuple[str, ServerCollection]] = {}
        self._tried: dict[int, str] = {}

    def take(self, url: str) -> None:
        """The peer at an address that a person gave."""
        peer, opened = self._open(url)
        if str(peer) not in self._status.peers:
            opened.close()
            raise SettingsError(
                f"--peer {url}: no peer of the cluster at {self._settings.location}; correct the address"
            )
        if peer in self.peers:
            opened.close()
        else:
            self.peers[peer] = (url, opened)

    def look_for(self, peer: int) -> None:
        """The peer where it is likely to be."""
        own = self._status.peers.get(str(peer))
        url = self._settings.location if peer == self._status.peer_id else _likely(own, self._settings.location)
        named = f"peer {peer}" + (f" ({own.uri.rstrip('/')})" if own is not None else "")
        try:
            answered, opened = self._open(url)
        except TasbQdrantError as error:
            why = str(error)
        else:
            if answered == peer:
                self.peers[peer] = (url, opened)
                return
            opened.close()
            why = f"at {url} is peer {answered}"
        self._tried[peer] = f"{named} was not looked at: {why}; name its address with --peer"

    def unreached(self) -> list[str]:
        """A sentence for each peer that was looked for and isn't among those found."""
        return [sentence for peer, sentence in sorted(self._tried.items()) if peer not in self.peers]

    def drop_others(self, holders: set[int]) -> None:
        """Close the connections to peers that hold nothing of the collection."""
        for peer in self.peers.keys() - holders:
            self.peers.pop(peer)[1].close()

    def collections(self) -> dict[str, ServerCollection]:
        """By address."""
        return dict(self.peers.values())

    def close(self) -> None:
        for _, opened in self.peers.values():
            opened.close()

    def _open(self, url: str) -> tuple[int, ServerCollection]:
        """The number of the peer that answers there, and its view of the collection."""
        here = url == self._settings.location
        settings = self._settings if here else for_peer(self._settings, url, named=self._named)
        if settings is None:
            raise SettingsError(
                f"{url} is a host that the server names, and the key goes only to hosts that you name, or that have "
                "the addresses of one"
            )
        store = ServerStore(settings)
        try:
            opened = store.open(self._name, own_store=True)
            status = opened.cluster()
        except BaseException:
            store.close()
            raise
        return (0 if status is None else status.peer_id), opened


def _likely(own: models.PeerInfo | None, location: str) -> str:
    """The address of a peer's REST port, judged by its own uri and by that of the server that was named."""
    parts = urlsplit(location)
    try:
        host = urlsplit(own.uri).hostname if own is not None else None
    except ValueError:  # it is no url
        host = None
    if host is None:
        return location
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{shown}:{parts.port or 6333}", "", "", ""))


def _holders(placement: models.CollectionClusterInfo) -> set[int]:
    """The peers with a replica of any shard."""
    remote = {shard.peer_id for shard in placement.remote_shards}
    return remote | {placement.peer_id} if placement.local_shards else remote


def _unreadable(placement: models.CollectionClusterInfo) -> list[str]:
    """The replicas that no read goes to, a sentence each."""
    replicas = [(shard.shard_id, placement.peer_id, shard.state) for shard in placement.local_shards]
    replicas += [(shard.shard_id, shard.peer_id, shard.state) for shard in placement.remote_shards]
    return [
        f"the replica of shard {shard} on peer {peer} is {state.value} and was not looked at; wait until it is Active, "
        "and verify again"
        for shard, peer, state in sorted(replicas, key=lambda replica: replica[:2])
        if state != models.ReplicaState.ACTIVE
    ]
