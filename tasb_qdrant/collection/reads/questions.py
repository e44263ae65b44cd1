"""What a collection can be asked on the read path, and what it answers: values, the same for every store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.filters import Filter
from tasb_qdrant.records.path import qdrant_path
from tasb_qdrant.records.sparse import SparseVector
from tasb_qdrant.settings import checks

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

MAX_FACTOR: Final = float(np.finfo(np.float32).max)
"""Of oversampling: the stores keep it as a float32."""

Scalar: TypeAlias = str | int | float | bool

Selection: TypeAlias = bool | tuple[str, ...]
"""Payload: all of it, none, or these fields."""

Strategy: TypeAlias = Literal["average_vector", "best_score", "sum_scores"]
Agreement: TypeAlias = Literal["majority", "quorum", "all"]


def _set(frozen: object, **values: object) -> None:
    """The fields of a frozen value as they were checked: Python's own numbers in place of NumPy's."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)


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
class Words:
    """The points whose text in the payload field has these words, by BM25 over the field's text index."""

    text: str
    field: str


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """The lists of several queries as one: each prefetches its best `depth` points, `method` fuses them. What more
    candidates add comes after those.

    `weights`, one for each, are for rrf alone (reciprocal rank fusion, 1 / (k + rank) each); dbsf adds scores that the
    distribution of each list normalises.
    """

    prefetch: tuple[Nearest | Lexical | Words, ...]
    method: Literal["rrf", "dbsf"] = "rrf"
    weights: tuple[float, ...] | None = None
    k: int | None = None
    depth: int = DEPTH

    def __post_init__(self) -> None:
        _set(self, depth=checks.whole("depth", self.depth, least=1))
        if not self.prefetch:
            raise SettingsError("a fused query needs at least one prefetch, got none")
        if self.k is not None:
            _set(self, k=checks.whole("k", self.k, least=1))
        if self.weights is None:
            return
        if self.method != "rrf":
            raise SettingsError(f"weights are for rrf, and {self.method} has none; leave them out")
        if len(self.weights) != len(self.prefetch):
            raise SettingsError(
                f"weights are one number for each prefetch, {len(self.prefetch)} here, none below 0; got {self.weights}"
            )
        _set(
            self, weights=tuple(checks.number("a weight", each, "must be 0 or more", least=0) for each in self.weights)
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
        _set(
            self,
            candidates=checks.whole("candidates", self.candidates, least=1),
            diversity=checks.number("diversity", self.diversity, "is a number from 0 to 1", least=0, most=1),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Recommended:
    """Points like the positive examples and unlike the negative ones: ids of points, or vectors, float32 (dim,).

    The examples themselves are not returned. Strategies are Qdrant's.
    """

    positive: tuple[PointId | NDArray[np.float32], ...]
    negative: tuple[PointId | NDArray[np.float32], ...] = ()
    strategy: Strategy = "average_vector"

    def __post_init__(self) -> None:
        checks.choice("strategy", self.strategy, get_args(Strategy))
        if not self.positive and (self.strategy == "average_vector" or not self.negative):
            raise SettingsError(
                "a recommendation needs a positive example; with strategy best_score or sum_scores a negative one is "
                "enough"
            )


Query: TypeAlias = Nearest | Lexical | Words | Fused | Diverse | Recommended


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a read is carried out. `timeout` are seconds for all of it, retries included (None: the store's own);
    `consistency` how many replicas must agree: a number, "majority", "quorum" or "all" (None: one)."""

    timeout: float | None = None
    consistency: int | Agreement | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None:
            _set(self, timeout=checks.seconds("timeout", self.timeout))
        if isinstance(self.consistency, str):
            if self.consistency not in get_args(Agreement):
                raise SettingsError(
                    f"consistency is a number of replicas, 'majority', 'quorum' or 'all', got {self.consistency!r}"
                )
        elif self.consistency is not None:
            _set(self, consistency=checks.whole("consistency", self.consistency, least=1))


DEFAULT_READ: Final = ReadOptions()


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Which of the points near a query, and what of each.

    `exact` compares with every vector; `hnsw_ef` trades time for recall. `rescore` and `oversampling` say how
    quantized vectors are used (None: what suits their kind). `payload` is True for all of it, False for
    none, or the fields wanted, to which the caller adds the passage's id, text and title. A list that is read
    `in_parts` may have more points than strict mode allows in one answer.
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
    in_parts: bool = False

    def __post_init__(self) -> None:
        _set(
            self,
            limit=checks.whole("limit", self.limit, least=1),
            offset=checks.whole("offset", self.offset, least=0),
            exact=checks.flag("exact", self.exact),
            vectors=checks.flag("with_vectors", self.vectors),
        )
        if self.score_threshold is not None:
            least = checks.number("score_threshold", self.score_threshold, "must be a finite number")
            _set(self, score_threshold=least)
        if self.hnsw_ef is not None:
            _set(self, hnsw_ef=checks.whole("hnsw_ef", self.hnsw_ef, least=1))
        if self.rescore is not None:
            _set(self, rescore=checks.flag("rescore", self.rescore))
        if self.oversampling is not None:
            factor = checks.number("oversampling", self.oversampling, "must be at least 1", least=1, most=MAX_FACTOR)
            _set(self, oversampling=factor)


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

    def __post_init__(self) -> None:
        _set(self, field=qdrant_path(self.field))


@dataclass(frozen=True, slots=True, eq=False)
class ScrollPage:
    """Points, and where the next page starts: None after the last one. With an order, `order_values` has the
    value that each point is sorted by, and `following` is always None: `ordered` says how to go on."""

    points: Sequence[ScoredPoint]
    following: PointId | None
    order_values: Sequence[int | float] = ()
