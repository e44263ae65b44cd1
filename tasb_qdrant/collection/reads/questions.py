"""What a collection can be asked on the read path, and what it answers: values, the same for every store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.filters import Filter
from tasb_qdrant.records.sparse import SparseVector

if TYPE_CHECKING:
    from qdrant_client import models  # 0.6 s to import: only the stores that need it do so

    Where: TypeAlias = Filter | models.Filter
    """A filter of ours, or one of qdrant-client's."""
else:
    Where: TypeAlias = Filter | Any

BM25: Final = "bm25"
"""The name of the sparse vector, beside the dense one, which has none."""

DEPTH: Final = 100
"""The fewest candidates that a query prefetches for fusion, and that a diverse one chooses from."""

Scalar: TypeAlias = str | int | float | bool

Selection: TypeAlias = bool | tuple[str, ...]
"""Payload: all of it, none, or these fields."""

MAX_COUNT: Final = 2**31 - 1
"""The largest limit, offset and hnsw_ef that both stores accept over every transport."""


def check_count(name: str, value: object, *, least: int) -> None:
    # True would pass for 1, and a float or a string fail deep inside a client.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_COUNT:
        raise SettingsError(
            f"{name} must be a whole number, at least {least} and at most {MAX_COUNT}, got {repr(value)[:100]}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The points whose dense vector has the largest dot product with `vector`, float32 (dim,)."""

    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Lexical:
    """The points whose sparse vector `bm25` matches these terms: `indices` uint32 and `values` float32, (n,)."""

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """The lists of several queries as one: each prefetches its best `depth` points, `method` fuses them. What more
    candidates add comes after those.

    `weights`, one for each, are for rrf alone (reciprocal rank fusion, 1 / (k + rank) each); dbsf adds scores that the
    distribution of each list normalises.
    """

    prefetch: tuple[Nearest | Lexical, ...]
    method: Literal["rrf", "dbsf"] = "rrf"
    weights: tuple[float, ...] | None = None
    k: int | None = None
    depth: int = DEPTH

    def __post_init__(self) -> None:
        check_count("depth", self.depth, least=1)
        if not self.prefetch:
            raise SettingsError("a fused query needs at least one prefetch, got none")
        if self.k is not None:
            check_count("k", self.k, least=1)
        if self.weights is None:
            return
        if self.method != "rrf":
            raise SettingsError(f"weights are for rrf, and {self.method} has none; leave them out")
        if len(self.weights) != len(self.prefetch) or not all(0 <= weight < math.inf for weight in self.weights):
            raise SettingsError(
                f"weights are one number for each prefetch, {len(self.prefetch)} here, none below 0; got {self.weights}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Diverse:
    """Points near to the query and unlike each other (maximal marginal relevance), out of `candidates`.

    `diversity` is from 0, only near the query, to 1, only unlike each other.
    """

    query: Nearest
    diversity: float
    candidates: int = DEPTH

    def __post_init__(self) -> None:
        check_count("candidates", self.candidates, least=1)
        if not 0 <= self.diversity <= 1:
            raise SettingsError(f"diversity is from 0 to 1, got {self.diversity!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Recommended:
    """Points like the positive examples and unlike the negative ones: ids of points, or vectors, float32 (dim,).

    The examples themselves are not returned. Strategies are Qdrant's.
    """

    positive: tuple[PointId | NDArray[np.float32], ...]
    negative: tuple[PointId | NDArray[np.float32], ...] = ()
    strategy: Literal["average_vector", "best_score", "sum_scores"] = "average_vector"

    def __post_init__(self) -> None:
        if not self.positive and (self.strategy == "average_vector" or not self.negative):
            raise SettingsError(
                "a recommendation needs a positive example; with strategy best_score or sum_scores a negative one is "
                "enough"
            )


Query: TypeAlias = Nearest | Lexical | Fused | Diverse | Recommended


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a read is carried out. `timeout` are seconds for all of it, retries included (None: the store's own);
    `consistency` how many replicas must agree: a number, "majority", "quorum" or "all" (None: one)."""

    timeout: float | None = None
    consistency: int | Literal["majority", "quorum", "all"] | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise SettingsError(f"timeout must be more than 0 seconds, got {self.timeout!r}")
        if isinstance(self.consistency, str) and self.consistency not in ("majority", "quorum", "all"):
            raise SettingsError(
                f"consistency is a number of replicas, 'majority', 'quorum' or 'all', got {self.consistency!r}"
            )
        if isinstance(self.consistency, int):
            check_count("consistency", self.consistency, least=1)


DEFAULT_READ: Final = ReadOptions()


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Which of the points near a query, and what of each.

    `exact` compares with every vector; `hnsw_ef` trades time for recall. `rescore` and `oversampling` say how
    quantized vectors are used (None: what suits their kind). `payload` is True for all of it, False for
    none, or the fields wanted, to which the caller adds the passage's id, text and title.
    """

    limit: int = 10
    offset: int = 0
    where: Where | None = None
    score_threshold: float | None = None
    exact: bool = False
    hnsw_ef: int | None = None
    rescore: bool | None = None
    oversampling: float | None = None
    payload: Selection = True
    vectors: bool = False
    read: ReadOptions = DEFAULT_READ

    def __post_init__(self) -> None:
        check_count("limit", self.limit, least=1)
        check_count("offset", self.offset, least=0)
        if self.hnsw_ef is not None:
            check_count("hnsw_ef", self.hnsw_ef, least=1)
        if self.oversampling is not None and not self.oversampling >= 1:
            raise SettingsError(f"oversampling must be at least 1, got {self.oversampling!r}")


@dataclass(slots=True, eq=False)  # not frozen: that takes 1.3 µs more for each, and a page has thousands
class ScoredPoint:
    """A point that was read, and its score: 0.0 unless it was found by a query.

    `payload`, `vector`, float32 (dim,), and `sparse` are None unless they were asked for; so is `sparse` of a point
    that has no sparse vector.
    """

    id: PointId
    score: float
    payload: Mapping[str, Any] | None = None
    vector: NDArray[np.float32] | None = None
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PointGroup:
    """The best points with one value of a field; groups come in the order of their best point."""

    value: str | int
    points: Sequence[ScoredPoint]


@dataclass(frozen=True, slots=True)
class OrderBy:
    """By the values of a payload field with a range index; points without one are left out."""

    field: str
    descending: bool = False
    start_from: int | float | str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScrollPage:
    """Points, and where the next page starts: None after the last one. With an order, `order_values` has the
    value that each point is sorted by, and `following` is always None: `ordered` says how to go on."""

    points: Sequence[ScoredPoint]
    following: PointId | None
    order_values: Sequence[int | float] = ()
