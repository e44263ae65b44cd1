"""Asks pyright's language server what an editor would show: completions, hovers, signatures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


class LanguageServer:
    """One file, open in an editor. Positions are (line, column), from 0."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to: IO[bytes] = process.stdin
        self._from: IO[bytes] = process.stdout
        self._uri = file.as_uri()
        self._requests = 0
        root = file.parent.as_uri()
        self._ask(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": root,
                "workspaceFolders": [{"uri": root, "name": "test"}],
                "capabilities": {
                    "textDocument": {
                        "hover": {"contentFormat": ["plaintext"]},
                        "completion": {"completionItem": {"resolveSupport": {"properties": ["documentation"]}}},
                        "signatureHelp": {"signatureInformation": {"documentationFormat": ["plaintext"]}},
                    },
                    "workspace": {"configuration": True},
                },
            },
        )
        self._send({"method": "initialized", "params": {}})
        document = {"uri": self._uri, "languageId": "python", "version": 1, "text": file.read_text()}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})

    def completions(self, line: int, column: int) -> list[str]:
        """The labels offered there."""
        found = self._ask("textDocument/completion", self._at(line, column))
        return [item["label"] for item in (found["items"] if isinstance(found, dict) else found or [])]

    def hover(self, line: int, column: int) -> str:
        """What is shown with the mouse there."""
        found = self._ask("textDocument/hover", self._at(line, column))
        return str(found["contents"]["value"]) if found else ""

    def signature(self, line: int, column: int) -> str:
        """The call's signature, as shown while one types its arguments."""
        found = self._ask("textDocument/signatureHelp", self._at(line, column))
        return str(found["signatures"][0]["label"]) if found and found["signatures"] else ""

    def _at(self, line: int, column: int) -> dict[str, Any]:
        return {"textDocument": {"uri": self._uri}, "position": {"line": line, "character": column}}

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        self._requests += 1
        number = self._requests
        self._send({"id": number, "method": method, "params": params})
        while (message := self._receive()).get("id") != number or "method" in message:
            if "id" in message:  # the server asks for settings: there are none
                answer: list[dict[str, str]] | None = [{}] if message["method"] == "workspace/configuration" else None
                self._send({"id": message["id"], "result": answer})
        assert "error" not in message, message
        return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._to.flush()

    def _receive(self) -> dict[str, Any]:
        length = 0
        while (header := self._from.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the language server has ended"
        message: dict[str, Any] = json.loads(self._from.read(length))
        return message


@contextmanager
def pyright_server(file: Path) -> Iterator[LanguageServer]:
    """Pyright's own, with this environment's packages. `file` stands in a folder of its own."""
    assert shutil.which("node"), "pyright needs node on the PATH; it comes with npm, as the Qdrant servers do"
    settings = {"pythonVersion": "3.11", "extraPaths": [str(Path(__file__).parents[2])]}
    (file.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [str(Path(sys.executable).with_name("pyright-langserver")), "--stdio"]
    with subprocess.Popen(
        command, env=os.environ | quiet, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield LanguageServer(process, file)
        finally:
            process.kill()
