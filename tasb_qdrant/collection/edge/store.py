"""A folder of embedded collections: made, listed, opened, deleted."""

from __future__ import annotations

import errno
import shutil
import threading
import uuid
from pathlib import Path
from typing import Final

import orjson
import qdrant_edge as edge

from tasb_qdrant.collection.edge import reserve
from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.edge.engine import create_shard
from tasb_qdrant.collection.edge.files import (
    LOCK,
    SIDECAR,
    EdgeLock,
    is_collection,
    shard_folder,
    sync_path,
    write_durably,
)
from tasb_qdrant.collection.edge.optimize import INDEX_EVERYTHING_KB
from tasb_qdrant.collection.edge.shard import OpenShard
from tasb_qdrant.collection.edge.space import DISK_FULL, MIB, disk_full, require
from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.collection.schema import CollectionSchema, check_name, kept_settings
from tasb_qdrant.errors import CollectionError, CollectionNotFoundError, RequestRefusedError, SettingsError
from tasb_qdrant.forks import Origin
from tasb_qdrant.printable import logger
from tasb_qdrant.settings import CollectionSettings, Quantization, StoreSettings

log: Final = logger(__name__)

_UNFINISHED: Final = ".creating-"

_FULL_SCAN_KB: Final = 10_000

_EMPTY: Final = 4 * MIB
"""What a new collection takes (1.1 MiB, and its reserve), and the first write beside it."""

_EMPTY_FILES: Final = 40


class EdgeStore:
    """The embedded collections in one folder. Those who open one of them through this store share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: set[str] = set()
        self._open: dict[str, OpenShard] = {}
        self._opening = threading.Lock()
        self._origin = Origin()

    @property
    def settings(self) -> StoreSettings:
        """The folder alone."""
        return StoreSettings(path=self._root)

    @property
    def location(self) -> str:
        """The folder."""
        return str(self._root)

    def names(self) -> list[str]:
        """The collections in this folder, sorted; none when the folder isn't there. Raises CollectionError."""
        try:
            return sorted(child.name for child in self._root.iterdir() if is_collection(child))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self._root, error) from error

    def exists(self, name: str) -> bool:
        """Whether there is such a collection. Raises SettingsError for a name that no collection can have."""
        folder = self._folder(name)
        try:
            return is_collection(folder)
        except OSError as error:
            raise _unusable(self._root, error) from error

    def open(
        self,
        name: str,
        *,
        own_store: bool = False,
        lock_wait: float = 0.0,
        wanted: CollectionSettings | None = None,
        own_name: bool = False,
    ) -> EdgeCollection:
        """The collection, which only one store at a time may have open. Raises CollectionNotFoundError,
        StoreLockedError."""
        self._origin.check(f"the embedded store {self._root}")
        folder = self._required(name)
        with self._opening:
            if (shard := self._open.get(name)) is None:
                shard = self._open[name] = OpenShard(folder, lock_wait=lock_wait)
            shard.users += 1
            try:
                if wanted is not None:
                    shard.check_before_writing()
            except BaseException:
                self._left(shard)
                raise
        notes = kept_settings(shard.schema, wanted)
        for sentence in notes:
            log.info("%s", sentence)
        return EdgeCollection(shard, let_go=self._let_go, notes=notes)

    def create(
        self, name: str, schema: CollectionSchema, settings: CollectionSettings, *, passages: int | None = 0
    ) -> None:
        """Make an empty collection, the same for any number of `passages`. It appears by a rename, so that a killed
        process never leaves half of one.

        Raises RequestRefusedError when something of that name is there, SettingsError, CollectionError.
        """
        folder = self._folder(name)
        building = self._scratch(name)
        lock = EdgeLock(building)
        config = _config(schema, settings)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self._root)
            require(self._root, _EMPTY, f"making collection {name!r}", files=_EMPTY_FILES)
            building.mkdir()
            lock.acquire()  # says that its maker lives
            create_shard(shard_folder(building), config)
            write_durably(building / SIDECAR, orjson.dumps(schema.to_metadata(), option=orjson.OPT_INDENT_2))
            reserve.keep(building)
            sync_path(building)
            building.rename(folder)
            sync_path(self._root)
            self._made.add(name)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and folder.exists():
                raise RequestRefusedError(
                    f"{folder}: something of that name is there already; choose another --collection"
                ) from error
            raise _unusable(self._root, error) from error
        finally:
            lock.release()
            shutil.rmtree(building, ignore_errors=True)  # gone already, if all went well

    def aliases(self) -> dict[str, str]:
        """None: the embedded store has no aliases."""
        return {}

    def delete(self, name: str) -> None:
        """Remove the collection, if nobody has it open. Raises CollectionNotFoundError, StoreLockedError."""
        folder = self._required(name)
        lock = EdgeLock(folder)
        lock.acquire()
        try:
            # Renamed first: what a killed removal leaves behind is not a collection any more.
            doomed = self._scratch(name)
            folder.rename(doomed)
            sync_path(self._root)
            shutil.rmtree(doomed)
        except OSError as error:
            raise _unusable(folder, error) from error
        finally:
            lock.release()

    def discard_new(self, name: str) -> None:
        """Delete the collection if `create` made it here and it holds nothing. Raises CollectionError."""
        if name not in self._made:
            return
        self._made.remove(name)
        with self.open(name) as collection:
            points = collection.reads.count()
        if points == 0:
            self.delete(name)

    def close(self) -> None:
        """Nothing is held open."""

    def _let_go(self, shard: OpenShard) -> None:
        """One of its users closed it; the last one's leave closes the shard."""
        with self._opening:
            self._left(shard)

    def _left(self, shard: OpenShard) -> None:
        shard.users -= 1
        if shard.users:
            shard.flush()
        else:
            del self._open[shard.folder.name]
            shard.close()

    def _folder(self, name: str) -> Path:
        return self._root / check_name(name)

    def _scratch(self, name: str) -> Path:
        """A folder under a name that is unused, and that no collection can have."""
        return self._root / f"{_UNFINISHED}{name}-{uuid.uuid4().hex[:12]}"

    def _required(self, name: str) -> Path:
        if not self.exists(name):
            raise CollectionNotFoundError(name, location=self.location, available=self.names())
        return self._folder(name)


def _unusable(folder: Path, error: OSError) -> CollectionError:
    if error.errno in DISK_FULL:
        return disk_full(folder, f"writing the embedded store's own files ({error.strerror})")
    return CollectionError(
        f"{folder}: the embedded store needs a folder that it can write to ({error.strerror or error}); make it "
        "writable, or choose another --path"
    )


def _config(schema: CollectionSchema, settings: CollectionSettings) -> edge.EdgeConfig:
    for option in ("shards", "replicas", "write_consistency"):
        value: int | str | None = getattr(settings, option)
        if isinstance(value, int) and value > 1:  # "auto" asks for what there is
            named = option.replace("_", "-")
            raise SettingsError(f"the embedded store has no {option}; leave --{named} out, or use a server (--url)")
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(
            size=schema.contract.dim,
            distance=edge.Distance.Dot,
            datatype=edge.VectorStorageDatatype.Float16 if settings.vectors == "float16" else None,
            memory=edge.Memory.Cold if settings.on_disk else None,
        ),
        sparse_vectors=None if schema.bm25 is None else {BM25: _sparse(settings)},
        hnsw_config=edge.HnswIndexConfig(
            m=settings.hnsw_m, ef_construct=settings.hnsw_ef_construct, full_scan_threshold=_FULL_SCAN_KB
        ),
        quantization_config=_quantization(settings.quantization),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=INDEX_EVERYTHING_KB),
        wal_enabled=True,
    )


def _sparse(settings: CollectionSettings) -> edge.EdgeSparseVectorParams:
    return edge.EdgeSparseVectorParams(
        modifier=edge.Modifier.Idf, memory=edge.Memory.Cold if settings.on_disk else None
    )


def _quantization(
    kind: Quantization,
) -> edge.ScalarQuantizationConfig | edge.BinaryQuantizationConfig | edge.TurboQuantQuantizationConfig | None:
    if kind == "int8":
        return edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, memory=edge.Memory.Pinned)
    if kind == "binary":
        return edge.BinaryQuantizationConfig(memory=edge.Memory.Pinned)
    if kind == "turbo4":
        return edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4, memory=edge.Memory.Pinned)
    return None


def _remove_leftovers(root: Path) -> None:
    """Folders of creations and removals that were killed. Those still at work are locked, and left alone."""
    for leftover in root.glob(f"{_UNFINISHED}*"):
        if not (leftover / LOCK).exists():
            continue  # being made right now
        lock = EdgeLock(leftover)
        try:
            lock.acquire()
        except CollectionError:
            continue
        shutil.rmtree(leftover, ignore_errors=True)
        lock.release()
