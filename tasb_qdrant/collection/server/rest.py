"""Questions as Qdrant's JSON, and its answers as ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import TypeAdapter
from qdrant_client import models
from qdrant_client.http import models as http

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import (
    BM25,
    Lexical,
    Nearest,
    OrderBy,
    ReadOptions,
    ScoredPoint,
    ScrollPage,
    Selection,
)
from tasb_qdrant.collection.reads.wire import PlainQuery, QueryRequest, SearchParams, ServerRequest, WrongAnswerError
from tasb_qdrant.collection.server.doubles import exactly
from tasb_qdrant.collection.server.state import rest_state
from tasb_qdrant.records import FacetCount
from tasb_qdrant.records.sparse import SparseVector


class RestWire:
    """The requests of one collection, of the server at `location`."""

    def __init__(self, collection: str, location: str) -> None:
        self._name = collection
        self._location = location
        self._path = f"/collections/{quote(collection, safe='')}"

    def query(self, queries: Sequence[QueryRequest], read: ReadOptions) -> ServerRequest:
        """POST points/query/batch."""
        body = {"searches": [_find(request) for request in queries]}
        return self._post(
            "searching",
            "points/query/batch",
            body,
            partial(_read_query, count=len(queries)),
            read,
            list[http.QueryResponse],
        )

    def facet(
        self, field: str, *, where: models.Filter | None, limit: int, exact: bool, read: ReadOptions
    ) -> ServerRequest:
        """POST facet."""
        body = {"key": field, "limit": limit, "exact": exact, "filter": _filter(where)}
        return self._post("counting values", "facet", body, _read_facet, read, models.FacetResponse)

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
        """POST points/scroll."""
        body = {
            "filter": _filter(where),
            "offset": start,
            "limit": limit,
            "order_by": None if order is None else _order(order),
            **_shown(payload, vectors=vectors),
        }
        return self._post("reading by pages", "points/scroll", body, _read_scroll, read, models.ScrollResult)

    def retrieve(
        self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, sparse: bool, read: ReadOptions
    ) -> ServerRequest:
        """POST points."""
        body = {"ids": ids, **_shown(payload, vectors=vectors, sparse=sparse)}
        return self._post("reading passages", "points", body, _read_points, read, list[models.Record])

    def count(self, where: models.Filter | None, *, exact: bool, read: ReadOptions) -> ServerRequest:
        """POST points/count."""
        body = {"filter": _filter(where), "exact": exact}
        return self._post(
            "counting", "points/count", body, lambda result: int(result["count"]), read, models.CountResult
        )

    def state(self) -> ServerRequest:
        """GET the collection."""
        return ServerRequest(
            "reading the collection's state",
            self._path,
            b"",
            lambda answer: rest_state(_result(answer), name=self._name, location=self._location),
            partial(_is_valid, models.CollectionInfo),
        )

    def _post(
        self,
        doing: str,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[Any], Any],
        options: ReadOptions,
        kind: Any,
    ) -> ServerRequest:
        """`kind` is what qdrant-client takes the result for."""
        raw = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        return ServerRequest(
            doing,
            f"{self._path}/{path}",
            raw,
            lambda answer: read(_result(answer)),
            partial(_is_valid, kind),
            _parameters(options),
        )


def _parameters(read: ReadOptions) -> dict[str, str]:
    parameters = {} if read.timeout is None else {"timeout": str(math.ceil(read.timeout))}
    return parameters if read.consistency is None else {**parameters, "consistency": str(read.consistency)}


def _find(request: QueryRequest) -> dict[str, Any]:
    body = {
        "query": _query(request.query),
        "filter": _filter(request.where),
        "params": _params(request.params),
        "score_threshold": request.threshold,
        "limit": request.limit,
        **_shown(request.payload, vectors=request.vectors),
    }
    if request.offset:
        body["offset"] = request.offset
    if isinstance(request.query, Lexical):
        body["using"] = BM25
    return body


def _query(query: PlainQuery) -> Any:
    match query:
        case Nearest(vector):
            return _numbers(vector)
        case Lexical(indices, values):
            return {"indices": indices.tolist(), "values": values.tolist()}
    return {
        "recommend": {
            "positive": [_example(each) for each in query.positive],
            "negative": [_example(each) for each in query.negative],
            "strategy": query.strategy,
        }
    }


def _numbers(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(vector, dtype=np.float32)


def _example(example: PointId | NDArray[np.float32]) -> Any:
    return _numbers(example) if isinstance(example, np.ndarray) else example


def _filter(where: models.Filter | None) -> dict[str, Any] | None:
    if where is None:
        return None
    dumped: dict[str, Any] = exactly(where.model_dump(mode="json", by_alias=True, exclude_none=True))
    return dumped


def _params(params: SearchParams) -> dict[str, Any]:
    body: dict[str, Any] = {"exact": params.exact, "hnsw_ef": params.hnsw_ef}
    if params.ignore_quantized:
        body["quantization"] = {"ignore": True}
    elif params.rescore is not None or params.oversampling is not None:
        body["quantization"] = {"rescore": params.rescore, "oversampling": params.oversampling}
    if params.acorn is not None:
        body["acorn"] = {"enable": True, "max_selectivity": params.acorn}
    return body


def _shown(payload: Selection, *, vectors: bool, sparse: bool = False) -> dict[str, Any]:
    # Vectors by name: the dense one has none.
    return {"with_payload": payload, "with_vector": [*([""] if vectors else []), *([BM25] if sparse else [])] or False}


def _order(order: OrderBy) -> dict[str, Any]:
    direction = "desc" if order.descending else "asc"
    return {"key": order.field, "direction": direction, "start_from": exactly(order.start_from)}


def _result(answer: bytes) -> Any:
    return orjson.loads(answer)["result"]


def _is_valid(kind: Any, answer: bytes) -> bool:
    try:
        TypeAdapter(kind).validate_python(_result(answer))
    except (LookupError, TypeError, ValueError):
        return False
    return True


def _read_query(result: Any, *, count: int) -> list[list[ScoredPoint]]:
    if len(result) != count:
        raise WrongAnswerError(f"expected {count} lists, got {len(result)}")
    return [[_scored(point) for point in answer["points"]] for answer in result]


def _read_facet(result: Any) -> list[FacetCount]:
    return [FacetCount(hit["value"], hit["count"]) for hit in result["hits"]]


def _read_scroll(result: Any) -> ScrollPage:
    points = result["points"]
    ordered = [point["order_value"] for point in points if point.get("order_value") is not None]
    return ScrollPage([_scored(point) for point in points], result["next_page_offset"], ordered)


def _read_points(result: Any) -> list[ScoredPoint]:
    return [_scored(point) for point in result]


def _scored(point: Mapping[str, Any]) -> ScoredPoint:
    vector, sparse = _read_vectors(point.get("vector"))
    return ScoredPoint(point["id"], point.get("score", 0.0), point.get("payload"), vector, sparse)


def _read_vectors(given: Any) -> tuple[NDArray[np.float32] | None, SparseVector | None]:
    """The dense vector, alone or under no name, and the sparse one: None for a vector that the point lacks."""
    sparse = None
    if isinstance(given, dict):
        found = given.get(BM25)
        given = given.get("")
        if found is not None:
            indices = np.asarray(found["indices"], dtype=np.uint32)
            sparse = SparseVector(indices, np.asarray(found["values"], dtype=np.float32))
    return (np.asarray(given, dtype=np.float32) if given else None), sparse
