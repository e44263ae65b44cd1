"""Lexical queries, for the sparse vectors of a collection."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.collection.reads.questions import Lexical
from tasb_qdrant.errors import RequestRefusedError

if TYPE_CHECKING:
    from tasb_qdrant.encoder.bm25 import Bm25Encoder


class LexicalQueries:
    """Makes lexical queries by the settings that made the collection's own sparse vectors."""

    def __init__(self, collection: OpenCollection) -> None:
        self._collection = collection

    def query(self, text: str) -> Lexical:
        """The terms of the query, weighted; there may be none. Raises RequestRefusedError."""
        sparse = self._encoder.encode_query(text)
        return Lexical(sparse.indices, sparse.values)

    @cached_property
    def _encoder(self) -> Bm25Encoder:
        settings = self._collection.bm25
        if settings is None:
            raise RequestRefusedError(
                f"collection {self._collection.name!r} at {self._collection.location} has no bm25 vectors, so that it "
                "can't be searched by words; search it with mode 'dense', or ingest into another with --bm25"
            )
        from tasb_qdrant.encoder.bm25 import Bm25Encoder

        return Bm25Encoder(settings)
