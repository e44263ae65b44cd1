"""As much of Amazon's S3 and of the Hugging Face hub as reading files takes, on loopback."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.sources.remote.web import Web

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_DATE = "2026-01-02T03:04:05.000Z"


@dataclass
class S3(Web):
    """A bucket `corpora`; `files` are named by their keys, with "/corpora/" before them."""

    def address(self, path: str) -> str:
        host = self.url.removeprefix("http://")
        return f"s3://akey:s3cr3t@corpora/{path}?endpoint_override={host}&scheme=http&region=us-east-1"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        asked = parse_qs(parts.query)
        self.requests.append((request.path, {}))
        path = unquote(parts.path)
        if path.rstrip("/") == "/corpora":
            return self._list(request, asked.get("prefix", [""])[0])
        if path not in self.files:
            return self._xml(request, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>", 404)
        return self._send(request, path, self.files[path])

    def _list(self, request: BaseHTTPRequestHandler, prefix: str) -> None:
        keys = [path.removeprefix("/corpora/") for path in sorted(self.files)]
        found = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_DATE}</LastModified><ETag>e</ETag>"
            f"<Size>{len(self.files[f'/corpora/{key}'])}</Size></Contents>"
            for key in keys
            if key.startswith(prefix)
        )
        counted = f"<KeyCount>{found.count('<Key>')}</KeyCount><IsTruncated>false</IsTruncated>"
        self._xml(request, f"<ListBucketResult>{counted}{found}</ListBucketResult>")

    def _xml(self, request: BaseHTTPRequestHandler, text: str, status: int = 200) -> None:
        self._whole(request, f"{_HEAD}{text}".encode(), "application/xml", status)

    def _whole(self, request: BaseHTTPRequestHandler, data: bytes, kind: str, status: int = 200) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(data)


@dataclass
class Hub(S3):
    """A hub with the dataset `BeIR/tiny`; `files` are named by their paths in it."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        self.requests.append((request.path, {name.lower(): value for name, value in request.headers.items()}))
        path = unquote(parts.path)
        asked = {
            name.lower(): [value.capitalize() for value in values] for name, values in parse_qs(parts.query).items()
        }
        if path.startswith("/datasets/BeIR/tiny/resolve/main/"):
            name = path.removeprefix("/datasets/BeIR/tiny/resolve/main/")
            return self._send(request, name, self.files[name])
        if not path.startswith("/api/datasets/BeIR/tiny"):
            request.send_response(404)
            request.send_header("X-Error-Code", "RepoNotFound")
            request.send_header("Content-Length", "0")
            return request.end_headers()
        rest = path.removeprefix("/api/datasets/BeIR/tiny").strip("/")
        if rest.startswith("tree"):
            below = rest.removeprefix("tree/main").strip("/")
            return self._json(request, self._tree(below, recursive=asked.get("recursive") == ["True"]))
        siblings = [{"rfilename": name} for name in self.files]
        return self._json(request, {"id": "BeIR/tiny", "sha": "c" * 40, "siblings": siblings})

    def _tree(self, below: str, *, recursive: bool) -> list[dict[str, object]]:
        prefix = f"{below}/" if below else ""
        inside = [name for name in self.files if name.startswith(prefix)]
        if recursive:
            return [self._file(name) for name in inside]
        names = [name.removeprefix(prefix) for name in inside]
        folders = dict.fromkeys(name.partition("/")[0] for name in names if "/" in name)
        return [self._file(f"{prefix}{name}") for name in names if "/" not in name] + [
            {"type": "directory", "path": f"{prefix}{name}", "oid": "d" * 40} for name in folders
        ]

    def _file(self, name: str) -> dict[str, object]:
        return {"type": "file", "path": name, "size": len(self.files[name]), "oid": f"{len(name):040x}"}

    def _json(self, request: BaseHTTPRequestHandler, value: object) -> None:
        self._whole(request, json.dumps(value).encode(), "application/json")
