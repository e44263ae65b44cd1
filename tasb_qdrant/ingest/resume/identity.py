"""What a run reads, and what it writes to: an interrupted run is resumed only if neither has changed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import SourceError
from tasb_qdrant.ingest.window import WINDOW_BYTES, WINDOW_SIZE
from tasb_qdrant.records import ModelContract
from tasb_qdrant.records.json_text import unicode_text
from tasb_qdrant.settings import Bm25Settings, IndexType, PayloadKeys, SplitSettings
from tasb_qdrant.sources import RemoteFile, SourceFile

END_BYTES: Final = 64 * 1024
"""How much of a file's start and end is hashed: a corpus is too long to be read twice."""

_SHOWN_DIGITS: Final = 12

Change = tuple[str, object, object]
"""What has changed, its value at the time of the checkpoint, its value now."""


class FileIdentity(BaseModel):
    """A file, as far as it can be identified without reading all of it. `head` and `tail` are sha256.

    One that lies elsewhere has a `version` instead: what its server tells of it changes with the content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    size: int
    mtime_ns: int
    head: str
    tail: str
    version: str = ""

    @classmethod
    def of(cls, file: Path | RemoteFile) -> FileIdentity:
        """The file's, now; that of a remote one is from when it was found. Raises SourceError."""
        if isinstance(file, RemoteFile):
            return cls(path=file.name, size=file.size or 0, mtime_ns=0, head="", tail="", version=file.version)
        return cls._of_path(file)

    @classmethod
    def _of_path(cls, path: Path) -> FileIdentity:
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                head = file.read(END_BYTES)
                file.seek(max(0, status.st_size - END_BYTES))
                tail = file.read(END_BYTES)
        except OSError as error:
            raise SourceError(
                f"can't be read ({error.strerror}); correct the name or its permissions", source=str(path)
            ) from None
        return cls(
            path=unicode_text(os.path.abspath(path)),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            head=hashlib.sha256(head).hexdigest(),
            tail=hashlib.sha256(tail).hexdigest(),
        )

    def facts(self) -> Iterator[tuple[str, object]]:
        """What is compared, each under a name for people."""
        yield f"the size of {self.path}", self.size
        if self.version:
            yield f"the version of {self.path}", self.version
            return
        yield f"the last change of {self.path}", _time(self.mtime_ns)
        yield f"the start of {self.path}", self.head[:_SHOWN_DIGITS]
        yield f"the end of {self.path}", self.tail[:_SHOWN_DIGITS]


class ReadIdentity(BaseModel):
    """Everything that decides which passages are in which window: the files, and how they are read.

    `options` are the values of options by their names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[FileIdentity, ...]
    options: dict[str, str]
    window: tuple[int, int] = (WINDOW_SIZE, WINDOW_BYTES)

    def differences(self, now: ReadIdentity) -> list[Change]:
        """What has changed in `now`."""
        then_paths, now_paths = ([file.path for file in one.files] for one in (self, now))
        found: list[Change] = []
        if sorted(then_paths) == sorted(now_paths):
            if then_paths != now_paths:
                found.append(("the order of the files", _names(then_paths), _names(now_paths)))
            by_path = {file.path: file for file in now.files}
            for file in self.files:
                found += _differences(dict(file.facts()), dict(by_path[file.path].facts()))
        else:
            gone, new = set(then_paths) - set(now_paths), set(now_paths) - set(then_paths)
            found += [(f"the file {path}", "a source", "no longer one") for path in then_paths if path in gone]
            found += [(f"the file {path}", "not a source", "one") for path in now_paths if path in new]
        found += _differences(self.options, now.options)
        found += _differences(self._window_facts(), now._window_facts())
        return found

    def _window_facts(self) -> dict[str, object]:
        size, size_bytes = self.window
        return {"a window's size": f"{size} passages or {size_bytes} bytes"}


class TargetIdentity(BaseModel):
    """The collection, and the model that makes its vectors. `id` is the collection's own (CollectionSchema)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str
    id: str
    keys: PayloadKeys
    indexes: dict[str, str]
    contract: ModelContract
    bm25: Bm25Settings | None = None
    edited: str = ""
    split: SplitSettings | None = None

    @classmethod
    def of(cls, collection: Collection, contract: ModelContract, indexes: Mapping[str, IndexType]) -> TargetIdentity:
        """The open collection's, the encoder's contract, and the payload indexes that the run's passages must fit."""
        return cls(
            collection=collection.name,
            id=collection.identity,
            keys=collection.keys,
            indexes={str(field): str(kind) for field, kind in indexes.items()},
            contract=contract,
            bm25=collection.bm25,
            edited=collection.edited,
            split=collection.split,
        )

    def model_differences(self, contract: ModelContract) -> list[Change]:
        """What another contract changes in the vectors; here precision and program count, too."""
        found: list[Change] = [*self.contract.differences(contract)]
        # An encoder that isn't loaded, as nothing was encoded so far, has none.
        if self.contract.precision and contract.precision and self.contract.precision != contract.precision:
            found.append(("the precision", self.contract.precision, contract.precision))
        if self.contract.version != contract.version:
            # Another version may read a file differently, and so cut other windows.
            found.append(("the version of tasb-qdrant", self.contract.version, contract.version))
        return found

    def differences(self, now: TargetIdentity) -> list[Change]:
        """What has changed in `now`."""
        found = self.model_differences(now.contract)
        if self.id != now.id:
            found.append((f"collection {self.collection!r}", _id(self.id), f"{_id(now.id)}, made since"))
        if self.edited != now.edited:
            found.append(("what is stored", "as the run left it", "edited since"))
        if self.bm25 != now.bm25:
            found += [("BM25", "off", "on")] if self.bm25 is None else [("BM25", "on", "different, or off")]
        if self.split != now.split:
            found.append(("the split of long texts", self.split or "none", now.split or "none"))
        found += _differences(
            {f"the payload's name of the {part}": name for part, name in self.keys.model_dump().items()},
            {f"the payload's name of the {part}": name for part, name in now.keys.model_dump().items()},
        )
        found += _differences(
            {f"the payload index of {field!r}": kind for field, kind in self.indexes.items()},
            {f"the payload index of {field!r}": kind for field, kind in now.indexes.items()},
        )
        return found


def identify(files: Sequence[SourceFile]) -> tuple[FileIdentity, ...] | None:
    """Each file's identity; None if one of them has none: a stream, which can't be read again, or what a server says
    nothing of. Raises SourceError."""
    known = [file for file in files if file != "-" and _has_identity(file)]
    return tuple(FileIdentity.of(file) for file in known) if known and len(known) == len(files) else None


def _has_identity(file: Path | RemoteFile) -> bool:
    return bool(file.version) if isinstance(file, RemoteFile) else stat.S_ISREG(_mode(file))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        raise SourceError(
            f"can't be read ({error.strerror}); correct the name or its permissions", source=str(path)
        ) from None


def _differences(then: Mapping[str, object], now: Mapping[str, object]) -> list[Change]:
    names = dict.fromkeys([*then, *now])
    pairs = [(name, then.get(name, "none"), now.get(name, "none")) for name in names]
    return [(name, before, after) for name, before, after in pairs if before != after]


def _time(nanoseconds: int) -> str:
    """To the nanosecond: two versions of a file may be a millisecond apart."""
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    except (OverflowError, ValueError):  # a file system may say anything
        return f"{nanoseconds} ns"


def _names(paths: Sequence[str]) -> str:
    return ", ".join(os.path.basename(path) for path in paths[:3]) + (", …" if len(paths) > 3 else "")


def _id(identifier: str) -> str:
    return f"number {identifier[:_SHOWN_DIGITS]}" if identifier else "unnumbered"
