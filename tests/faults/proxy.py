"""Proxies on loopback between the program and a server, which fail just when a plan says so.

`GrpcProxy` passes HTTP/2 on frame by frame: what it does to a connection, the program's own gRPC sees.
`RestProxy` passes HTTP on request by request, and may answer itself.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from tests.faults import http2, wire
from tests.faults.wire import Exchange, Wire

_CHUNK: Final = 1 << 16
_UPSTREAM_SECONDS: Final = 120.0


def reset(connection: socket.socket) -> None:
    """Close it so that the other side gets a reset instead of an end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()


class _CutError(Exception):
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
        except (OSError, _CutError):
            pass
        finally:
            self.close()

    def _request(self, frame: http2.Frame) -> None:
        if frame.headers is not None and ":path" in frame.headers:
            path = frame.headers[":path"]
            self._streams[frame.stream] = self._log.begin(path, stores=path == wire.UPSERT)
        exchange = self._streams.get(frame.stream)
        if exchange is not None and exchange.path == wire.UPSERT:
            self._requests[frame.stream] = self._requests.get(frame.stream, b"") + frame.data
        if exchange is not None and exchange.fault is not None and exchange.fault.action == "reset request":
            self._server.sendall(frame.raw[: len(frame.raw) // 2])
            self._cut()
        self._server.sendall(frame.raw)
        if exchange is not None and frame.ends_stream:
            body = self._requests.pop(frame.stream, b"")
            self._log.sent(exchange, [one for message in wire.messages(body) for one in wire.grpc_ids(message)])

    def _reply(self, frame: http2.Frame) -> None:
        exchange = self._streams.get(frame.stream)
        if exchange is not None:
            if exchange.path == wire.UPSERT:
                self._note_ack(exchange, frame)
            if self._is_held(exchange, frame):
                return
        self._client.sendall(frame.raw)

    def _note_ack(self, exchange: Exchange, frame: http2.Frame) -> None:
        body = self._replies[frame.stream] = self._replies.get(frame.stream, b"") + frame.data
        if frame.headers is not None and frame.headers.get("grpc-status") == "0":
            exchange.acked = any(wire.grpc_completed(message) for message in wire.messages(body))
            del self._replies[frame.stream]

    def _is_held(self, exchange: Exchange, frame: http2.Frame) -> bool:
        """Whether this frame of a reply must not pass. Waits or cuts, as planned."""
        fault = exchange.fault
        if fault is None:
            return False
        if fault.action in ("drop", "reset"):
            if frame.ends_stream:
                self._cut(gently=fault.action == "drop")
            return True
        if fault.action == "truncate" and frame.kind == http2.DATA:
            self._client.sendall(frame.raw[: len(frame.raw) // 2])
            self._cut(gently=True)
        if fault.action == "delay" and frame.ends_stream:
            time.sleep(fault.seconds)
        return False

    def _cut(self, *, gently: bool = False) -> None:
        if not gently:
            reset(self._client)
        self.close()
        raise _CutError


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


class RestProxy:
    """In front of a server's HTTP port, on a port of its own that stays the same."""

    def __init__(self, server: tuple[str, int], log: Wire) -> None:
        class Handler(_Handler):
            upstream = server
            wire_log = log

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: tuple[str, int]
    wire_log: Wire

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = http.client.HTTPConnection(*self.upstream, timeout=_UPSTREAM_SECONDS)

    def finish(self) -> None:
        self._server.close()
        with contextlib.suppress(OSError):
            super().finish()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, http.client.HTTPException, _CutError):
            self._hang_up()

    def do_GET(self) -> None:  # the base class calls it so
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        stores = wire.rest_stores(self.command, self.path)
        exchange = self.wire_log.begin(self.path, stores=stores)
        fault = exchange.fault
        if fault is not None and fault.action == "reset request":
            self._hang_up()
            raise _CutError
        if fault is None or fault.action != "reply" or fault.late:
            for _ in range(2 if fault is not None and fault.action == "duplicate" else 1):
                status, headers, content = self._forward(body)
            self.wire_log.sent(exchange, wire.rest_ids(body) if stores else [])
            exchange.acked = stores and wire.rest_completed(status, content)
        if fault is not None and fault.action == "reply":
            status, headers, content = fault.status, dict(fault.headers), fault.body
        if fault is not None and fault.action in ("drop", "reset"):
            self._hang_up(gently=fault.action == "drop")
            raise _CutError
        if fault is not None and fault.action == "delay":
            time.sleep(fault.seconds)
        self._answer(status, headers, content, whole=fault is None or fault.action != "truncate")

    do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the base class calls them so

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        sent = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        self._server.request(self.command, self.path, body, sent)
        answer = self._server.getresponse()
        kept = ("content-type", "retry-after")
        return answer.status, {name: answer.headers[name] for name in kept if name in answer.headers}, answer.read()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, whole: bool) -> None:
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, f"content-length: {len(content)}", "", ""]).encode()
        if whole:
            self.wfile.write(head + content)
            return
        self.wfile.write(head + content[: len(content) // 2])
        self._hang_up(gently=True)
        raise _CutError

    def _hang_up(self, *, gently: bool = False) -> None:
        self.close_connection = True
        if gently:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        else:
            reset(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass
