"""The embedded store's own files: the sidecar, the lock, and writing them so that they last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import orjson
import portalocker

from tasb_qdrant.collection.schema import CollectionSchema, read_schema
from tasb_qdrant.errors import CollectionError, StoreCorruptError, StoreLockedError

SIDECAR: Final = "collection.json"
SHARD: Final = "shard"


def shard_folder(folder: Path) -> Path:
    """Where the engine's files of this collection are."""
    return folder / SHARD


def is_collection(folder: Path) -> bool:
    """Whether there is a whole collection here: the sidecar is there from the first moment."""
    return not folder.name.startswith(".") and (folder / SIDECAR).is_file()


def load_schema(folder: Path) -> CollectionSchema:
    """What the collection says about itself. Raises StoreCorruptError, NotOurCollectionError."""
    sidecar = folder / SIDECAR
    try:
        metadata = orjson.loads(sidecar.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise StoreCorruptError(
            f"{sidecar}: can't be read ({error}); restore the folder from a backup, or delete it and ingest again"
        ) from error
    return read_schema(metadata if isinstance(metadata, dict) else None, name=folder.name, location=str(folder.parent))


class EdgeLock:
    """Held while a collection is open. The engine has a lock too, but not while it is being optimized."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = portalocker.Lock(
            str(folder / "lock"),
            mode="a",
            flags=portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING,
        )

    def acquire(self) -> None:
        """Take it, or raise StoreLockedError at once."""
        try:
            self._lock.acquire(timeout=0, fail_when_locked=True)
        except portalocker.exceptions.LockException as error:
            raise StoreLockedError(
                f"{self._folder}: the embedded collection is open in another process, and one at a time may open "
                "it; close that one, or use a Qdrant server (--url) to share a collection"
            ) from error
        except OSError as error:
            raise CollectionError(f"{self._folder}: can't be locked ({error.strerror or error})") from error

    def release(self) -> None:
        """Let others in."""
        self._lock.release()


def write_durably(path: Path, content: bytes) -> None:
    """Write the file, and return when the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the disk has the folder's list of names: a rename is lasting only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
