"""What the HTTP and gRPC libraries raise is what the retries look for.

qdrant-client wraps whatever its HTTP library raises: with another library the wrapped errors would be of other classes,
and nothing would be tried again. These tests see that, whichever library it is.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from qdrant_client import QdrantClient
from qdrant_client import grpc as messages

from tasb_qdrant.collection.reads.wire import ServerRequest
from tasb_qdrant.collection.server.address import http_client, key_of, plain_channel
from tasb_qdrant.collection.server.failure import CLIENT_ERRORS, detail_of, is_transient, named_error, timed_out
from tasb_qdrant.collection.server.transports import (
    AsyncGrpcTransport,
    AsyncRestTransport,
    GrpcTransport,
    RestTransport,
)
from tasb_qdrant.errors import ServerBusyError, ServerUnreachableError
from tasb_qdrant.settings import StoreSettings, store_settings
from tests.qdrant_servers import free_port


def _accept(listening: socket.socket, answer: bytes | None) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        if answer is None:
            held.append(connection)
        else:
            connection.recv(65_536)
            connection.sendall(answer)
            connection.close()


held: list[socket.socket] = []


@contextmanager
def _peer(answer: bytes | None) -> Iterator[int]:
    """Says this to whoever connects, and hangs up; None says nothing, and holds on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        thread = threading.Thread(target=_accept, args=(listening, answer))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            while held:
                held.pop().close()


FAILURES: Final[dict[str, bytes | None]] = {
    "hangs up": b"",
    "breaks off": b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{",
    "another protocol": b"\x00\x01\x02\x03",
    "a broken encoding": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
    "says nothing": None,
}


def _request(*, over_grpc: bool) -> ServerRequest:
    path = "/qdrant.Points/Count" if over_grpc else "collections/c/points/count"
    return ServerRequest("counting", path, b"{}", read=bytes.decode)


def _client(settings: StoreSettings, *, over_grpc: bool) -> None:
    client = QdrantClient(
        url=settings.url,
        grpc_port=settings.grpc_port or 1,
        prefer_grpc=over_grpc,
        timeout=1,
        check_compatibility=False,
        trust_env=False,
    )
    try:
        if over_grpc:
            client.grpc_collections.List(messages.ListCollectionsRequest(), timeout=1)
        else:
            client.get_collections()
    finally:
        client.close()


def _own(settings: StoreSettings, *, over_grpc: bool) -> None:
    if over_grpc:
        with plain_channel(settings) as channel:
            GrpcTransport(channel, key_of(settings)).send(_request(over_grpc=True), timeout=1)
    else:
        with http_client(settings) as client:
            RestTransport(client).send(_request(over_grpc=False), timeout=1)


def _awaited(settings: StoreSettings, *, over_grpc: bool) -> None:
    async def send() -> None:
        transport = AsyncGrpcTransport(settings) if over_grpc else AsyncRestTransport(settings)
        try:
            await transport.send(_request(over_grpc=over_grpc), timeout=1)
        finally:
            await transport.aclose()

    asyncio.run(send())


WAYS: Final[dict[str, Callable[..., None]]] = {"qdrant-client": _client, "our own": _own, "our own, awaited": _awaited}


def _failure(way: str, port: int, *, over_grpc: bool) -> Any:
    settings = store_settings(url=f"http://127.0.0.1:{port}", grpc_port=port if over_grpc else None)
    with pytest.raises(CLIENT_ERRORS) as caught:
        WAYS[way](settings, over_grpc=over_grpc)
    return caught.value


@pytest.mark.parametrize("over_grpc", [False, True], ids=["REST", "gRPC"])
@pytest.mark.parametrize("way", WAYS)
def test_a_closed_port_is_tried_again_and_known_as_such(way: str, over_grpc: bool) -> None:
    error = _failure(way, free_port(), over_grpc=over_grpc)
    assert is_transient(error)
    assert not timed_out(error)
    assert type(named_error(error, location="here", doing="asking")) is ServerUnreachableError


@pytest.mark.parametrize("over_grpc", [False, True], ids=["REST", "gRPC"])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("way", WAYS)
def test_a_peer_that_fails_is_tried_again(way: str, failure: str, over_grpc: bool) -> None:
    with _peer(FAILURES[failure]) as port:
        error = _failure(way, port, over_grpc=over_grpc)
    assert is_transient(error)
    assert timed_out(error) is (failure == "says nothing")
    assert detail_of(error)
    named = type(named_error(error, location="here", doing="asking"))
    assert named is (ServerUnreachableError if over_grpc and failure != "says nothing" else ServerBusyError)
