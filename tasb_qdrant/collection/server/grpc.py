"""Questions as Qdrant's gRPC messages, made without a model of qdrant-client's for each part."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc, models

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.last import LastFilter
from tasb_qdrant.collection.reads.questions import BM25, Lexical, Nearest, OrderBy, ReadOptions, Selection, Words
from tasb_qdrant.collection.reads.wire import PlainQuery, QueryRequest, SearchParams, ServerRequest
from tasb_qdrant.collection.server.edits import grpc_id
from tasb_qdrant.collection.server.filters import grpc_filter
from tasb_qdrant.collection.server.grpc_answers import (
    read_count,
    read_facet,
    read_points,
    read_query,
    read_scroll,
)
from tasb_qdrant.collection.server.state import grpc_state

_STRATEGIES: Final = {
    "average_vector": grpc.RecommendStrategy.AverageVector,
    "best_score": grpc.RecommendStrategy.BestScore,
    "sum_scores": grpc.RecommendStrategy.SumScores,
}
_AGREEING: Final = {
    "majority": grpc.ReadConsistencyType.Majority,
    "quorum": grpc.ReadConsistencyType.Quorum,
    "all": grpc.ReadConsistencyType.All,
}


class GrpcWire:
    """The requests of one collection, of the server at `location`."""

    def __init__(self, collection: str, location: str) -> None:
        self._name = collection
        self._location = location
        self._filter = LastFilter(grpc_filter)

    def query(self, queries: Sequence[QueryRequest], read: ReadOptions) -> ServerRequest:
        """Points.QueryBatch."""
        points = [self._find(request) for request in queries]
        message = grpc.QueryBatchPoints(collection_name=self._name, query_points=points, **_read(read))
        return _request(
            "searching",
            "QueryBatch",
            message,
            partial(read_query, count=len(queries), payload=any(request.payload is not False for request in queries)),
        )

    def facet(
        self, field: str, *, where: models.Filter | None, limit: int, exact: bool, read: ReadOptions
    ) -> ServerRequest:
        """Points.Facet."""
        message = grpc.FacetCounts(
            collection_name=self._name, key=field, filter=self._filter(where), limit=limit, exact=exact, **_read(read)
        )
        return _request("counting values", "Facet", message, read_facet)

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
    ) -> ServerRequest:
        """Points.Scroll."""
        message = grpc.ScrollPoints(
            collection_name=self._name,
            filter=self._filter(where),
            offset=None if start is None else grpc_id(start),
            limit=limit,
            order_by=None if order is None else _order(order),
            with_payload=_payload(payload),
            with_vectors=_vectors(vectors),
            **_read(read),
        )
        return _request(
            "reading by pages",
            "Scroll",
            message,
            partial(read_scroll, payload=payload is not False, ordered=order is not None),
        )

    def retrieve(
        self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, sparse: bool, read: ReadOptions
    ) -> ServerRequest:
        """Points.Get."""
        message = grpc.GetPoints(
            collection_name=self._name,
            ids=[grpc_id(each) for each in ids],
            with_payload=_payload(payload),
            with_vectors=_vectors(vectors, sparse=sparse),
            **_read(read),
        )
        return _request("reading passages", "Get", message, partial(read_points, payload=payload is not False))

    def count(self, where: models.Filter | None, *, exact: bool, read: ReadOptions) -> ServerRequest:
        """Points.Count."""
        message = grpc.CountPoints(collection_name=self._name, filter=self._filter(where), exact=exact, **_read(read))
        return _request("counting", "Count", message, read_count)

    def count_ids(self, ids: Sequence[PointId], *, read: ReadOptions) -> ServerRequest:
        """Points.Count of has_id."""
        # As bytes, each id a message within the list (field 1): an object for each takes three times as long.
        listed = b"".join(b"\x0a%c%b" % (len(each), each) for each in map(_id_bytes, ids))
        condition = grpc.Condition(has_id=grpc.HasIdCondition.FromString(listed))
        message = grpc.CountPoints(
            collection_name=self._name, filter=grpc.Filter(must=[condition]), exact=True, **_read(read)
        )
        return _request("looking for passages", "Count", message, read_count)

    def state(self) -> ServerRequest:
        """Collections.Get."""
        message = grpc.GetCollectionInfoRequest(collection_name=self._name)
        return ServerRequest(
            "reading the collection's state",
            "/qdrant.Collections/Get",
            message.SerializeToString(),
            partial(grpc_state, name=self._name, location=self._location),
        )

    def _find(self, request: QueryRequest) -> grpc.QueryPoints:
        return grpc.QueryPoints(
            collection_name=self._name,
            query=_query(request.query),
            using=_using(request.query),
            filter=self._filter(request.where),
            params=_params(request.params),
            score_threshold=request.threshold,
            limit=request.limit,
            offset=request.offset or None,
            with_payload=_payload(request.payload),
            with_vectors=_vectors(request.vectors),
        )


def _id_bytes(point_id: PointId) -> bytes:
    """A PointId message: a UUID is a string (field 2)."""
    if isinstance(point_id, int):
        return bytes(grpc_id(point_id).SerializeToString())
    return b"\x12%c%b" % (len(point_id), point_id.encode())


def _request(doing: str, method: str, message: Any, read: Callable[[bytes], Any]) -> ServerRequest:
    return ServerRequest(doing, f"/qdrant.Points/{method}", message.SerializeToString(), read)


def _query(query: PlainQuery) -> grpc.Query:
    match query:
        case Nearest(vector):
            return grpc.Query(nearest=_dense(vector))
        case Lexical(indices, values):
            sparse = grpc.SparseVector(values=values.tolist(), indices=indices.tolist())
            return grpc.Query(nearest=grpc.VectorInput(sparse=sparse))
        case Words(text):
            return grpc.Query(text=grpc.TextQuery(query=text))
    return grpc.Query(
        recommend=grpc.RecommendInput(
            positive=[_example(each) for each in query.positive],
            negative=[_example(each) for each in query.negative],
            strategy=_STRATEGIES[query.strategy],
        )
    )


def _using(query: PlainQuery) -> str | None:
    """The name of the vector or the field; the dense vector has none."""
    if isinstance(query, Words):
        return query.field
    return BM25 if isinstance(query, Lexical) else None


def _dense(vector: NDArray[np.float32]) -> grpc.VectorInput:
    # From the numbers' own bytes: 768 in 1 µs, and one by one in 20.
    raw = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return grpc.VectorInput(dense=grpc.DenseVector.FromString(b"\x0a" + _varint(len(raw)) + raw))


def _varint(number: int) -> bytes:
    low = number & 0x7F
    return bytes((low,)) if number < 0x80 else bytes((low | 0x80,)) + _varint(number >> 7)


def _example(example: PointId | NDArray[np.float32]) -> grpc.VectorInput:
    return _dense(example) if isinstance(example, np.ndarray) else grpc.VectorInput(id=grpc_id(example))


def _params(params: SearchParams) -> grpc.SearchParams:
    quantization = None
    if params.ignore_quantized:
        quantization = grpc.QuantizationSearchParams(ignore=True)
    elif params.rescore is not None or params.oversampling is not None:
        quantization = grpc.QuantizationSearchParams(rescore=params.rescore, oversampling=params.oversampling)
    acorn = None if params.acorn is None else grpc.AcornSearchParams(enable=True, max_selectivity=params.acorn)
    return grpc.SearchParams(exact=params.exact, hnsw_ef=params.hnsw_ef, quantization=quantization, acorn=acorn)


def _payload(selection: Selection) -> grpc.WithPayloadSelector:
    if isinstance(selection, bool):
        return grpc.WithPayloadSelector(enable=selection)
    return grpc.WithPayloadSelector(include=grpc.PayloadIncludeSelector(fields=selection))


def _vectors(dense: bool, *, sparse: bool = False) -> grpc.WithVectorsSelector | None:
    """By name: the dense one has none."""
    names = [*([""] if dense else []), *([BM25] if sparse else [])]
    return grpc.WithVectorsSelector(include=grpc.VectorsSelector(names=names)) if names else None


def _order(order: OrderBy) -> grpc.OrderBy:
    start = order.start_from
    if isinstance(start, str):
        start_from = grpc.StartFrom(datetime=start)
    elif start is not None:
        start_from = grpc.StartFrom(integer=start) if isinstance(start, int) else grpc.StartFrom(float=start)
    return grpc.OrderBy(
        key=order.field,
        direction=grpc.Direction.Desc if order.descending else grpc.Direction.Asc,
        start_from=None if start is None else start_from,
    )


def _read(read: ReadOptions) -> dict[str, Any]:
    """The two fields that every request has."""
    fields: dict[str, Any] = {}
    if read.timeout is not None:
        fields["timeout"] = math.ceil(read.timeout)
    if (agree := read.consistency) is not None:
        fields["read_consistency"] = (
            grpc.ReadConsistency(factor=agree)
            if isinstance(agree, int)
            else grpc.ReadConsistency(type=_AGREEING[agree])
        )
    return fields
