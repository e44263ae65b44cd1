"""Other names of a server's collections. Every request may name a collection by one, except its deletion."""

from __future__ import annotations

from collections.abc import Callable

from tasb_qdrant.errors import RequestRefusedError, UnauthorizedError


def where_allowed(ask: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Each alias with the collection that it stands for; none where this key may not ask."""
    try:
        return ask()
    except (UnauthorizedError, RequestRefusedError):
        return {}
