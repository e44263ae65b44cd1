"""Questions as the embedded engine's requests, and its answers as ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from tasb_qdrant.collection.edge.engine import indexes_of
from tasb_qdrant.collection.edge.vectors import read_vectors, sequence
from tasb_qdrant.collection.payload import plain_id
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.last import LastFilter
from tasb_qdrant.collection.reads.questions import (
    BM25,
    Lexical,
    Nearest,
    OrderBy,
    ReadOptions,
    Recommended,
    ScoredPoint,
    ScrollPage,
    Selection,
    Words,
)
from tasb_qdrant.collection.reads.state import State
from tasb_qdrant.collection.reads.wire import Indexes, QueryRequest, SearchParams
from tasb_qdrant.errors import RequestRefusedError
from tasb_qdrant.records import FacetCount

if TYPE_CHECKING:
    from qdrant_client import models


@dataclass(frozen=True, slots=True, eq=False)
class EdgeRequest:
    """What is done with the shard when its turn comes."""

    doing: str
    run: Callable[[edge.EdgeShard], Any]


class EdgeWire:
    """The requests of one collection. Read consistency is ignored: there are no replicas."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._filter = LastFilter(_converted)

    def query(self, queries: Sequence[QueryRequest], read: ReadOptions) -> EdgeRequest:
        """All in one batch."""

        def run(shard: edge.EdgeShard) -> list[list[ScoredPoint]]:
            answers = shard.query_batch(
                edge.QueryBatchRequest([_request(request, self._filter(request.where), shard) for request in queries])
            )
            return [
                [
                    _with_vectors(point, point.score)
                    if request.vectors
                    else ScoredPoint(plain_id(point.id), point.score, point.payload)
                    for point in points
                ]
                for request, points in zip(queries, answers, strict=True)
            ]

        return EdgeRequest("searching", run)

    def facet(
        self, field: str, *, where: models.Filter | None, limit: int, exact: bool, read: ReadOptions
    ) -> EdgeRequest:
        """The hits of a FacetResponse."""

        def run(shard: edge.EdgeShard) -> list[FacetCount]:
            request = edge.FacetRequest(field, limit=limit, exact=exact, filter=self._filter(where))
            return [FacetCount(hit.value, hit.count) for hit in shard.facet(request).hits]

        return EdgeRequest("counting values", run)

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
    ) -> EdgeRequest:
        """A page."""

        def run(shard: edge.EdgeShard) -> ScrollPage:
            records, following = shard.scroll(
                edge.ScrollRequest(
                    offset=start,
                    limit=limit,
                    filter=self._filter(where),
                    with_payload=_selected(payload),
                    with_vector=_vectors(vectors),
                    order_by=None if order is None else _order(order),
                )
            )
            ordered = [record.order_value for record in records if record.order_value is not None]
            following = None if order is not None or following is None else plain_id(following)
            return ScrollPage(_points(records, vectors=vectors), following, ordered)

        return EdgeRequest("reading by pages", run)

    def retrieve(
        self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, sparse: bool, read: ReadOptions
    ) -> EdgeRequest:
        """The records of these ids."""
        wanted = _vectors(vectors, sparse=sparse)

        def run(shard: edge.EdgeShard) -> list[ScoredPoint]:
            records = shard.retrieve(list(ids), with_payload=_selected(payload), with_vector=wanted)
            return _points(records, vectors=bool(wanted))

        return EdgeRequest("reading stored passages", run)

    def count(self, where: models.Filter | None, *, exact: bool, read: ReadOptions) -> EdgeRequest:
        """The number."""

        def run(shard: edge.EdgeShard) -> int:
            return shard.count(edge.CountRequest(exact=exact, filter=self._filter(where)))

        return EdgeRequest("counting", run)

    def count_ids(self, ids: Sequence[PointId], *, read: ReadOptions) -> EdgeRequest:
        """The number."""

        def run(shard: edge.EdgeShard) -> int:
            return int(
                shard.count(edge.CountRequest(exact=True, filter=edge.Filter(must=[edge.HasIdCondition(set(ids))])))
            )

        return EdgeRequest("looking for passages", run)

    def state(self) -> EdgeRequest:
        """What it was when it was opened, which nobody else changes, but for the indexes."""
        return EdgeRequest(
            "reading the collection's state", lambda shard: replace(self._state, indexes=_indexes(shard.info()))
        )


def _indexes(described: edge.ShardInfo) -> Indexes:
    types = indexes_of(described)
    schema = described.payload_schema
    params = {field: schema[field].params for field in types}
    scored = {field for field, one in params.items() if isinstance(one, edge.TextIndexParams) and one.scoring}
    return Indexes(types, points={field: schema[field].points for field in types}, scored=frozenset(scored))


def _request(request: QueryRequest, where: edge.Filter | None, shard: edge.EdgeShard) -> edge.QueryRequest:
    query, where = _query(request, where, shard)
    return edge.QueryRequest(
        limit=request.limit,
        offset=request.offset,
        query=query,
        filter=where,
        score_threshold=request.threshold,
        params=_params(request.params),
        with_payload=_selected(request.payload),
        with_vector=_vectors(request.vectors),
    )


def _query(request: QueryRequest, where: edge.Filter | None, shard: edge.EdgeShard) -> tuple[Any, edge.Filter | None]:
    """The query, and the filter that goes with it."""
    match request.query:
        case Nearest(vector):
            return edge.Query.Nearest(sequence(vector)), where
        case Lexical(indices, values):
            return edge.Query.Nearest(edge.SparseVector(indices.tolist(), values.tolist()), BM25), where
        case Words(text, field):
            return edge.TextQuery(field, text), where
    return _recommended(request.query, shard), _without(where, request.query)


def _recommended(query: Recommended, shard: edge.EdgeShard) -> Any:
    """As servers do it: the engine takes no examples by id, and has no average."""
    wanted = [each for each in (*query.positive, *query.negative) if not isinstance(each, np.ndarray)]
    records = shard.retrieve(list(dict.fromkeys(wanted)), with_payload=False, with_vector=[""]) if wanted else []
    read = {plain_id(record.id): read_vectors(record.vector)[0] for record in records}
    stored = {each: vector for each, vector in read.items() if vector is not None}
    if missing := [each for each in wanted if each not in stored]:
        what = "is stored without its vector" if missing[0] in read else "isn't there"
        raise RequestRefusedError(
            f"the passage with the point id {missing[0]} {what}, so that nothing can be found that is like it"
        )

    def vectors(examples: Sequence[PointId | NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        return [each if isinstance(each, np.ndarray) else stored[each] for each in examples]

    positive, negative = vectors(query.positive), vectors(query.negative)
    if query.strategy == "average_vector":
        mean = np.mean(positive, axis=0)
        if negative:
            mean = mean + mean - np.mean(negative, axis=0)
        return edge.Query.Nearest(sequence(mean.astype(np.float32)))
    request = edge.RecommendQuery([sequence(v) for v in positive], [sequence(v) for v in negative])
    if query.strategy == "best_score":
        return edge.Query.RecommendBestScore(request)
    return edge.Query.RecommendSumScores(request)


def _without(where: edge.Filter | None, query: Recommended) -> edge.Filter | None:
    """The filter, less the examples."""
    examples = (*query.positive, *query.negative)
    ids: set[int | UUID | str] = {each for each in examples if not isinstance(each, np.ndarray)}
    if not ids:
        return where
    return edge.Filter(must=None if where is None else [where], must_not=[edge.HasIdCondition(ids)])


def _converted(where: models.Filter) -> edge.Filter:
    # Imported here since it brings in qdrant-client, 0.6 s that a search without a filter shouldn't wait for.
    from tasb_qdrant.collection.edge.filters import to_edge

    return to_edge(where)


def _params(params: SearchParams) -> edge.SearchParams:
    quantization = None
    if params.ignore_quantized:
        quantization = edge.QuantizationSearchParams(ignore=True)
    elif params.rescore is not None or params.oversampling is not None:
        quantization = edge.QuantizationSearchParams(rescore=params.rescore, oversampling=params.oversampling)
    acorn = None if params.acorn is None else edge.AcornSearchParams(enable=True, max_selectivity=params.acorn)
    return edge.SearchParams(exact=params.exact, hnsw_ef=params.hnsw_ef, quantization=quantization, acorn=acorn)


def _selected(payload: Selection) -> bool | list[str]:
    return payload if isinstance(payload, bool) else list(payload)


def _vectors(dense: bool, *, sparse: bool = False) -> bool | list[str]:
    """By name: the dense one has none."""
    return [*([""] if dense else []), *([BM25] if sparse else [])] or False


def _order(order: OrderBy) -> edge.OrderBy:
    direction = edge.Direction.Desc if order.descending else edge.Direction.Asc
    return edge.OrderBy(order.field, direction, order.start_from)


def _points(records: Sequence[edge.Record], *, vectors: bool) -> list[ScoredPoint]:
    if vectors:
        return [_with_vectors(record, 0.0) for record in records]
    return [ScoredPoint(plain_id(record.id), 0.0, record.payload) for record in records]


def _with_vectors(point: edge.ScoredPoint | edge.Record, score: float) -> ScoredPoint:
    vector, sparse = read_vectors(point.vector)
    return ScoredPoint(plain_id(point.id), score, point.payload, vector, sparse)
