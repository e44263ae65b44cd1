"""A query that every store answers by itself, and what turns reads into a store's own requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias, TypeVar

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import (
    Lexical,
    Nearest,
    OrderBy,
    QueryOptions,
    ReadOptions,
    Recommended,
    Selection,
    Words,
)
from tasb_qdrant.settings import IndexType, Quantization

if TYPE_CHECKING:
    from qdrant_client import models

    from tasb_qdrant.collection.limits import StoreLimits
    from tasb_qdrant.collection.schema import CollectionSchema

PlainQuery: TypeAlias = Nearest | Lexical | Words | Recommended
"""What every store answers by itself, with one list."""

OVERSAMPLING: Final[Mapping[Quantization, float]] = {"int8": 2.0, "binary": 4.0, "turbo4": 2.0}
"""Candidates for each hit that quantized vectors choose before the original vectors score them: otherwise
scores would be approximations (off by 4% with int8), and with binary the best passage is often missed."""

HNSW_EF: Final = 128
FILTERED_HNSW_EF: Final = 256
"""Candidates that the vector index keeps in mind by default, without a filter and with one.

Measured on the embedded 0.9 with its default index (m 16, ef_construct 128) over 200,000 points of 768 numbers in
2,000 clusters, with indexed payload fields. Recall@10 against exact, by hnsw_ef: without a filter 1.000 from 64 on;
with one that 33% match .995 (256) and .997 (320), 10% .968 (128), .988 and .997, 3% .908 (128), .980 and .985.
"""

R_co = TypeVar("R_co", covariant=True)

MOST_COMPARED: Final = 60_000_000
"""Numbers of vectors. Where a filter lets no more through, and no more than ACORN_SELECTIVITY of all points, comparing
with every one of those finds all, and sooner than the index: of 200,000 points of 768 numbers 13,770 in 9 ms, 57,198
in 18 ms and 66,396 in 14 to 20 ms; ACORN 19, 22 and 33 ms (Qdrant 1.17.0, 2 cores; embedded it's alike). More than
that, and vectors of other lengths, were not measured."""

ACORN_SELECTIVITY: Final = 0.4
"""Of 200,000 points with a hundred near each query and a filter that lets 7% through, an ef of 320 finds 0.927 of the
ten best in 7 ms, one of 1,024 0.962 in 13 ms, ACORN all of them in 20 ms (Qdrant 1.17.0, 2 cores). Qdrant's default."""


def most_compared(schema: CollectionSchema, *, in_memory: bool) -> int:
    """The most points that a filtered search compares with one by one. 0 where their vectors may lie on disk, as the
    real ones of a quantized collection do."""
    return MOST_COMPARED // schema.contract.dim if in_memory and schema.quantization == "none" else 0


@dataclass(frozen=True, slots=True)
class SearchParams:
    """How thoroughly a store searches: `ignore_quantized` compares with the real vectors alone, `acorn` also follows
    the neighbours of points that a filter leaves out, where it lets less than that share of all points through."""

    exact: bool
    hnsw_ef: int | None
    rescore: bool | None
    oversampling: float | None
    ignore_quantized: bool
    acorn: float | None = None

    @classmethod
    def of(cls, options: QueryOptions, quantization: Quantization, *, limits: StoreLimits, filtered: bool) -> Self:
        """What the options ask for, and our defaults for this kind of quantization where they ask for nothing: these
        are within the limits.
        """
        factor = OVERSAMPLING.get(quantization)
        if options.exact:
            return cls(True, None, None, None, factor is not None)
        usual = FILTERED_HNSW_EF if filtered else HNSW_EF
        ef = options.hnsw_ef or min(usual, limits.hnsw_ef or usual)
        acorn = ACORN_SELECTIVITY if filtered and options.hnsw_ef is None else None
        if factor is None:
            return cls(False, ef, None, None, False, acorn)
        rescore = True if options.rescore is None else options.rescore
        oversampling = options.oversampling or min(factor, limits.oversampling or factor)
        return cls(False, ef, rescore, oversampling, False, acorn)


@dataclass(frozen=True, slots=True, eq=False)
class QueryRequest:
    """A plain query: the `limit` best points after the first `offset`."""

    query: PlainQuery
    limit: int
    where: models.Filter | None
    params: SearchParams
    offset: int = 0
    threshold: float | None = None
    payload: Selection = False
    vectors: bool = False


@dataclass(frozen=True, slots=True)
class Indexes:
    """Payload fields and the types of their indexes. `without_phrases` are texts whose index, made by another program,
    finds words and no phrases, and `scored` those whose index ranks by BM25. `points` says how many passages each index
    holds, by the store's own estimate."""

    types: Mapping[str, IndexType]
    without_phrases: frozenset[str] = frozenset()
    points: Mapping[str, int] = field(default_factory=dict)
    scored: frozenset[str] = frozenset()

    @property
    def empty(self) -> frozenset[str]:
        """Fields whose index holds nothing: no passage has them, or none has a value of that type."""
        return frozenset(name for name, points in self.points.items() if not points)

    def find_as(self, other: Indexes) -> bool:
        """Whether filters and words find the same by these as by the others, and texts are ranked by the same, however
        many passages they hold."""
        return (self.types, self.without_phrases, self.empty, self.scored) == (
            other.types,
            other.without_phrases,
            other.empty,
            other.scored,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ServerRequest:
    """A request to a server as bytes. `path` is gRPC's method, or a path over REST (GET without a body).

    `read` makes the answer of its bytes, and raises WrongAnswerError for one to something else. Where it fails,
    `is_valid` says whether the bytes are what a Qdrant server answers.
    """

    doing: str
    path: str
    body: bytes
    read: Callable[[bytes], Any]
    is_valid: Callable[[bytes], bool] = bool
    params: Mapping[str, str] | None = None


class WrongAnswerError(ValueError):
    """An answer to something else than was asked."""


class Wire(Protocol[R_co]):
    """Makes the requests of one collection. Each answer is read where it arrives, and has the type that is named."""

    def query(self, queries: Sequence[QueryRequest], read: ReadOptions) -> R_co:
        """list[list[ScoredPoint]]."""
        ...

    def facet(self, field: str, *, where: models.Filter | None, limit: int, exact: bool, read: ReadOptions) -> R_co:
        """list[FacetCount]."""
        ...

    def scroll(
        self,
        *,
        where: models.Filter | None,
        start: PointId | None,
        order: OrderBy | None,
        limit: int,
        payload: Selection,
        vectors: bool,
        read: ReadOptions,
    ) -> R_co:
        """ScrollPage."""
        ...

    def retrieve(
        self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, sparse: bool, read: ReadOptions
    ) -> R_co:
        """list[ScoredPoint]."""
        ...

    def count(self, where: models.Filter | None, *, exact: bool, read: ReadOptions) -> R_co:
        """int."""
        ...

    def count_ids(self, ids: Sequence[PointId], *, read: ReadOptions) -> R_co:
        """int: of these different ids, those that are there."""
        ...

    def state(self) -> R_co:
        """State."""
        ...
