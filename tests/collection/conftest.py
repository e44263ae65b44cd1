"""The stores over which the contract suite runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tasb_qdrant.collection.open import open_store_at
from tasb_qdrant.collection.protocol import Collection, Store
from tasb_qdrant.settings import StoreSettings, Transport, store_settings
from tests.collection.helpers import Place
from tests.qdrant_servers import QdrantServer

_PLACES: Final[dict[str, tuple[str | None, Transport]]] = {
    "embedded": (None, "auto"),
    "server 1.16.3 gRPC": ("qdrant_1_16", "grpc"),
    "server 1.17.0 gRPC": ("qdrant_1_17", "grpc"),
    "server 1.17.0 REST": ("qdrant_1_17", "rest"),
}


def server_settings(server: QdrantServer, transport: Transport = "grpc", retry_seconds: float = 120.0) -> StoreSettings:
    return store_settings(
        url=server.url,
        grpc_port=server.grpc_port,
        api_key=server.api_key,
        transport=transport,
        retry_seconds=retry_seconds,
    )


@pytest.fixture(scope="session")
def shared_stores() -> Iterator[dict[str, Store]]:
    """One connection a server and transport for the whole run."""
    stores: dict[str, Store] = {}
    yield stores
    for store in stores.values():
        store.close()


@pytest.fixture(
    params=[
        pytest.param(kind, marks=() if server is None else pytest.mark.server) for kind, (server, _) in _PLACES.items()
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path, shared_stores: dict[str, Store]) -> Iterator[Place]:
    """Each store in turn, empty."""
    kind = request.param
    server, transport = _PLACES[kind]
    if server is None:
        settings = store_settings(path=tmp_path / "store")
        yield Place(kind, settings, open_store_at(settings))
        return
    settings = server_settings(request.getfixturevalue(server), transport)
    if kind not in shared_stores:
        shared_stores[kind] = open_store_at(settings)
    store = shared_stores[kind]
    yield Place(kind, settings, store)
    for name in store.names():
        store.delete(name)


@pytest.fixture
def collection(place: Place) -> Iterator[Collection]:
    """An empty collection of 4 dimensions."""
    with place.collection() as opened:
        yield opened
