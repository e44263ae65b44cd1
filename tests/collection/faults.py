"""Proxies on loopback in front of a real server, which fail just when a test says so."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import grpc

from tests.qdrant_servers import QdrantServer


@dataclass(frozen=True)
class HttpFault:
    """An answer instead of the server's, after `seconds`; with `late`, the server has done what was asked by then."""

    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"status":{"error":"a fault"},"time":0.0}'
    reset: bool = False
    late: bool = False
    seconds: float = 0.0


class _Delays:
    """How long faults take, unless the test has seen enough."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def wait(self, seconds: float) -> None:
        if seconds:
            self._over.wait(seconds)

    def end(self) -> None:
        """Those of now; later ones are waited for."""
        over, self._over = self._over, threading.Event()
        over.set()


class HttpProxy:
    """Hands requests on to `server` (or answers all of them itself), but for the faults in `script`.

    A fault is used up by the first request that `when(method, path)` picks. `seen` holds all of these, and
    `bodies` what they sent. `rewrite` makes another answer of the server's own: of method, path, what was sent, and
    that.
    """

    def __init__(self, server: QdrantServer | None = None) -> None:
        self.script: deque[HttpFault] = deque()
        self.always: HttpFault | None = None
        self.when: Callable[[str, str], bool] = lambda method, path: method == "PUT" and "/points" in path
        self.seen: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.rewrite: Callable[[str, str, bytes, bytes], bytes] | None = None
        self.delays = _Delays()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def do_GET(self) -> None:  # the base class calls it so
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                proxy.headers.append(dict(self.headers))
                fault = proxy._fault(self.command, self.path, body)
                proxy.delays.wait(0.0 if fault is None else fault.seconds)
                if fault is not None and fault.reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                if fault is None or fault.late:
                    status, content = self._forward(body)
                if fault is not None:
                    status, content = fault.status, fault.body
                elif proxy.rewrite is not None and status == 200:
                    content = proxy.rewrite(self.command, self.path, body, content)
                self.send_response(status)
                for name, value in (fault.headers if fault is not None else {}).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the base class calls them so

            def _forward(self, body: bytes) -> tuple[int, bytes]:
                if server is None:
                    return 404, b"nothing here"
                sent = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
                connection = http.client.HTTPConnection(server.host, server.http_port, timeout=30)
                try:
                    connection.request(self.command, self.path, body, sent)
                    answer = connection.getresponse()
                    return answer.status, answer.read()
                finally:
                    connection.close()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def _fault(self, method: str, path: str, body: bytes) -> HttpFault | None:
        if not self.when(method, path):
            return None
        self.seen.append((method, path))
        self.bodies.append(body)
        return self.script.popleft() if self.script else self.always

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.delays.end()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@dataclass(frozen=True)
class GrpcFault:
    """A status, with metadata, after `seconds`; or a whole message as the answer. With `late`, the server has done it
    by then."""

    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    details: str = "a fault"
    metadata: tuple[tuple[str, str], ...] = ()
    answer: bytes | None = None
    late: bool = False
    seconds: float = 0.0


class GrpcProxy(grpc.GenericRpcHandler):
    """The same for gRPC: faults meet the calls of `method`, whose requests `requests` holds; `called` are all methods
    that were."""

    def __init__(self, server: QdrantServer) -> None:
        self.script: deque[GrpcFault] = deque()
        self.always: GrpcFault | None = None
        self.method = "/qdrant.Points/Upsert"
        self.seen = 0
        self.requests: list[bytes] = []
        self.called: set[str] = set()
        self.delays = _Delays()
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._channel = grpc.insecure_channel(f"{server.host}:{server.grpc_port}")

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = handler_call_details.method
        forward: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)

        def behave(request: bytes, context: grpc.ServicerContext) -> bytes:
            fault = None
            self.called.add(method)
            if method == self.method:
                self.seen += 1
                self.requests.append(request)
                fault = self.script.popleft() if self.script else self.always
            self.delays.wait(0.0 if fault is None else fault.seconds)
            if fault is None or fault.late:
                answer = bytes(forward(request, timeout=30))
            if fault is None:
                return answer
            if fault.answer is None:
                context.set_trailing_metadata(fault.metadata)
                context.abort(fault.code, fault.details)
            return fault.answer or b""

        return grpc.unary_unary_rpc_method_handler(behave)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.delays.end()
        self._server.stop(0).wait()
        self._channel.close()
