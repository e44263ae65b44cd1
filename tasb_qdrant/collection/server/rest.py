"""Questions as Qdrant's JSON."""

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
from tasb_qdrant.collection.reads.last import LastFilter
from tasb_qdrant.collection.reads.questions import (
    BM25,
    Lexical,
    Nearest,
    OrderBy,
    ReadOptions,
    Selection,
    Words,
)
from tasb_qdrant.collection.reads.wire import PlainQuery, QueryRequest, SearchParams, ServerRequest
from tasb_qdrant.collection.server.doubles import exactly
from tasb_qdrant.collection.server.filters import rest_filter
from tasb_qdrant.collection.server.rest_answers import (
    read_count,
    read_facet,
    read_points,
    read_query,
    read_result,
    read_scroll,
)
from tasb_qdrant.collection.server.state import rest_state


class RestWire:
    """The requests of one collection, of the server at `location`."""

    def __init__(self, collection: str, location: str) -> None:
        self._name = collection
        self._location = location
        self._path = f"/collections/{quote(collection, safe='')}"
        self._filter = LastFilter(lambda where: exactly(rest_filter(where)))

    def query(self, queries: Sequence[QueryRequest], read: ReadOptions) -> ServerRequest:
        """POST points/query/batch."""
        body = {"searches": [self._find(request) for request in queries]}
        return self._post(
            "searching",
            "points/query/batch",
            body,
            partial(read_query, count=len(queries)),
            read,
            list[http.QueryResponse],
        )

    def facet(
        self, field: str, *, where: models.Filter | None, limit: int, exact: bool, read: ReadOptions
    ) -> ServerRequest:
        """POST facet."""
        body = {"key": field, "limit": limit, "exact": exact, "filter": self._filter(where)}
        return self._post("counting values", "facet", body, read_facet, read, models.FacetResponse)

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
            "filter": self._filter(where),
            "offset": start,
            "limit": limit,
            "order_by": None if order is None else _order(order),
            **_shown(payload, vectors=vectors),
        }
        return self._post(
            "reading by pages",
            "points/scroll",
            body,
            partial(read_scroll, ordered=order is not None),
            read,
            models.ScrollResult,
        )

    def retrieve(
        self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, sparse: bool, read: ReadOptions
    ) -> ServerRequest:
        """POST points."""
        body = {"ids": ids, **_shown(payload, vectors=vectors, sparse=sparse)}
        return self._post("reading passages", "points", body, read_points, read, list[models.Record])

    def count(self, where: models.Filter | None, *, exact: bool, read: ReadOptions) -> ServerRequest:
        """POST points/count."""
        body = {"filter": self._filter(where), "exact": exact}
        return self._post("counting", "points/count", body, read_count, read, models.CountResult)

    def count_ids(self, ids: Sequence[PointId], *, read: ReadOptions) -> ServerRequest:
        """POST points/count of has_id."""
        body = {"filter": {"must": [{"has_id": ids}]}, "exact": True}
        return self._post("looking for passages", "points/count", body, read_count, read, models.CountResult)

    def state(self) -> ServerRequest:
        """GET the collection."""
        return ServerRequest(
            "reading the collection's state",
            self._path,
            b"",
            lambda answer: rest_state(answer, name=self._name, location=self._location),
            partial(_is_valid, models.CollectionInfo),
        )

    def _find(self, request: QueryRequest) -> dict[str, Any]:
        body = {
            "query": _query(request.query),
            "filter": self._filter(request.where),
            "params": _params(request.params),
            "score_threshold": request.threshold,
            "limit": request.limit,
            **_shown(request.payload, vectors=request.vectors),
        }
        if request.offset:
            body["offset"] = request.offset
        if isinstance(request.query, Lexical):
            body["using"] = BM25
        if isinstance(request.query, Words):
            body["using"] = request.query.field
        return body

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
            lambda answer: read(read_result(answer)),
            partial(_is_valid, kind),
            _parameters(options),
        )


def _parameters(read: ReadOptions) -> dict[str, str]:
    parameters = {} if read.timeout is None else {"timeout": str(math.ceil(read.timeout))}
    return parameters if read.consistency is None else {**parameters, "consistency": str(read.consistency)}


def _query(query: PlainQuery) -> Any:
    match query:
        case Nearest(vector):
            return _numbers(vector)
        case Lexical(indices, values):
            return {"indices": indices.tolist(), "values": values.tolist()}
        case Words(text):
            return {"text": text}
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


def _is_valid(kind: Any, answer: bytes) -> bool:
    try:
        TypeAdapter(kind).validate_python(read_result(answer))
    except (LookupError, TypeError, ValueError):
        return False
    return True
