"""Files of web servers: read in one pass or in ranges, taken up again where a transfer was cut."""

from __future__ import annotations

import io
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, NoReturn, cast

import httpx

from tasb_qdrant.errors import SourceError
from tasb_qdrant.printable import logger
from tasb_qdrant.settings import client_for
from tasb_qdrant.sources.remote.file import RemoteFile
from tasb_qdrant.sources.remote.quiet import unlogged
from tasb_qdrant.sources.remote.url import Url

WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try; after any progress they begin anew."""

_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT: Final = 30.0
_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416

_log = logger(__name__)

Sleep = Callable[[float], None]


def http_file(url: Url, *, sleep: Sleep = time.sleep) -> RemoteFile:
    """The file, looked at once. Raises SourceError."""
    found = _look(url, sleep)
    return RemoteFile(
        name=url.shown,
        size=found.size,
        version=found.version,
        path=PurePosixPath(url.file_path),
        label=url.file_path.rpartition("/")[2],
        stream=lambda: cast("BinaryIO", _Stream(_Server(url, sleep), found)),
        seekable=(lambda: _Seekable(_Server(url, sleep), found)) if found.ranges and found.size is not None else None,
        now=lambda: _look(url, sleep).identity,
    )


class _Found:
    """What the headers of an answer say of the file."""

    def __init__(self, answer: httpx.Response) -> None:
        headers = answer.headers
        self.etag = headers.get("etag", "")
        self.version = self.etag or headers.get("last-modified", "")
        self.ranges = answer.status_code in (_PARTIAL, _NO_SUCH_RANGE)
        self.start = 0
        if self.ranges:
            match = _RANGE.fullmatch(headers.get("content-range", ""))
            total = match[3] if match else "*"
            self.start = int(match[1]) if match and match[1] else 0
            self.size = None if total == "*" else int(total)
        else:
            length = headers.get("content-length", "")
            self.size = int(length) if length.isdigit() else None

    @property
    def identity(self) -> tuple[int | None, str]:
        return self.size, self.version


def _look(url: Url, sleep: Sleep) -> _Found:
    """The file's size and version, told with its first byte: a URL that is signed for GET takes no HEAD."""
    tries = Tries(url.shown, sleep)
    with closing(_Server(url, sleep)) as server:
        while True:
            try:
                with server.asked("bytes=0-0") as answer:
                    return _Found(answer)
            except PassingError as error:
                tries.failed(error)


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes 20 ms, and a corpus may have a hundred URLs."""
    return httpx.create_ssl_context()


class _Server:
    """Asks for one URL, patiently. Its errors name the URL without its query."""

    def __init__(self, url: Url, sleep: Sleep) -> None:
        self.url = url
        self._sleep = sleep
        with client_for(url.shown):
            self._client = httpx.Client(
                follow_redirects=True, timeout=_TIMEOUT, headers={"User-Agent": "tasb-qdrant"}, verify=_certificates()
            )

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    @contextmanager
    def asked(self, wanted: str, *, unless_changed: str = "") -> Iterator[httpx.Response]:
        """The answer, its body still to be read. Raises PassingError, SourceError."""
        # Compressed on the way, a file would have another length, and other ranges.
        headers = {"Accept-Encoding": "identity", "Range": wanted}
        if unless_changed and not unless_changed.startswith("W/"):
            headers["If-Range"] = unless_changed
        try:
            with unlogged():
                request = self._client.build_request("GET", self.url.whole, headers=headers)
                answer = self._client.send(request, stream=True)
            with closing(answer):
                self._check(answer)
                yield answer
        except (httpx.TooManyRedirects, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            kind = type(error).__name__
            raise SourceError(f"can't be fetched ({kind}); correct the URL", source=self.url.shown) from None
        except httpx.TransportError as error:
            raise PassingError(str(error) or type(error).__name__) from None

    def _check(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in (_OK, _PARTIAL, _NO_SUCH_RANGE):
            return
        said = f"the server answers {status} ({answer.reason_phrase})"
        if status in _PASSING:
            raise PassingError(said, after=answer.headers.get("retry-after", ""))
        advice = {
            401: "give a user and a password in the URL, or a signed one",
            403: "the URL may have to be signed, or its signature may have expired",
            404: "correct the URL",
            410: "correct the URL",
        }.get(status, "look at it in a browser")
        raise SourceError(f"{said}; {advice}", source=self.url.shown)

    def changed(self) -> NoReturn:
        raise SourceError("it was changed while it was read; run the same command again", source=self.url.shown)


class PassingError(Exception):
    """What another try may overcome. `after`: seconds that the server asks for, as it says them."""

    def __init__(self, reason: str, *, after: str = "") -> None:
        super().__init__(reason)
        self.wait = min(float(after), _LONGEST_WAIT) if after.isdigit() else 0.0


class Tries:
    """Waits between tries, a bounded number of times without progress."""

    def __init__(self, name: str, sleep: Sleep) -> None:
        self._name = name
        self._sleep = sleep
        self._failed = 0

    def progress(self) -> None:
        """It went on: what fails from now on is tried as often again."""
        self._failed = 0

    def failed(self, error: PassingError) -> None:
        """Wait, or raise SourceError when it was tried often enough."""
        if self._failed == len(WAITS):
            raise SourceError(
                f"can't be fetched ({error}; tried {self._failed + 1} times); try again later",
                source=self._name,
            )
        wait = max(WAITS[self._failed], error.wait)
        self._failed += 1
        _log.warning("%s: %s; trying again in %g s", self._name, error, wait)
        self._sleep(wait)


class _Stream(io.RawIOBase):
    """The bytes in one pass; a transfer that is cut is taken up again where it was."""

    def __init__(self, server: _Server, found: _Found) -> None:
        self._server = server
        self._found = found
        self._tries = Tries(server.url.shown, server._sleep)
        self._at = 0
        self._pieces: Iterator[bytes] | None = None
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            if self._found.size is not None and self._at >= self._found.size:
                return 0
            try:
                self._pieces = self._pieces or self._from(self._at)
                self._left = next(self._pieces, b"")
            except PassingError as error:
                self._pieces = None
                self._tries.failed(error)
                continue
            if not self._left:
                if self._found.size is None:
                    return 0
                self._pieces = None
                self._tries.failed(PassingError(f"the transfer ended after {self._at:,} of {self._found.size:,} bytes"))
        taken = min(len(buffer), len(self._left))
        buffer[:taken] = self._left[:taken]
        self._left = self._left[taken:]
        self._at += taken
        self._tries.progress()
        return taken

    def _from(self, start: int) -> Iterator[bytes]:
        with self._server.asked(f"bytes={start}-", unless_changed=self._found.etag if start else "") as answer:
            now = _Found(answer)
            if now.identity != self._found.identity:
                self._server.changed()
            skip = start - now.start  # all of it, from a server that gives no ranges
            for piece in answer.iter_raw():
                if skip < len(piece):
                    yield piece[skip:] if skip > 0 else piece
                skip = max(0, skip - len(piece))

    def close(self) -> None:
        """Let the connection go."""
        if not self.closed:
            if self._pieces is not None:
                cast("Any", self._pieces).close()
            self._server.close()
        super().close()


class _Seekable(io.RawIOBase):
    """Any part of the bytes, each in a request of its own."""

    def __init__(self, server: _Server, found: _Found) -> None:
        self._server = server
        self._found = found
        self._size = found.size or 0
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        tries = Tries(self._server.url.shown, self._server._sleep)
        while True:
            try:
                data = self._part(self._at, end)
            except PassingError as error:
                tries.failed(error)
                continue
            buffer[: len(data)] = data
            self._at = end
            return len(data)

    def close(self) -> None:
        """Let the connection go."""
        if not self.closed:
            self._server.close()
        super().close()

    def _part(self, start: int, end: int) -> bytes:
        with self._server.asked(f"bytes={start}-{end - 1}", unless_changed=self._found.etag) as answer:
            now = _Found(answer)
            if not now.ranges or now.identity != self._found.identity:
                self._server.changed()
            data = b"".join(answer.iter_raw())
        if len(data) != end - start or now.start != start:
            raise PassingError(f"the server gave {len(data):,} of {end - start:,} bytes")
        return data
