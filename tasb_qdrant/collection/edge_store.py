"""A folder of embedded collections: made, listed, opened, deleted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import orjson
import qdrant_edge as edge

from tasb_qdrant.collection.edge import EdgeCollection
from tasb_qdrant.collection.edge_files import (
    SIDECAR,
    EdgeLock,
    is_collection,
    shard_folder,
    sync_folder,
    write_durably,
)
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.errors import CollectionError, CollectionNotFoundError, SettingsError
from tasb_qdrant.settings import CollectionSettings, Quantization

_UNFINISHED: Final = ".creating-"

# The engine indexes segments above this many KB when `optimize` is called, and never by itself:
# 1 makes `optimize` index every point, so that "indexed" can be compared with "points".
_INDEX_EVERYTHING_KB: Final = 1
_FULL_SCAN_KB: Final = 10_000


class EdgeStore:
    """The embedded collections in one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def location(self) -> str:
        """The folder."""
        return str(self._root)

    def names(self) -> list[str]:
        """The collections in this folder, sorted; none when the folder isn't there."""
        if not self._root.is_dir():
            return []
        return sorted(child.name for child in self._root.iterdir() if is_collection(child))

    def exists(self, name: str) -> bool:
        """Whether there is such a collection."""
        return is_collection(self._root / name)

    def open(self, name: str, *, own_store: bool = False) -> EdgeCollection:
        """The collection, for this process alone. Raises CollectionNotFoundError, StoreLockedError."""
        self._require(name)
        return EdgeCollection(self._root / name)

    def create(self, name: str, schema: CollectionSchema, settings: CollectionSettings) -> None:
        """Make an empty collection. It appears by a rename, so that a killed process leaves none by halves."""
        building = self._root / f"{_UNFINISHED}{name}-{os.getpid()}"
        config = _config(schema, settings)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self._root, name)
            building.mkdir()
            edge.EdgeShard.create(str(shard_folder(building)), config).close()
            write_durably(building / SIDECAR, orjson.dumps(schema.to_metadata(), option=orjson.OPT_INDENT_2))
            building.rename(self._root / name)
            sync_folder(self._root)
        except OSError as error:
            raise CollectionError(
                f"{self._root / name}: the collection can't be made ({error.strerror or error}); choose another --path"
            ) from error

    def delete(self, name: str) -> None:
        """Remove the collection, if no other process has it open."""
        self._require(name)
        folder = self._root / name
        lock = EdgeLock(folder)
        lock.acquire()
        try:
            # Renamed first: what is left of a killed removal is no collection any more.
            doomed = self._root / f"{_UNFINISHED}{name}-{os.getpid()}"
            folder.rename(doomed)
            shutil.rmtree(doomed)
        finally:
            lock.release()

    def close(self) -> None:
        """Nothing is held open."""

    def _require(self, name: str) -> None:
        if not self.exists(name):
            raise CollectionNotFoundError(name, location=self.location, available=self.names())


def _config(schema: CollectionSchema, settings: CollectionSettings) -> edge.EdgeConfig:
    for option, value in (("shards", settings.shards), ("replicas", settings.replicas)):
        if value is not None and value > 1:
            raise SettingsError(f"the embedded store has no {option}; leave --{option} out, or use a server (--url)")
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(
            size=schema.contract.dim,
            distance=edge.Distance.Dot,
            memory=edge.Memory.Cold if settings.on_disk else None,
        ),
        hnsw_config=edge.HnswIndexConfig(
            m=settings.hnsw_m, ef_construct=settings.hnsw_ef_construct, full_scan_threshold=_FULL_SCAN_KB
        ),
        quantization_config=_quantization(settings.quantization),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=_INDEX_EVERYTHING_KB),
        wal_enabled=True,
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


def _remove_leftovers(root: Path, name: str) -> None:
    """Folders of creations that were killed before the rename. Those of live processes are left alone."""
    for leftover in root.glob(f"{_UNFINISHED}{name}-*"):
        pid = leftover.name.rpartition("-")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(leftover, ignore_errors=True)
