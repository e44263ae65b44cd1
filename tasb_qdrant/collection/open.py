"""Opening collections, wherever they live."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from tasb_qdrant.collection.protocol import Collection, Store
from tasb_qdrant.collection.schema import CollectionSchema, check_contract, check_keys, check_name
from tasb_qdrant.errors import RequestRefusedError
from tasb_qdrant.records import ModelContract
from tasb_qdrant.settings import CollectionSettings, StoreSettings, Transport, store_settings


def open_store(settings: StoreSettings) -> Store:
    """The server or folder that the settings name. A server is asked at once whether it will do."""
    if settings.path is not None:
        from tasb_qdrant.collection.edge_store import EdgeStore

        return EdgeStore(settings.path)
    # qdrant-client takes 0.6 s to import, which the embedded store needn't pay for.
    from tasb_qdrant.collection.server_store import ServerStore

    return ServerStore(settings)


def open_collection(
    name: str,
    *,
    url: str | None = None,
    path: str | Path | None = None,
    api_key: str | SecretStr | None = None,
    transport: Transport = "auto",
    grpc_port: int | None = None,
    timeout: float = 60.0,
    allow_plain_http_key: bool = False,
) -> Collection:
    """The collection on the server `url` or in the folder `path` (else as `store_settings` says).

    Raises CollectionNotFoundError, NotOurCollectionError, and what the store raises.
    """
    settings = store_settings(
        url=url,
        path=path,
        api_key=api_key,
        transport=transport,
        grpc_port=grpc_port,
        timeout=timeout,
        allow_plain_http_key=allow_plain_http_key,
    )
    return open_existing(name, settings)


def open_existing(name: str, settings: StoreSettings) -> Collection:
    """The same, from settings. Closing the collection closes its connection."""
    check_name(name)
    store = open_store(settings)
    try:
        return store.open(name, own_store=True)
    except BaseException:
        store.close()
        raise


def open_for_writing(name: str, store: Store, *, contract: ModelContract, settings: CollectionSettings) -> Collection:
    """The collection, made if it isn't there; one that is there must agree in contract and key names.

    Payload indexes that are missing are made. Raises ContractMismatchError, NotOurCollectionError,
    and what the store raises.
    """
    check_name(name)
    if not store.exists(name):
        try:
            store.create(name, CollectionSchema.of(contract, settings), settings)
        except RequestRefusedError:
            # Another process was quicker, or a first try had succeeded whose answer was lost.
            if not store.exists(name):
                raise
    collection = store.open(name)
    try:
        check_contract(name, collection.contract, contract)
        check_keys(name, collection.keys, settings.keys)
        collection.ensure_indexes(settings.indexes)
    except BaseException:
        collection.close()
        raise
    return collection
