"""The embedded store's own files: the sidecar, the lock, and writing them so that they last."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import orjson
import portalocker

from tasb_qdrant.collection.edge.engine import locked_error
from tasb_qdrant.collection.edge.space import DISK_FULL, disk_full
from tasb_qdrant.collection.schema import CollectionSchema, edit_mark, read_schema
from tasb_qdrant.errors import CollectionError, StoreCorruptError, StoreLockedError
from tasb_qdrant.locks import is_held
from tasb_qdrant.printable import logger

log: Final = logger(__name__)

SIDECAR: Final = "collection.json"
LOCK: Final = "lock"
SHARD: Final = "shard"
_CONFIG: Final = "edge_config.json"
_NEW_SIDECAR: Final = "collection.json.new"

POLL_SECONDS: Final = 0.05
"""How often a lock that is waited for is tried."""


def shard_folder(folder: Path) -> Path:
    """Where the engine's files of this collection are."""
    return folder / SHARD


def is_collection(folder: Path) -> bool:
    """Whether there is a whole collection here: the sidecar is there from the first moment."""
    return not folder.name.startswith(".") and (folder / SIDECAR).is_file()


def load_schema(folder: Path) -> CollectionSchema:
    """What the collection says about itself. Raises StoreCorruptError, NotOurCollectionError."""
    return read_schema(read_metadata(folder), name=folder.name, location=str(folder.parent))


def mark_edited(folder: Path) -> CollectionSchema:
    """Note beside the schema that passages are edited now, whole or not at all. Raises CollectionError, and its kind
    DiskFullError."""
    metadata = {**read_metadata(folder), **edit_mark()}
    try:
        write_durably(folder / _NEW_SIDECAR, orjson.dumps(metadata, option=orjson.OPT_INDENT_2))
        (folder / _NEW_SIDECAR).replace(folder / SIDECAR)
        sync_path(folder)
    except OSError as error:
        _check_full(folder, error, "noting that passages are edited")
        raise CollectionError(
            f"{folder / SIDECAR}: can't be written ({error.strerror or error}); free some space, or make it writable. "
            "Nothing was edited"
        ) from error
    return load_schema(folder)


def read_metadata(folder: Path) -> dict[str, Any]:
    """All that stands in the sidecar. Raises StoreCorruptError."""
    sidecar = folder / SIDECAR
    try:
        metadata = orjson.loads(sidecar.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise _unreadable(sidecar, str(error)) from error
    if not isinstance(metadata, dict):
        raise _unreadable(sidecar, f"expected an object, found {type(metadata).__name__}")
    return metadata


def save_schema(folder: Path, schema: CollectionSchema) -> None:
    """Replace the schema in the sidecar, as `note_metadata` does."""
    note_metadata(folder, schema.to_metadata(), "noting what the collection is")


def note_metadata(folder: Path, changes: Mapping[str, Any], doing: str) -> None:
    """Merge these keys into the sidecar, whole or not at all; None removes one, and what else stands in it stays.

    Raises CollectionError, and its kind DiskFullError.
    """
    sidecar = folder / SIDECAR
    new = folder / f".{SIDECAR}.new"
    with named_failure(folder, doing):
        merged = {**orjson.loads(sidecar.read_bytes()), **changes}
        metadata = {key: value for key, value in merged.items() if value is not None}
        write_durably(new, orjson.dumps(metadata, option=orjson.OPT_INDENT_2))
        new.replace(sidecar)
        sync_path(folder)


@contextmanager
def named_failure(folder: Path, doing: str) -> Iterator[None]:
    """What the system says against writing in the folder becomes CollectionError, or its kind DiskFullError."""
    try:
        yield
    except OSError as error:
        _check_full(folder, error, doing)
        raise CollectionError(
            f"{folder}, {doing}: can't be written ({error.strerror or error}); make the folder writable, or free space"
        ) from error


def in_memory(folder: Path) -> bool:
    """Whether the vectors were made to be kept in memory, by the engine's own file: it says so nowhere else."""
    try:
        config = orjson.loads((shard_folder(folder) / _CONFIG).read_bytes())
        return bool(config["vectors"][""].get("memory") != "cold")
    except (OSError, ValueError, LookupError, AttributeError):
        return False


def _check_full(folder: Path, error: OSError, doing: str) -> None:
    """Raises DiskFullError if that is what kept a file from being written; what was written of it is removed then."""
    if error.errno in DISK_FULL:
        for new in (_NEW_SIDECAR, f".{SIDECAR}.new"):
            with suppress(OSError):
                (folder / new).unlink(missing_ok=True)
        raise disk_full(folder, doing) from error


def _unreadable(sidecar: Path, reason: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"{sidecar}: can't be read ({reason}); restore the folder from a backup, or delete it and ingest again"
    )


class EdgeLock:
    """Held while a collection is open. The engine has a lock too, but not while it is being optimized."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = portalocker.Lock(
            str(folder / LOCK),
            mode="a",
            flags=portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING,
        )

    def acquire(self, wait: float = 0.0) -> None:
        """Take it, or raise StoreLockedError: at once, or after `wait` seconds."""
        until, told = time.monotonic() + wait, False
        while True:
            try:
                self._acquire_now()
            except StoreLockedError:
                if time.monotonic() >= until:
                    raise locked_error(self._folder, waited=wait) from None
                if not told:
                    told = True
                    log.info("%s is open elsewhere; waiting for it for up to %g s", self._folder, wait)
                time.sleep(POLL_SECONDS)
            else:
                return

    def _acquire_now(self) -> None:
        try:
            self._lock.acquire(timeout=0, fail_when_locked=True)
            if not os.path.samestat(os.fstat(self.fileno()), (self._folder / LOCK).stat()):
                raise FileNotFoundError("it was deleted a moment ago")
        except (OSError, portalocker.exceptions.LockException) as error:
            if isinstance(error, portalocker.exceptions.LockException) and is_held(error):
                raise locked_error(self._folder) from error
            self.release()
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise disk_full(self._folder, "locking the collection") from error
            reason = error.strerror if isinstance(error, OSError) else None
            raise CollectionError(
                f"{self._folder}: can't be locked ({reason or error}); make the folder writable, on a disk that has "
                "file locks"
            ) from error

    def fileno(self) -> int:
        """The open lock file's descriptor; a process that has it too holds the lock too."""
        if self._lock.fh is None:
            raise CollectionError(f"{self._folder}: the lock is not held")
        return self._lock.fh.fileno()

    def release(self) -> None:
        """Let others in. May be called twice."""
        self._lock.release()


def write_durably(path: Path, content: bytes) -> None:
    """Write the file, and return when the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_path(path: Path) -> None:
    """Return when the disk has what a file holds, or a folder's list of names: only then does a rename last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
