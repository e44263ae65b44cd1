"""Filters are converted once for all requests of a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdrant_client import models


class LastFilter:
    """Converts filters, and remembers the last one: pages, rounds and tries of one search have the same."""

    def __init__(self, convert: Callable[[models.Filter], Any]) -> None:
        self._convert = convert
        self._last: tuple[models.Filter | None, Any] = (None, None)

    def __call__(self, where: models.Filter | None) -> Any:
        """The filter as the request has it; None for none."""
        if where is None:
            return None
        known, converted = self._last  # read at once: other threads search, too
        if known is not where:
            converted = self._convert(where)
            self._last = (where, converted)
        return converted
