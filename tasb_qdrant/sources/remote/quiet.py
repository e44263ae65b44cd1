"""Secrets of URLs kept out of logs and messages."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from tasb_qdrant.sources.remote.url import HIDDEN

_QUERY: Final = re.compile(r"(\w+://[^\s'\"?]*)\?[^\s'\"]+")
_USER: Final = re.compile(r"(\w+://)[^\s'\"/?]*@")
_asking: ContextVar[bool] = ContextVar("asking", default=False)


def without_secrets(text: str) -> str:
    """The text with the users, passwords and queries taken out of its URLs."""
    return _USER.sub(r"\1", _QUERY.sub(rf"\1{HIDDEN}", text))


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep httpx from logging what is asked for meanwhile: it logs URLs whole, and a query may be a signature."""
    logger = logging.getLogger("httpx")
    if _not_ours not in logger.filters:
        logger.addFilter(_not_ours)
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)


def _not_ours(_: logging.LogRecord) -> bool:
    return not _asking.get()
