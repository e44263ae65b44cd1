"""Qdrant's gRPC answers as ours: straight from the messages, which takes a third of qdrant-client's time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import BM25, ScoredPoint, ScrollPage
from tasb_qdrant.collection.reads.wire import WrongAnswerError
from tasb_qdrant.records import FacetCount
from tasb_qdrant.records.sparse import SparseVector


def read_query(answer: bytes, *, count: int, payload: bool) -> list[list[ScoredPoint]]:
    """Of a QueryBatchResponse that should have `count` lists. Raises WrongAnswerError."""
    results = grpc.QueryBatchResponse.FromString(answer).result
    if len(results) != count:
        raise WrongAnswerError(f"expected {count} lists, got {len(results)}")
    return [[_scored(point, point.score, payload) for point in batch.result] for batch in results]


def read_facet(answer: bytes) -> list[FacetCount]:
    """Of a FacetResponse. Raises WrongAnswerError."""
    hits = grpc.FacetResponse.FromString(answer).hits
    return [FacetCount(_one_of(hit.value, "variant"), hit.count) for hit in hits]


def read_scroll(answer: bytes, *, payload: bool, ordered: bool) -> ScrollPage:
    """Of a ScrollResponse, `ordered` by a field or not. Raises WrongAnswerError."""
    page = grpc.ScrollResponse.FromString(answer)
    following = _plain_id(page.next_page_offset) if page.HasField("next_page_offset") and not ordered else None
    values = [_one_of(point.order_value, "variant") for point in page.result] if ordered else []
    if not all(map(math.isfinite, values)):
        raise WrongAnswerError("expected finite numbers to order by")
    return ScrollPage([_scored(point, 0.0, payload) for point in page.result], following, values)


def read_points(answer: bytes, *, payload: bool) -> list[ScoredPoint]:
    """Of a GetResponse."""
    return [_scored(point, 0.0, payload) for point in grpc.GetResponse.FromString(answer).result]


def read_count(answer: bytes) -> int:
    """Of a CountResponse."""
    return int(grpc.CountResponse.FromString(answer).result.count)


def _scored(point: Any, score: float, payload: bool) -> ScoredPoint:
    fields = _payload(point.payload) if payload else None
    if not point.HasField("vectors"):
        return ScoredPoint(_plain_id(point.id), score, fields)
    given = point.vectors
    if given.HasField("vector"):
        return ScoredPoint(_plain_id(point.id), score, fields, _dense(given.vector))
    named = given.vectors.vectors
    dense = _dense(named[""]) if "" in named else None
    return ScoredPoint(_plain_id(point.id), score, fields, dense, _sparse(named[BM25]) if BM25 in named else None)


def _plain_id(point_id: Any) -> PointId:
    number: int = point_id.num
    return str(point_id.uuid) if not number and point_id.HasField("uuid") else number


def _payload(fields: Mapping[str, Any]) -> dict[str, Any]:
    # Most are strings that aren't empty, and need no look at their kind; `fields.items()` takes a third longer.
    return {name: (value := fields[name]).string_value or _value(value) for name in fields}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _payload(value.struct_value.fields)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _dense(output: Any) -> NDArray[np.float32] | None:
    """None for a vector that the point lacks."""
    if not output.HasField("dense"):  # servers up to 1.16
        return np.fromiter(output.data, dtype=np.float32) if output.data else None
    if not output.dense.data:
        return None
    # The numbers' own bytes are the end of the message: 768 in 1 µs, and one by one in 30.
    raw = output.dense.SerializeToString()
    return np.frombuffer(raw, dtype="<f4", offset=len(raw) - 4 * len(output.dense.data))


def _sparse(output: Any) -> SparseVector:
    # Servers up to 1.16 have both lists beside the dense one's numbers.
    indices, values = (
        (output.sparse.indices, output.sparse.values)
        if output.HasField("sparse")
        else (output.indices.data, output.data)
    )
    if len(indices) != len(values):
        raise WrongAnswerError(f"expected a value for each of {len(indices)} terms, got {len(values)}")
    return SparseVector(np.fromiter(indices, dtype=np.uint32), np.fromiter(values, dtype=np.float32))


def _one_of(message: Any, name: str) -> Any:
    """Raises WrongAnswerError for none."""
    if (kind := message.WhichOneof(name)) is None:
        raise WrongAnswerError(f"expected a {name}, got none")
    return getattr(message, kind)
