"""One limit for the whole of an HTTP request: looking up the name, connecting, sending, and all of the answer.

httpx's limits are for one operation each, such as a read: an answer that trickles may have thousands of these. Its
layer below has a seam for this, the network backend, which is told here how much time is left.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any, Final
from weakref import WeakSet

import httpcore
import httpx

_PIECE: Final = 2**16
"""Bytes that are written at a time: who takes them slowly is noticed between two pieces."""

_until: Final[ContextVar[float]] = ContextVar("until", default=inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The requests of this block end within these seconds; those of `bounded` clients do."""
    token = _until.set(min(_until.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _until.reset(token)


def bounded(client: httpx.Client) -> httpx.Client:
    """The same client, whose requests end with the block of `within` that they are sent in, and whose connections end
    with it, even one that another thread is just opening."""
    for transport in (client._transport, *client._mounts.values()):  # the direct way, and those through proxies
        # httpx passes no backend on to its pools; tests/collection/server/test_whole.py sees that it is used.
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = network = _Network(pool._network_backend)
            pool.close = network.closing(pool.close)
    return client


def whole(request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
    """qdrant-client's middleware: the limit of each operation is that of the whole request."""
    limit = request.extensions.get("timeout", {}).get("read")
    with within(inf if limit is None else limit):
        return send(request)


class _Network(httpcore.NetworkBackend):
    """Connects, within what time is left."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._open: WeakSet[_Stream] | None = WeakSet()

    def closing(self, close: Callable[[], None]) -> Callable[[], None]:
        """The same `close`, which then closes the connections that the pool doesn't know yet. None is opened later."""

        def close_all() -> None:
            with self._lock:
                opened, self._open = self._open, None
            close()
            for stream in opened or ():
                stream.close()

        return close_all

    def kept(self, stream: httpcore.NetworkStream) -> _Stream:
        """The stream, to be closed with all others. Raises ConnectError once they are."""
        kept = _Stream(stream, self)
        with self._lock:
            if self._open is not None:
                self._open.add(kept)
                return kept
        stream.close()
        raise httpcore.ConnectError("the client was closed")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """To the first of the host's addresses that answers."""
        failure: Exception | None = None
        for address in _addresses(host, port, _left(timeout, httpcore.ConnectTimeout)):
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                stream = self._network.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return self.kept(stream)
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """To a socket that is a file."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return self.kept(self._network.connect_unix_socket(path, left, socket_options))

    def sleep(self, seconds: float) -> None:
        """Between two tries to connect."""
        self._network.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection, each of whose operations takes no more than what is left of the request's time."""

    def __init__(self, stream: httpcore.NetworkStream, network: _Network) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What there is."""
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of the buffer."""
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return self._network.kept(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        """As the connection has it."""
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    """Seconds that an operation may take. Raises `late` when there are none left."""
    if (until := _until.get()) == inf:
        return timeout
    left = until - time.monotonic()
    if left <= 0:
        raise late("no answer in time")
    return left if timeout is None else min(left, timeout)


def _addresses(host: str, port: int, seconds: float | None) -> list[str]:
    """The host's addresses. Nothing but a thread of its own limits a name that is looked up and looked up."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            answer.put(error)

    threading.Thread(target=look_up, name="look up a host", daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise httpcore.ConnectTimeout(f"the address of {host} was not found in time") from None
    if isinstance(found, OSError):
        raise httpcore.ConnectError(str(found)) from found
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
