"""A request over HTTP ends within one limit, whatever its server does with its time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

import httpcore
import httpx
import pytest

from tasb_qdrant.collection.server.whole import bounded, within
from tests.waiting import sooner_than

Behaviour: TypeAlias = Callable[[socket.socket, threading.Event], None]

SHORT: Final = 0.2
LONG: Final = 20.0
"""Seconds: what each of these servers would take is longer."""


def _trickle(connection: socket.socket, over: threading.Event, data: bytes, *, after: bytes = b"") -> None:
    """The data byte by byte, for half a minute and more."""
    connection.sendall(after)
    for start in range(len(data)):
        connection.sendall(data[start : start + 1])
        if over.wait(0.05):
            return


def _nothing(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def _answer(connection: socket.socket, _: threading.Event) -> None:
    connection.sendall(ANSWER)


HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
ANSWER: Final = HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
"""Each connection is for one request: a client that kept it might ask once more before it sees it closed."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
TRICKLING: Final[dict[str, tuple[bytes, bytes]]] = {
    "a header": (b"", HEAD + b"x" * 2_000),
    "many headers": (HEAD, b"x: y\r\n" * 500),
    "the body": (HEAD + b"content-length: 2000\r\n\r\n", b" " * 2_000),
    "chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 500),
    "answers before the answer": (CONTINUE, CONTINUE * 100),
}
"""What comes at once, and what trickles."""


@contextmanager
def _serving(behave: Behaviour, *, reads: bool = True) -> Iterator[str]:
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if reads:
                connection.recv(2**16)
            behave(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def _asking(behave: Behaviour, *, reads: bool = True) -> Iterator[tuple[httpx.Client, str]]:
    """A client, and what it may ask; it must not take long."""
    with _serving(behave, reads=reads) as url, bounded(httpx.Client(trust_env=False)) as client, sooner_than(LONG):
        yield client, url


@pytest.mark.parametrize("what", TRICKLING)
def test_an_answer_that_trickles_is_not_waited_for(what: str) -> None:
    at_once, later = TRICKLING[what]

    def answer(connection: socket.socket, over: threading.Event) -> None:
        _trickle(connection, over, later, after=at_once)

    with _asking(answer) as (client, url), pytest.raises(httpx.ReadTimeout), within(SHORT):
        client.get(url, timeout=60)


def test_silence_is_not_waited_for() -> None:
    with _asking(_nothing) as (client, url), pytest.raises(httpx.ReadTimeout), within(SHORT):
        client.get(url, timeout=60)


def test_a_request_that_is_taken_slowly_ends_too() -> None:
    def take(connection: socket.socket, over: threading.Event) -> None:
        while not over.wait(0.05):
            connection.recv(1)

    with _asking(take, reads=False) as (client, url), pytest.raises(httpx.WriteTimeout), within(SHORT):
        client.post(url, content=b" " * 50_000_000, timeout=60)


def test_a_name_that_is_not_found_out_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait())
    with _asking(_nothing) as (client, _), pytest.raises(httpx.ConnectTimeout, match="was not found"), within(SHORT):
        client.get("http://qdrant.example:6333", timeout=60)
    over.set()


def test_each_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of localhost's addresses is often one that nobody listens at."""
    with _asking(_answer) as (client, url):
        port = int(url.rpartition(":")[2])
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with within(60):
            assert client.get(f"http://localhost:{port}").json() == {}
        found.pop()
        with within(60), pytest.raises(httpx.ConnectError):
            client.get(f"http://localhost:{port}")


@pytest.mark.parametrize("when", ["before it is connected", "just after"])
def test_a_connection_that_is_opened_while_its_client_is_closed_is_closed(when: str) -> None:
    """A socket that is left to the garbage collector is a warning, at any time and in anybody's program."""
    opened: list[httpcore.NetworkStream] = []

    class Closing(httpcore.NetworkBackend):
        def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
            opened.append(httpcore.SyncBackend().connect_tcp(*args, **options))
            if when == "before it is connected":
                client.close()
            return opened[-1]

    class ClosingLater(Closing):
        def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
            stream: httpcore.NetworkStream = network.connect_tcp(*args, **options)
            client.close()
            return stream

    with _serving(_answer) as url:
        client = httpx.Client(trust_env=False)
        pool: Any = client._transport._pool  # type: ignore[attr-defined]  # private
        pool._network_backend = Closing()
        bounded(client)
        network = pool._network_backend
        if when == "just after":
            pool._network_backend = ClosingLater()
        with pytest.raises(httpx.TransportError):
            client.get(url)
    assert opened[0].get_extra_info("socket").fileno() == -1


def test_the_shorter_of_two_limits_holds() -> None:
    with _asking(_nothing) as (client, url):
        with pytest.raises(httpx.ReadTimeout), within(SHORT), within(600):
            client.get(url, timeout=600)
        with pytest.raises(httpx.ReadTimeout), within(600):
            client.get(url, timeout=SHORT)


def test_without_a_limit_nothing_changes() -> None:
    with _asking(_answer) as (client, url):
        assert client.get(url).json() == {}


def test_proxies_of_the_environment_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with _serving(_nothing) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        with bounded(httpx.Client()) as client, sooner_than(LONG), pytest.raises(httpx.ReadTimeout), within(SHORT):
            client.get("http://qdrant.example:6333", timeout=60)
