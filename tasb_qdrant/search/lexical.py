"""Lexical queries: for the sparse vectors of a collection, or where it has none for the text index of its texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.collection.reads.questions import Lexical, Words
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.errors import RequestRefusedError
from tasb_qdrant.records.path import Segment, canonical_path, qdrant_path, write_path
from tasb_qdrant.steps import StoreSteps

if TYPE_CHECKING:
    from tasb_qdrant.encoder.bm25 import Bm25Encoder
    from tasb_qdrant.settings import Bm25Settings


class LexicalQueries:
    """Makes lexical queries by the settings that made the collection's own sparse vectors, as they are now: the name
    may be that of another collection by then, of the same model and with other words. Without such vectors, for an
    index of its texts that ranks."""

    def __init__(self, collection: OpenCollection, reads: ReadSteps) -> None:
        self._collection = collection
        self._reads = reads
        self._made: Bm25Encoder | None = None

    def query(self, text: str) -> StoreSteps[Lexical | Words]:
        """The terms of the query, weighted, or its words; there may be none. Raises RequestRefusedError."""
        if (settings := self._collection.bm25) is None:
            return Words(text, (yield from self._ranking_field()))
        sparse = self._encoder(settings).encode_query(text)
        return Lexical(sparse.indices, sparse.values)

    def _ranking_field(self) -> StoreSteps[str]:
        """The field of the texts, as the store spells it, if its index ranks."""
        name = write_path([Segment(self._collection.keys.text)])
        yield from self._reads.filtering.indexes(frozenset({name}))
        if name in map(canonical_path, self._reads.filtering.known.indexes.scored):
            return qdrant_path(name)
        raise RequestRefusedError(
            f"collection {self._collection.name!r} at {self._collection.location} has no bm25 vectors, so that it "
            "can't be searched by words; search it with mode 'dense', or ingest into another with --bm25, or (in the "
            "embedded store, and on servers from 1.20 on) have its texts indexed anew: tasb-qdrant collection index "
            f"add {name}:text"
        )

    def _encoder(self, settings: Bm25Settings) -> Bm25Encoder:
        if self._made is None or self._made.settings != settings:
            from tasb_qdrant.encoder.bm25 import Bm25Encoder

            self._made = Bm25Encoder(settings)
        return self._made
