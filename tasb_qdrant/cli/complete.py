"""What a shell completes after an option: files, and names that the store has."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from tasb_qdrant.errors import TasbQdrantError

if TYPE_CHECKING:
    from tasb_qdrant.settings import StoreSettings

_PATIENCE_SECONDS: Final = 3.0
"""Somebody waits at a prompt, and a server that is slow or gone is no news to them."""


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The shell's own completion of file names."""
    return [CompletionItem(incomplete, type="file")]


def collection_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The collections and aliases of the store that the command line names so far; none if it can't be asked."""
    from tasb_qdrant.manage.listing import collection_names as names_at

    try:
        names = names_at(_store_of(context))
    except TasbQdrantError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def field_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The indexed payload fields of the collection named so far; none if it can't be asked, or is in use."""
    from tasb_qdrant.collection.open import open_existing

    name = context.params.get("collection")
    try:
        if not name:
            return []
        with closing(open_existing(name, _store_of(context), lock_wait=0)) as there:
            fields = sorted(there.indexes())
    except TasbQdrantError:
        return []
    return [CompletionItem(field) for field in fields if field.startswith(incomplete)]


def _store_of(context: click.Context) -> StoreSettings:
    """Where the command line, as far as it is typed, the environment and the settings file say."""
    from tasb_qdrant.cli.defaults import nearer
    from tasb_qdrant.settings import store_settings

    names = ("url", "path", "api_key", "grpc_port", "ca_file", "client_cert", "client_key")
    given: dict[str, Any] = {name: context.params.get(name) for name in names}
    return store_settings(**nearer(given, "url", "path"), timeout=_PATIENCE_SECONDS, retry_seconds=0)
