"""A model hub on loopback that speaks as much of the Hugging Face hub's protocol as a download needs."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Serves `repos`: hub id to folder. `refuse` maps a hub id to (status, X-Error-Code)."""

    def __init__(self) -> None:
        self.repos: dict[str, Path] = {}
        self.refuse: dict[str, tuple[int, str]] = {}
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
                """Say nothing: http.server would write to stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def downloads(self) -> list[str]:
        """Names of the files whose contents were asked for."""
        return [path.rpartition("/")[2] for path in self.requests if path.startswith("GET") and "/resolve/" in path]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        self.requests.append(f"{request.command} {path}")
        repo = "/".join(path.removeprefix("/api/models").strip("/").split("/")[:2])
        if repo in self.refuse:
            status, code = self.refuse[repo]
            _reply(request, status, b"", {"X-Error-Code": code} if code else {})
        elif repo not in self.repos:
            _reply(request, 404, b"", {"X-Error-Code": "RepoNotFound"})
        elif "nowhere" in path:
            _reply(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/models/"):
            _reply(request, 200, self._listing(repo), {"Content-Type": "application/json"})
        else:
            self._file(request, repo, path)

    def _listing(self, repo: str) -> bytes:
        folder = self.repos[repo]
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        siblings = [_sibling(folder, name) for name in names]
        return json.dumps({"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}).encode()

    def _file(self, request: BaseHTTPRequestHandler, repo: str, path: str) -> None:
        name = path.partition("/resolve/")[2].partition("/")[2]
        file = self.repos[repo] / name
        if not file.is_file():
            _reply(request, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = file.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        _reply(request, 200, content, {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "none"})


def _sibling(folder: Path, name: str) -> dict[str, Any]:
    """A file as the hub lists it: the weights are kept by their hash."""
    content = (folder / name).read_bytes()
    listed: dict[str, Any] = {"rfilename": name, "size": len(content)}
    if name.endswith((".safetensors", ".bin")):
        sha256 = hashlib.sha256(content).hexdigest()
        listed["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 134}
    return listed


def _reply(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(body)


@contextmanager
def silent_listener() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
