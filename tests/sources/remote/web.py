"""A web server on loopback that misbehaves when it is told to."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


@dataclass
class Web:
    """`files` by path. `statuses` are given out first, then what is asked for. Of a path in `cut`, the next answer
    ends after so many bytes. `requests` are (path with its query, headers)."""

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    cut: dict[str, list[int]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    etags: bool = True
    lengths: bool = True
    before: Callable[[str], None] = lambda _: None
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        self.requests.append((request.path, {name.lower(): value for name, value in request.headers.items()}))
        self.before(path)
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            self._end(request, status)
        elif path in self.redirects:
            self._end(request, 302, self.redirects[path])
        elif path not in self.files:
            self._end(request, 404)
        else:
            self._send(request, path, self.files[path])

    def _end(self, request: BaseHTTPRequestHandler, status: int, location: str = "", total: int | None = None) -> None:
        request.send_response(status)
        if location:
            request.send_header("Location", location)
        if total is not None:
            request.send_header("Content-Range", f"bytes */{total}")
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _send(self, request: BaseHTTPRequestHandler, path: str, data: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        etag = f'"{hashlib.sha256(data).hexdigest()[:8]}"'
        condition = request.headers.get("If-Range")
        whole = len(data)
        status = 200
        if wanted and self.ranges and condition in (None, etag):
            start, end = int(wanted[1]), min(int(wanted[2] or whole - 1), whole - 1)
            if start >= whole:
                self._end(request, 416, total=whole)
                return
            data, status = data[start : end + 1], 206
        request.send_response(status)
        if status == 206:
            request.send_header("Content-Range", f"bytes {start}-{end}/{whole}")
        if self.etags:
            request.send_header("ETag", etag)
        if self.lengths:
            request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        cuts = self.cut.get(path, [])
        # Only a transfer of the file itself, and not a look at its first byte.
        cut = cuts.pop(0) if cuts and len(data) > 1 else len(data)
        if request.command == "HEAD":
            return
        request.wfile.write(data[:cut])
        if cut < len(data) or not self.lengths:
            request.close_connection = True


W = TypeVar("W", bound=Web)


@contextmanager
def serving(kind: type[W]) -> Iterator[W]:
    """A server of its own. Only stores answer HEAD: a URL that is signed for GET doesn't."""
    web = kind()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                web.answer(self)
            except (BrokenPipeError, ConnectionResetError):  # the reader had enough
                self.close_connection = True

        do_POST = do_GET  # noqa: N815  # the base class's name

        def do_HEAD(self) -> None:
            if kind is Web:
                self.send_error(403)
            else:
                self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Say nothing: http.server would write to stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a reader that hung up is no error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
