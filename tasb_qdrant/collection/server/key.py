"""The API key on its way into a header, and to which servers it goes.

Whoever reports errors with the local variables of every frame shows what they look like: until it is on the wire, the
key looks like asterisks in those of the libraries, too.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from tasb_qdrant.settings import StoreSettings

_MASK: Final = "'**********'"


class HiddenText(str):
    """A string that looks like asterisks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _MASK

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """As httpx keeps it until it is sent, which wants ASCII; gRPC takes bytes alone, and keeps none."""
        raw = super().encode(encoding, errors)
        return HiddenBytes(raw) if encoding == "ascii" else raw


class HiddenBytes(bytes):
    """The same of bytes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b{_MASK}"

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As the client shows its headers."""
        return HiddenText(super().decode(encoding, errors))


def hidden_key(settings: StoreSettings) -> HiddenText | None:
    """The key, if there is one, for the libraries that send it."""
    return None if settings.api_key is None else HiddenText(settings.api_key.get_secret_value())


def without_key(settings: StoreSettings) -> StoreSettings:
    """The same server, asked without the key."""
    return settings.model_copy(update={"api_key": None})


def without_frames(error: BaseException) -> BaseException:
    """The error of a library, and those that it was made from, without the frames that they came through: these hold
    the key as it was sent."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__, getattr(one, "source", None)]
    return error


def for_peer(settings: StoreSettings, url: str, *, named: Iterable[str]) -> StoreSettings | None:
    """The settings for a server at a url that the first one tells, over REST: nothing tells its gRPC port.

    The key goes to a host that a person has `named`, and to one that resolves to addresses of the first's host: None
    for another. So does the allowance of plain http, which is for the host that it was said of.
    """
    peer = settings.at(url, transport="rest")
    if settings.api_key is None:
        return peer
    if _host(url) not in map(_host, named) and not _is_same(url, settings.location):
        return None
    return peer.model_copy(update={"allow_plain_http_key": settings.allow_plain_http_key})


def _is_same(url: str, first: str) -> bool:
    found = _addresses(_host(url))
    return _host(url) == _host(first) or (bool(found) and found <= _addresses(_host(first)))


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return set()
