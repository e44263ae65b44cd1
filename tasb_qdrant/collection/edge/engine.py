"""The embedded engine's errors and index types, and ours for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import qdrant_edge as edge

from tasb_qdrant.collection.edge.space import disk_full
from tasb_qdrant.collection.reads.errors import explained
from tasb_qdrant.errors import CollectionError, RequestRefusedError, StoreCorruptError, StoreLockedError
from tasb_qdrant.settings import IndexType

INDEX_TYPES: Final[dict[IndexType, edge.PayloadSchemaType]] = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
    "geo": edge.PayloadSchemaType.Geo,
    "text": edge.PayloadSchemaType.Text,
    "uuid": edge.PayloadSchemaType.Uuid,
}


_DISK_FULL: Final = (
    "No space left",
    "StorageFull",
    "quota exceeded",
    "QuotaExceeded",
    "File too large",
    "FileTooLarge",
)


def load_shard(folder: Path) -> edge.EdgeShard:
    """The shard in this folder. Raises StoreLockedError, StoreCorruptError, DiskFullError."""
    try:
        return edge.EdgeShard.load(str(folder))
    except BaseException as error:
        if not is_engine_error(error):
            raise
        if "WouldBlock" in str(error):
            raise locked_error(folder.parent) from error
        if is_disk_full(error):
            raise engine_error(error, folder.parent, "opening the embedded store") from error
        raise StoreCorruptError(
            f"{folder}: the embedded store can't be opened ({one_line(error)}); restore the folder from a backup, or "
            f"delete the collection and ingest again"
        ) from error


def create_shard(folder: Path, config: edge.EdgeConfig) -> None:
    """An empty shard in this folder. Raises CollectionError."""
    try:
        edge.EdgeShard.create(str(folder), config).close()
    except BaseException as error:
        if not is_engine_error(error):
            raise
        raise engine_error(error, folder, "making the embedded store") from error


def is_engine_error(error: BaseException) -> bool:
    """The engine raises bare Exception, and PanicException, which isn't an Exception and has no public name.

    Anything else it raises is a bug, and is left as it is.
    """
    return type(error) is Exception or _has_panicked(error)


def engine_error(error: BaseException, folder: Path, doing: str) -> CollectionError:
    """Our error for this one of the engine's."""
    place = f"{folder}, {doing}"
    if is_disk_full(error):
        return disk_full(folder, doing)
    if _has_panicked(error):
        return StoreCorruptError(
            f"{place}: the embedded engine failed ({one_line(error)}); close the collection and open it again, and "
            "if that doesn't help restore the folder from a backup"
        )
    if (known := explained(one_line(error), place=place)) is not None:
        return known
    return RequestRefusedError(f"{place}: the embedded engine refused the request: {one_line(error)}")


def _has_panicked(error: BaseException) -> bool:
    return type(error).__name__ == "PanicException"


def locked_error(folder: Path, *, waited: float = 0.0) -> StoreLockedError:
    """For a second opener, who waited that many seconds."""
    still = f", for {waited:g} seconds now" if waited else ""
    return StoreLockedError(
        f"{folder}: the embedded collection is open already, here or in another process{still}, and one at a time may "
        "have it; close it there, or use a Qdrant server (--url) to share a collection"
    )


def is_disk_full(error: object) -> bool:
    """The engine's errors are texts. A quota, and a limit to the size of files, are full disks of another kind."""
    return any(word in str(error) for word in _DISK_FULL)


def one_line(error: object) -> str:
    """The error's text, without line breaks and not too long."""
    return " ".join(str(error).split())[:500]


def index_schema(kind: IndexType) -> edge.PayloadSchemaType | edge.TextIndexParams:
    """What makes such an index. Without phrase matching, a text index finds no phrases, and says nothing. It keeps the
    lengths of texts, with which it ranks them by BM25."""
    if kind == "text":
        return edge.TextIndexParams(phrase_matching=True, scoring=edge.TextScoringParams())
    return INDEX_TYPES[kind]


def indexes_of(described: edge.ShardInfo) -> dict[str, IndexType]:
    """The payload indexes there are, by field."""
    by_type = {str(theirs): ours for ours, theirs in INDEX_TYPES.items()}
    found: dict[str, IndexType] = {}
    for field, index in described.payload_schema.items():
        if (kind := by_type.get(str(index.data_type))) is not None:
            found[field] = kind
    return found
