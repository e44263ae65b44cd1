"""A server of our own that speaks just enough of Qdrant's REST to be searched, until it is told to misbehave."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self, TypeAlias

from tests.ingest.fakes import stub_contract

Answer: TypeAlias = tuple[Any, ...] | None
"""Status, bytes or JSON, and perhaps headers; None where the handler has answered itself."""

NAME: Final = "c"
DIM: Final = 8


class Stub:
    """A collection `c` of the stub encoder's, on a port of its own. `answer` makes the answer to each request."""

    def __init__(self) -> None:
        self.answer: Callable[[Any, str, bytes], Answer] = answers_of({})
        stub = self

        class Handler(_Handler):
            owner = stub

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Stub

    def do_GET(self) -> None:  # the base class calls it so
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with contextlib.suppress(OSError):
            answer = self.owner.answer(self, self.path.split("?")[0], body)
            if answer is None:
                self.close_connection = True
                return
            self._send(*answer)

    do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the base class calls them so

    def _send(self, status: int, content: Any, headers: Any = ()) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        named = {name.lower() for name, _ in headers}
        for name, value in [("content-type", "application/json"), ("content-length", str(len(data)))]:
            if name not in named:
                self.send_header(name, value)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass


def answers_of(instead: Mapping[str, Callable[[Any, bytes], Answer]]) -> Callable[[Any, str, bytes], Answer]:
    """Right answers, but for paths that have one of these in them."""

    def answer(handler: Any, path: str, body: bytes) -> Answer:
        for part, made in instead.items():
            if part in path:
                return made(handler, body)
        return right_answer(path, body)

    return answer


def right_answer(path: str, body: bytes) -> Answer:
    """As a server with one point would."""
    point = {"id": 1, "version": 0, "score": 0.5, "payload": {"passage_id": "1", "text": "t"}, "vector": [0.5] * DIM}
    if path == "/":
        return 200, {"title": "qdrant - vector search engine", "version": "1.17.0"}
    if path.endswith("/exists"):
        return _ok({"exists": True})
    if path.endswith("/points/query/batch"):
        return _ok([{"points": [point]} for _ in json.loads(body)["searches"]])
    if path.endswith("/points/count"):
        return _ok({"count": 1})
    if path.endswith("/points/scroll"):
        return _ok({"points": [point], "next_page_offset": None})
    if path.endswith("/points"):
        return _ok([point] if b'"ids"' in body else {"operation_id": 1, "status": "completed"})
    if path.endswith("/facet"):
        return _ok({"hits": [{"value": "a", "count": 1}]})
    if path.endswith("/cluster"):
        return _ok({"status": "disabled"})
    if path in ("/collections", "/aliases"):
        return _ok({"collections": [{"name": NAME}], "aliases": []})
    if path.endswith("/aliases"):
        return _ok({"aliases": []})
    if path.startswith("/collections/"):
        return _ok(described())
    return 404, {"status": {"error": "no"}}


def described() -> dict[str, Any]:
    """What such a server says of the collection."""
    contract = stub_contract(DIM)
    made = {name: getattr(contract, name) for name in contract.__dataclass_fields__}
    metadata = {
        "format": 1,
        "id": "x",
        "contract": made,
        "keys": {"id": "passage_id", "text": "text", "title": "title"},
        "quantization": "none",
        "vectors": "float32",
        "indexing_threshold_kb": 10000,
        "prevent_unoptimized": None,
        "bm25": None,
    }
    return {
        "status": "green",
        "optimizer_status": "ok",
        "indexed_vectors_count": 0,
        "points_count": 1,
        "segments_count": 1,
        "config": {
            "params": {
                "vectors": {"size": DIM, "distance": "Dot"},
                "shard_number": 1,
                "replication_factor": 1,
                "write_consistency_factor": 1,
                "on_disk_payload": True,
            },
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
                "indexing_threshold": 10000,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
            "metadata": {"tasb_qdrant": metadata},
        },
        "payload_schema": {"year": {"data_type": "integer", "points": 1}},
    }


def _ok(result: Any) -> Answer:
    return 200, {"result": result, "status": "ok", "time": 0.0}
