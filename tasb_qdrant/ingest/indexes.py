"""The payload indexes of a run: before the passages in a new collection, and after them in one that was there.

A new collection is loaded quickest with its indexes. In one that holds passages, an index that was asked for by
mistake would refuse every later passage: what is stored is looked at first, and a run that fails leaves none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from tasb_qdrant.collection.payload_indexes import check_stored
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import IndexMismatchError, InvalidInputError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.settings import IndexType

_SAMPLE: Final = 1_000
"""Stored passages that are looked at before a load, which may take hours, for a word of warning."""


class RunIndexes:
    """The indexes that a run is asked for, over an open collection.

    `is_new` says whether this run makes the collection. `types` are those that its passages must fit: the collection's,
    and those to be made. `refused` are those that could not be made in the end, each with the reason.
    """

    def __init__(self, collection: Collection, wanted: Mapping[str, IndexType], *, is_new: bool) -> None:
        self.is_new = is_new
        self._collection = collection
        there = collection.indexes()
        self._made = {field: kind for field, kind in wanted.items() if is_new and field in there}
        self._to_make = {field: kind for field, kind in wanted.items() if field not in there}
        self.types: Mapping[str, IndexType] = {**there, **self._to_make}
        self.refused: Mapping[str, str] = {}

    @property
    def doubts(self) -> tuple[str, ...]:
        """What some of the stored passages have against the indexes to be made, a sentence each."""
        found = check_stored(self._collection, self._to_make, most=_SAMPLE)
        return tuple(
            f"Passage {problem.passage_id[:100]!r} is stored with another kind of {field} than {problem.index_type}: "
            "the index is made at the end, if this run has replaced all such values."
            for field, problem in found.items()
        )

    def make(self, counters: Counters) -> None:
        """Make those that hold all that is stored; where inputs were rejected, only those that hold anything stay."""
        if self._to_make:
            self._make(counters)
        if rejected := counters.snapshot().rejected:
            self._drop_empty(rejected)

    def _make(self, counters: Counters) -> None:
        counters.compare("looking at the values to index", self._collection.reads.count())
        found: Mapping[str, IndexMismatchError] = check_stored(
            self._collection, self._to_make, on_page=counters.compared
        )
        self.refused = {field: str(problem) for field, problem in found.items()}
        counters.phase("indexing payload fields")
        self._collection.ensure_indexes({name: kind for name, kind in self._to_make.items() if name not in found})

    def _drop_empty(self, rejected: int) -> None:
        """Drop those that hold nothing: they may be why inputs were rejected, and would be again."""
        points = self._collection.reads.indexes().points
        for field, kind in {**self._made, **self._to_make}.items():
            if field in points and not points[field]:
                self._collection.remove_index(field)
                self.refused = {
                    **self.refused,
                    field: f"field {field!r} is not indexed as {kind}: {rejected:,} inputs were rejected, and no "
                    "stored passage has such a value; correct the type, or the source",
                }

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Should the block fail because of its input, the indexes of a new collection are dropped: one of them may be
        the mistake. Passages that are stored stay."""
        try:
            yield
        except InvalidInputError as error:
            for field in self._made:
                try:
                    self._collection.remove_index(field, retry=False)
                except Exception as second:
                    error.add_note(f"the payload index of {field!r} could not be dropped: {second}")
            raise
