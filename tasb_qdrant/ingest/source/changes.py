"""Whether the files of a source are still what they were when they were opened."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from tasb_qdrant.errors import TasbQdrantError
from tasb_qdrant.sources import RemoteFile, SourceFile

END_BYTES: Final = 64 * 1024
"""How much of a file's start and end is compared; all of it would be reading the source twice."""

_HASHED_FILES: Final = 256
"""In a source of more files, only their sizes, times and inodes are compared."""

_ASKED_FILES: Final = 64
"""Of a source of more files that lie elsewhere, none is asked for again after a load."""

_Facts = dict[str, object]


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of a source as they were at one moment, each with what can be told of it at no cost."""

    files: Sequence[SourceFile]
    facts: Sequence[_Facts]

    @classmethod
    def now(cls, files: Sequence[SourceFile]) -> SourceFiles:
        """As they are; those that lie elsewhere as they were when they were found."""
        hashed = len(files) <= _HASHED_FILES
        return cls(files, [_facts(file, hashed=hashed, anew=False) for file in files])

    def changes(self, *, every: bool = True) -> list[tuple[SourceFile, str]]:
        """The files that are not what they were, and what of each has changed.

        Asking for those that lie elsewhere takes a request each: where they are many, only `every` makes them.
        """
        hashed = len(self.files) <= _HASHED_FILES
        asked = every or sum(isinstance(file, RemoteFile) for file in self.files) <= _ASKED_FILES
        found = []
        for file, then in zip(self.files, self.facts, strict=True):
            if isinstance(file, RemoteFile) and not asked:
                continue
            now = _facts(file, hashed=hashed, anew=True)
            if changed := [what for what in {**then, **now} if then.get(what) != now.get(what)]:
                found.append((file, changed[0] if "there" not in changed else "existence"))
        return found


def _facts(file: SourceFile, *, hashed: bool, anew: bool) -> _Facts:
    if file == "-":
        return {}
    if isinstance(file, RemoteFile):
        if not file.version and file.size is None:
            return {}
        try:
            size, version = file.now() if anew else (file.size, file.version)
        except (TasbQdrantError, OSError):
            return {"there": False}
        return {"size": size, "version": version}
    path = Path(file)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return {}
        facts: _Facts = {"size": status.st_size, "inode": (status.st_dev, status.st_ino), "time": status.st_mtime_ns}
        if hashed:
            with path.open("rb") as opened:
                facts["start"] = _digest(opened.read(END_BYTES))
                opened.seek(max(0, status.st_size - END_BYTES))
                facts["end"] = _digest(opened.read(END_BYTES))
    except OSError:
        return {"there": False}
    return facts


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()
