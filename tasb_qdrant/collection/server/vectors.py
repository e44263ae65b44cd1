"""Whether a server's collection has the vectors that its passages are sent with."""

from __future__ import annotations

from qdrant_client import models

from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.errors import StoreCorruptError


def check_bm25_vector(described: models.CollectionInfo, *, name: str, location: str) -> None:
    """Raises StoreCorruptError where there is no sparse vector to store BM25 in.

    A server drops a named vector that the collection doesn't have, and says nothing (qdrant#9521).
    """
    sparse = (described.config.params.sparse_vectors or {}).get(BM25)
    if sparse is None or sparse.modifier != models.Modifier.IDF:
        raise StoreCorruptError(
            f"collection {name!r} at {location} should hold a sparse vector {BM25!r} with the IDF modifier, "
            "and doesn't; ingest into another --collection"
        )
