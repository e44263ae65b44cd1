"""A proxy in front of a server's gRPC port, which fails just when a plan says so.

It passes HTTP/2 on frame by frame: what it does to a connection, the program's own gRPC sees.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Final

from tests.faults import http2, wire
from tests.faults.wire import Exchange, Fault, Wire

_CHUNK: Final = 1 << 16


def reset(connection: socket.socket) -> None:
    """Close it so that the other side gets a reset instead of an end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()


class CutError(Exception):
    """The connection has been cut, as planned."""


class _Link:
    """One connection of the program's gRPC, and the one to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: tuple[str, int], log: Wire) -> None:
        self._client = client
        self._log = log
        self._server = socket.create_connection(server, timeout=5)
        self._server.settimeout(None)
        for one in (client, self._server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._to_client, self._to_server = http2.FrameWriter(), http2.FrameWriter()
        self._turn = threading.Lock()  # both directions write to the client
        self._streams: dict[int, Exchange] = {}
        self._requests: dict[int, bytes] = {}
        self._replies: dict[int, bytes] = {}

    def run(self) -> None:
        """Pass on both directions until either ends."""
        back = threading.Thread(target=self._pump, args=(self._server, http2.FrameReader(preface=False), self._reply))
        back.start()
        self._pump(self._client, http2.FrameReader(preface=True), self._request)
        back.join()

    def close(self) -> None:
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _pump(self, source: socket.socket, reader: http2.FrameReader, pass_on: Callable[[http2.Frame], None]) -> None:
        try:
            while received := source.recv(_CHUNK):
                for frame in reader.feed(received):
                    pass_on(frame)
        except (OSError, CutError):
            pass
        finally:
            self.close()

    def _request(self, frame: http2.Frame) -> None:
        if (path := frame.field(":path")) is not None:
            self._streams[frame.stream] = self._log.begin(path, stores=path == wire.UPSERT)
        exchange = self._streams.get(frame.stream)
        fault = None if exchange is None else exchange.fault
        if exchange is not None and exchange.path == wire.UPSERT:
            self._requests[frame.stream] = self._requests.get(frame.stream, b"") + frame.data
        if fault is not None and fault.action == "reset request":
            self._server.sendall(frame.raw[: len(frame.raw) // 2])
            self._cut()
        if fault is not None and fault.action == "reply" and not fault.late:
            self._withhold(frame, fault)
            return
        self._server.sendall(self._to_server.passed_on(frame))
        if exchange is not None and frame.ends_stream:
            body = self._requests.pop(frame.stream, b"")
            self._log.sent(exchange, [one for message in wire.messages(body) for one in wire.grpc_ids(message)])

    def _withhold(self, frame: http2.Frame, fault: Fault) -> None:
        """The server never hears of this stream, and so can't say that it has room for more."""
        with self._turn:
            if frame.kind == http2.DATA and frame.data:
                self._client.sendall(http2.window_update(len(frame.raw) - 9))
            if frame.ends_stream:
                self._client.sendall(self._scripted(frame.stream, fault))

    def _scripted(self, stream: int, fault: Fault) -> bytes:
        return self._to_client.answer(stream, fault.status, list(fault.headers.items()), fault.body)

    def _reply(self, frame: http2.Frame) -> None:
        exchange = self._streams.get(frame.stream)
        if exchange is not None:
            if exchange.path == wire.UPSERT:
                self._note_ack(exchange, frame)
            if self._is_held(exchange, frame):
                return
        with self._turn:
            self._client.sendall(self._to_client.passed_on(frame))

    def _note_ack(self, exchange: Exchange, frame: http2.Frame) -> None:
        body = self._replies[frame.stream] = self._replies.get(frame.stream, b"") + frame.data
        if frame.field("grpc-status") == "0":
            exchange.acked = any(wire.grpc_completed(message) for message in wire.messages(body))
            del self._replies[frame.stream]

    def _is_held(self, exchange: Exchange, frame: http2.Frame) -> bool:
        """Whether this frame of a reply must not pass. Waits, cuts or answers, as planned."""
        fault = exchange.fault
        if fault is None:
            return False
        if fault.action in ("drop", "reset"):
            if frame.ends_stream:
                self._cut(gently=fault.action == "drop")
            return True
        if fault.action == "reply":
            if frame.ends_stream:
                with self._turn:
                    self._client.sendall(self._scripted(frame.stream, fault))
            return True
        if fault.action == "truncate" and frame.kind == http2.DATA:
            with self._turn:
                self._client.sendall(frame.raw[: len(frame.raw) // 2])
            self._cut(gently=True)
        if fault.action == "delay" and frame.ends_stream:
            time.sleep(fault.seconds)
        return False

    def _cut(self, *, gently: bool = False) -> None:
        if not gently:
            reset(self._client)
        self.close()
        raise CutError


class GrpcProxy:
    """In front of a server's gRPC port, on a port of its own that stays the same."""

    def __init__(self, server: tuple[str, int], log: Wire) -> None:
        self._server = server
        self._log = log
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            link = _Link(client, self._server, self._log)
        except OSError:  # the server is away
            reset(client)
            return
        link.run()
