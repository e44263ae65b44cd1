"""Other names of a server's collections. Every request may name a collection by one, except its deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qdrant_client import QdrantClient

from tasb_qdrant.errors import RequestRefusedError, UnauthorizedError


def aliases_of(client: QdrantClient, call: Callable[[Callable[[], Any], str], Any]) -> dict[str, str]:
    """Each alias with the collection that it stands for; none where this key may not ask. `call` sends a request with
    retries; its second argument says what for."""
    try:
        answer = call(client.get_aliases, "listing aliases")
    except (UnauthorizedError, RequestRefusedError):
        return {}
    return {each.alias_name: each.collection_name for each in answer.aliases}
