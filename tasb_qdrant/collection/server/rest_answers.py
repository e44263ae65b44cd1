"""Qdrant's JSON answers as ours.

What answers at an address may not be Qdrant, or no longer: every value is looked at before it is taken for what it
should be. What isn't is a WrongAnswerError, and never anything else further on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import BM25, ScoredPoint, ScrollPage
from tasb_qdrant.collection.reads.wire import WrongAnswerError
from tasb_qdrant.collection.server.failure import JunkAnswerError
from tasb_qdrant.records import FacetCount
from tasb_qdrant.records.json_values import is_deeper
from tasb_qdrant.records.sparse import SparseVector

_DEEPEST: Final = 200
"""Lists and objects within each other. A server takes 128 at most, and who walks through more may never end."""

_READ_BY_CLIENT: Final = (200, 201, 202)

_TOO_WIDE: Final = 2.0**128 - 2.0**103
"""From here on the nearest float32 is infinite. A server writes the greatest as 3.4028235e38, a little more than it is
as a double."""


def checked(request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
    """qdrant-client's middleware: a good answer is JSON that the client can read. Its own reading of any other may end
    in whatever Python's does, such as a RecursionError. Raises orjson.JSONDecodeError, JunkAnswerError."""
    answer = send(request)
    if answer.status_code in _READ_BY_CLIENT:
        try:
            read_json(answer.content)
        except WrongAnswerError as error:
            raise JunkAnswerError("its answer is not Qdrant's") from error
    return answer


def read_json(answer: bytes) -> Any:
    """What the answer says, which is neither nested without end nor has numbers beyond a double's. For answers that
    are small: each value is looked at. Raises orjson.JSONDecodeError, WrongAnswerError."""
    found = orjson.loads(answer)
    _check_depth([found])
    return found


def read_result(answer: bytes) -> Any:
    """The result of an answer, which is still to be read. Raises orjson.JSONDecodeError, WrongAnswerError."""
    return _member(_object(orjson.loads(answer)), "result")


def read_query(result: Any, *, count: int) -> list[list[ScoredPoint]]:
    """Of the answer to `count` queries: for each its points."""
    if len(_list(result)) != count:
        raise WrongAnswerError(f"expected {count} lists, got {len(result)}")
    return [[_scored(point, ranked=True) for point in _points_of(answer)] for answer in result]


def read_facet(result: Any) -> list[FacetCount]:
    """Of the answer to a facet."""
    hits = [_object(hit) for hit in _list(_member(_object(result), "hits"))]
    return [FacetCount(_value(hit.get("value")), _whole(hit.get("count"))) for hit in hits]


def read_scroll(result: Any, *, ordered: bool) -> ScrollPage:
    """Of the answer to a scroll, `ordered` by a field or not."""
    points, following = _points_of(result), result.get("next_page_offset")
    values = [_number(point.get("order_value")) for point in points] if ordered else []
    read = [_scored(point) for point in points]
    return ScrollPage(read, None if ordered or following is None else _id(following), values)


def read_points(result: Any) -> list[ScoredPoint]:
    """Of the answer to a retrieval."""
    return [_scored(_object(point)) for point in _list(result)]


def read_count(result: Any) -> int:
    """Of the answer to a count."""
    return _whole(_object(result).get("count"))


def _points_of(result: Any) -> list[Mapping[str, Any]]:
    return [_object(point) for point in _list(_member(_object(result), "points"))]


def _scored(point: Mapping[str, Any], *, ranked: bool = False) -> ScoredPoint:
    score = _score(point.get("score")) if ranked else 0.0
    payload = point.get("payload")
    if payload is not None:
        _check_depth(_object(payload).values())
    vector, sparse = _read_vectors(point.get("vector"))
    return ScoredPoint(_id(point.get("id")), score, payload, vector, sparse)


def _read_vectors(given: Any) -> tuple[NDArray[np.float32] | None, SparseVector | None]:
    """The dense vector, alone or under no name, and the sparse one: None for a vector that the point lacks."""
    sparse = None
    if isinstance(given, dict):
        found = given.get(BM25)
        given = given.get("")
        if found is not None:
            sparse = _sparse(_object(found))
    return (_floats(given) if given is not None and given != [] else None), sparse


def _sparse(found: Mapping[str, Any]) -> SparseVector:
    indices, values = _array(found.get("indices")), _floats(found.get("values"))
    whole = not len(indices) or (indices.dtype.kind in "iu" and indices.min() >= 0 and indices.max() < 2**32)
    if not whole or len(indices) != len(values):
        raise _unlike("a sparse vector", found)
    return SparseVector(indices.astype(np.uint32), values)


def _score(value: Any) -> float:
    """NaN for null: JSON has no other word for what is no finite number."""
    score = math.nan if value is None else _number(value)
    if abs(score) >= _TOO_WIDE:
        raise _unlike("a score", value)
    return score


def _floats(given: Any) -> NDArray[np.float32]:
    """The same of a vector, whose numbers another program may have stored as NaN, which JSON calls null."""
    numbers = _numbers(given)
    if numbers.dtype.kind == "O":
        numbers = _numbers([math.nan if value is None else value for value in given])
    with np.errstate(over="ignore"):
        return _checked_numbers(numbers, given).astype(np.float32)


def _array(given: Any) -> NDArray[Any]:
    """A list of numbers as an array, of integers or doubles."""
    return _checked_numbers(_numbers(given), given)


def _numbers(given: Any) -> NDArray[Any]:
    try:
        return np.asarray(_list(given))
    except ValueError:  # lists of different lengths
        raise _unlike("a list of numbers", given) from None


def _checked_numbers(numbers: NDArray[Any], given: Any) -> NDArray[Any]:
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        raise _unlike("a list of numbers", given)
    return numbers


def _id(value: Any) -> PointId:
    if type(value) is str:
        return value
    return _whole(value)


def _value(value: Any) -> str | int | bool:
    if not isinstance(value, str | int):
        raise _unlike("a value of a facet", value)
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise _unlike("a whole number", value)
    return value


def _number(value: Any) -> int | float:
    if type(value) not in (int, float):
        raise _unlike("a number", value)
    return value  # type: ignore[no-any-return]  # it was just seen to be one


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _unlike("an object", value)
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _unlike("a list", value)
    return value


def _member(found: Mapping[str, Any], name: str) -> Any:
    if name not in found:
        raise WrongAnswerError(f"expected {name!r} in an answer")
    return found[name]


def _check_depth(values: Iterable[Any]) -> None:
    """Raises WrongAnswerError for lists and objects too deep within each other."""
    if is_deeper(values, _DEEPEST):
        raise WrongAnswerError(f"expected at most {_DEEPEST} lists and objects within each other, got more")


def _unlike(expected: str, found: object) -> WrongAnswerError:
    return WrongAnswerError(f"expected {expected} in an answer, got {type(found).__name__}")
