"""The runner's side of a conversation with a contestant: a process that waits, blocked, until it is asked."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class ContestantFailedError(Exception):
    """A contestant couldn't be installed, loaded or run; the message is its own last line."""


class Conversation:
    """Requests to a process, and its answers. `log` gets what it prints."""

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str], patience: float) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log, self._patience = log, patience
        self._unread = b""
        with log.open("wb") as printed:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed, env=dict(environment)
            )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer. Raises ContestantFailedError if it is an error, or doesn't arrive in time."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise ContestantFailedError(self._last_words()) from None
        answer: dict[str, Any] = json.loads(self._line())
        if "error" in answer:
            raise ContestantFailedError(str(answer["error"]))
        return answer

    def _line(self) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        until = time.monotonic() + self._patience
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(until - time.monotonic()):
                    raise ContestantFailedError(f"no answer within {self._patience:.0f} s")
                found = os.read(stdout.fileno(), 1 << 16)
                if not found:
                    raise ContestantFailedError(self._last_words())
                self._unread += found
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _last_words(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return said or f"exited with code {code} without a message"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:  # whatever hasn't been sent can't be sent any more
                continue
        try:
            self._process.wait(timeout=0 if error else 20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
