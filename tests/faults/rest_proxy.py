"""A proxy in front of a server's HTTP port, which fails, or answers itself, just when a plan says so."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.faults import wire
from tests.faults.grpc_proxy import CutError, reset
from tests.faults.wire import Wire

_UPSTREAM_SECONDS: Final = 120.0


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
        except (OSError, http.client.HTTPException, CutError):
            self._hang_up()

    def do_GET(self) -> None:  # the base class calls it so
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        stores = wire.rest_stores(self.command, self.path)
        exchange = self.wire_log.begin(self.path, stores=stores)
        fault = exchange.fault
        if fault is not None and fault.action == "reset request":
            self._hang_up()
            raise CutError
        if fault is None or fault.action != "reply" or fault.late:
            for _ in range(2 if fault is not None and fault.action == "duplicate" else 1):
                status, headers, content = self._forward(body)
            self.wire_log.sent(exchange, wire.rest_ids(body) if stores else [])
            exchange.acked = stores and wire.rest_completed(status, content)
        if fault is not None and fault.action == "reply":
            status, headers, content = fault.status, dict(fault.headers), fault.body
        if fault is not None and fault.action in ("drop", "reset"):
            self._hang_up(gently=fault.action == "drop")
            raise CutError
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
        raise CutError

    def _hang_up(self, *, gently: bool = False) -> None:
        self.close_connection = True
        if gently:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        else:
            reset(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass
