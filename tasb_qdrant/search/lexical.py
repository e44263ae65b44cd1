"""Lexical queries, for the sparse vectors of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.collection.reads.questions import Lexical
from tasb_qdrant.errors import RequestRefusedError

if TYPE_CHECKING:
    from tasb_qdrant.encoder.bm25 import Bm25Encoder


class LexicalQueries:
    """Makes lexical queries by the settings that made the collection's own sparse vectors, as they are now: the name
    may be that of another collection by then, of the same model and with other words."""

    def __init__(self, collection: OpenCollection) -> None:
        self._collection = collection
        self._made: Bm25Encoder | None = None

    def query(self, text: str) -> Lexical:
        """The terms of the query, weighted; there may be none. Raises RequestRefusedError."""
        sparse = self._encoder.encode_query(text)
        return Lexical(sparse.indices, sparse.values)

    @property
    def _encoder(self) -> Bm25Encoder:
        settings = self._collection.bm25
        if self._made is not None and self._made.settings == settings:
            return self._made
        if settings is None:
            raise RequestRefusedError(
                f"collection {self._collection.name!r} at {self._collection.location} has no bm25 vectors, so that it "
                "can't be searched by words; search it with mode 'dense', or ingest into another with --bm25"
            )
        from tasb_qdrant.encoder.bm25 import Bm25Encoder

        self._made = Bm25Encoder(settings)
        return self._made
