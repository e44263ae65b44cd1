"""A file that lies elsewhere, as readers see it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

COPY_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a web server, an object store or the hub, as it was when it was found.

    `name` is for people, without what is secret. `size` in bytes is None where the server doesn't say it. `version`
    changes with the content: an ETag, a hash, or the time of the last change; "" where nothing tells. `path` is its
    whole path there, and `label` that below the folder that was named. `stream` opens the bytes from the start,
    `seekable` so that any part of them can be read, or is None where only the whole can be had; `now` gives size and
    version anew.
    """

    name: str
    size: int | None
    version: str
    path: PurePosixPath
    label: str
    stream: Callable[[], BinaryIO] = field(compare=False, repr=False)
    seekable: Callable[[], Any] | None = field(compare=False, repr=False)
    now: Callable[[], tuple[int | None, str]] = field(compare=False, repr=False)

    @property
    def identity(self) -> tuple[str, int | None, str]:
        """What tells whether it is still the same."""
        return self.name, self.size, self.version

    def open_seekable(self) -> Any:
        """The file for readers that jump about in it; copied to a temporary file where it can only be had whole."""
        if self.seekable is not None:
            return self.seekable()
        with self.stream() as stream:
            copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            try:
                shutil.copyfileobj(stream, copy, COPY_BYTES)
                copy.seek(0)
            except BaseException:
                copy.close()
                raise
        return copy
