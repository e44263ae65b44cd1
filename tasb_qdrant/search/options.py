"""The options of both searchers' methods, said once; `ranking` makes values of those of a search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from tasb_qdrant.collection.reads.questions import Where

if TYPE_CHECKING:
    from tasb_qdrant.encoder import CrossEncoder
else:
    CrossEncoder = Any

Mode: TypeAlias = Literal["dense", "bm25", "hybrid"]
Fusion: TypeAlias = Literal["rrf", "dbsf"]
Strategy: TypeAlias = Literal["average_vector", "best_score", "sum_scores"]
Consistency: TypeAlias = int | Literal["majority", "quorum", "all"]
Filterable: TypeAlias = str | Where | bool
"""A bool is what type checkers take a comparison of `fields(Model)` for; a real one is refused."""


class LimitOptions(TypedDict, total=False):
    """How many hits."""

    limit: int
    """The most hits, or groups; 10 by default."""


class PartOptions(LimitOptions, total=False):
    """Which part of the ranked list."""

    offset: int
    """How many of the best hits to skip; 0 by default. Parts with the same `limit` are of one list."""


class ModeOptions(TypedDict, total=False):
    """How passages are ranked."""

    mode: Mode
    """Rank by vectors ("dense"), by words ("bm25"), or by both ("hybrid"); words need a collection with BM25, or an
    index of its texts that ranks."""

    fusion: Fusion
    """How hybrid fuses its two lists: "rrf" by reciprocal ranks, "dbsf" by normalised scores."""

    weights: Sequence[float] | None
    """How much the dense and the bm25 list count in a hybrid search with rrf; None counts both alike."""

    depth: int | None
    """Candidates of each hybrid list, or that `diversity` chooses from; None is 5 for each hit, at least 100 (1,000 for
    `search_pages`), whatever the offset. Of `boost`, those that are ranked anew; None is 500."""

    boost: str | None
    """Rank the best `depth` candidates anew, by a formula: `score * exp_decay(published, scale="30 days")`."""


class ParamOptions(TypedDict, total=False):
    """How thoroughly the store searches."""

    score_threshold: float | None
    """Leave out hits with a lower score."""

    exact: bool
    """Compare with every vector instead of using the index."""

    hnsw_ef: int | None
    """How many candidates the index keeps in mind: more find more, and take longer. None takes a good default."""

    rescore: bool | None
    """Whether the original vectors rescore what quantized ones found. None does what suits their kind."""

    oversampling: float | None
    """Quantized candidates for each hit, at least 1. None takes what suits their kind."""


class ReadingOptions(TypedDict, total=False):
    """How the collection is read."""

    timeout: float | None
    """Seconds for the whole call, encoding and retries included; None is the store's `read_timeout` for each answer."""

    consistency: Consistency | None
    """How many replicas of a cluster must agree: a number, "majority", "quorum" or "all"; None asks one."""


class HitOptions(ParamOptions, ReadingOptions, total=False):
    """Which passages become hits, and what of each."""

    where: Filterable | None
    """An `F(...)` expression, the same as text, or a qdrant_client filter."""

    with_payload: bool | Iterable[str]
    """Fetch the whole payload, none of it, or these fields."""

    with_text: bool
    """Fetch text and title, too."""

    with_vectors: bool
    """Fetch the hits' vectors."""


class MoreLikeThisOptions(LimitOptions, HitOptions, total=False):
    """Options of `more_like_this`."""


class RecommendOptions(PartOptions, HitOptions, total=False):
    """Options of `recommend`."""

    strategy: Strategy
    """How the examples count: averaged ("average_vector"), or each alone ("best_score", "sum_scores")."""


class RankedOptions(ModeOptions, HitOptions, total=False):
    """Options of every search by a query."""


class BestOptions(TypedDict, total=False):
    """How often a document comes."""

    best_per: str | None
    """Only the best passage of each value of this payload field, such as "doc_id"; those without one are left out."""


class PagesOptions(RankedOptions, BestOptions, total=False):
    """Options of `search_pages`; its timeout is for each page."""

    page_size: int
    """Hits on each page; 10 by default."""


class GroupsOptions(LimitOptions, RankedOptions, total=False):
    """Options of `search_groups`."""

    group_size: int
    """The most hits in a group; 3 by default."""


class SearchOptions(PartOptions, RankedOptions, BestOptions, total=False):
    """Options of `search` and `search_batch`."""

    diversity: float | None
    """Prefer hits that are unlike each other, out of `depth` candidates: from 0, not at all, to 1, that alone."""


class CountOptions(TypedDict, total=False):
    """Options of `count`."""

    exact: bool
    """Count exactly; else estimate, which is quicker."""

    timeout: float | None
    """Seconds for the whole call, retries included."""


class FacetOptions(LimitOptions, CountOptions, total=False):
    """Options of `facet`."""

    where: Filterable | None
    """Count only the passages that match this filter."""


class GetOptions(TypedDict, total=False):
    """Options of `get`."""

    with_vectors: bool
    """Fetch the vectors, too."""

    timeout: float | None
    """Seconds for the whole call, retries included."""


class ScrollOptions(GetOptions, total=False):
    """Options of `scroll`; its timeout is for each page."""

    order_by: str | None
    """Order by this payload field, which needs an index of numbers or datetimes; None is the order of point ids."""

    descending: bool
    """The largest values first."""

    page_size: int
    """Passages in each request; 256 by default, or as many as the server's strict mode allows."""

    with_payload: bool | Iterable[str]
    """Fetch the whole payload, none of it, or these fields."""


class RerankOptions(TypedDict, total=False):
    """Options of `rerank`."""

    limit: int | None
    """The most hits; None is all."""

    cross_encoder: CrossEncoder | None
    """Reads query and passage together, and has the last word on the best of them."""

    cross_depth: int
    """How many of the best the cross-encoder reads; 100 by default."""

    timeout: float | None
    """Seconds for the whole call, retries included."""
