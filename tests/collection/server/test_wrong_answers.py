"""Whatever answers in a server's place: each value of an answer is what it should be, or the answer is refused."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import numpy as np
import orjson
import pytest
from qdrant_client import grpc, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from tasb_qdrant.collection.open import open_store
from tasb_qdrant.collection.reads.questions import DEFAULT_READ, Nearest, OrderBy, ScoredPoint, ScrollPage
from tasb_qdrant.collection.reads.wire import QueryRequest, SearchParams, ServerRequest, WrongAnswerError
from tasb_qdrant.collection.server import grpc_answers
from tasb_qdrant.collection.server.connection import _parse_version
from tasb_qdrant.collection.server.failure import JunkAnswerError, sensible
from tasb_qdrant.collection.server.peers import _likely
from tasb_qdrant.collection.server.points import status_name
from tasb_qdrant.collection.server.rest import RestWire
from tasb_qdrant.collection.server.rest_answers import checked
from tasb_qdrant.collection.server.transports import _content, _read
from tasb_qdrant.errors import ServerUnreachableError, SettingsError, TasbQdrantError
from tasb_qdrant.records import FacetCount
from tests.faults.stub import described
from tests.waiting import sooner_than

HOURS: Final = 3_600.0

DEEP: Final[Any] = orjson.loads(b"[" * 500 + b"]" * 500)
OTHERS: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    2**63,
    1.5,
    1e308,
    "",
    "x",
    "9" * 5000,
    [],
    [[]],
    [None],
    [0.5, "1"],
    [[0.5], [0.5, 1]],
    {},
    {"": {}},
    {"": [True]},
    {"bm25": {"indices": [-1], "values": [1]}},
    {"bm25": {"indices": [1, 2], "values": [1]}},
    {"bm25": {"indices": [2**40], "values": [1]}},
    {"a": DEEP},
    DEEP,
)

WIRE: Final = RestWire("c", "http://127.0.0.1:1")
_PARAMS: Final = SearchParams(False, None, None, None, False)
_NEAREST: Final = QueryRequest(Nearest(np.ones(2, dtype=np.float32)), 1, None, _PARAMS, payload=True)
_POINT: Final = {
    "id": 1,
    "score": 0.5,
    "payload": {"passage_id": "1", "tags": ["a"]},
    "vector": {"": [0.5, 1], "bm25": {"indices": [7], "values": [1.5]}},
    "order_value": 3,
}


def _scrolled(order: OrderBy | None) -> ServerRequest:
    return WIRE.scroll(where=None, start=None, order=order, limit=1, payload=True, vectors=True, read=DEFAULT_READ)


ANSWERS: Final[dict[str, tuple[ServerRequest, Any]]] = {
    "query": (WIRE.query([_NEAREST], DEFAULT_READ), [{"points": [_POINT]}]),
    "scroll": (_scrolled(None), {"points": [_POINT], "next_page_offset": "x"}),
    "ordered": (_scrolled(OrderBy("year")), {"points": [_POINT], "next_page_offset": None}),
    "retrieve": (WIRE.retrieve([1], payload=True, vectors=True, sparse=True, read=DEFAULT_READ), [_POINT]),
    "count": (WIRE.count(None, exact=True, read=DEFAULT_READ), {"count": 1}),
    "facet": (
        WIRE.facet("a", where=None, limit=1, exact=True, read=DEFAULT_READ),
        {"hits": [{"value": "a", "count": 1}]},
    ),
    "state": (WIRE.state(), described()),
}


def _holders(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _holders(each)


def _changed(answer: Any) -> Iterator[Any]:
    """The answer with each of its parts replaced by each other value, and left out."""
    for number, holder in enumerate(_holders(answer)):
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            for other in OTHERS:
                made = copy.deepcopy(answer)
                list(_holders(made))[number][key] = other
                yield made
            made = copy.deepcopy(answer)
            del list(_holders(made))[number][key]
            yield made


def _check(found: Any) -> None:
    """It has the types that every caller relies on."""
    if isinstance(found, ScrollPage):
        assert found.following is None or type(found.following) in (int, str)
        assert all(type(value) in (int, float) for value in found.order_values)
        assert len(found.order_values) in (0, len(found.points))
    for each in found.points if isinstance(found, ScrollPage) else found if isinstance(found, list) else [found]:
        if isinstance(each, list):
            _check(each)
        elif isinstance(each, ScoredPoint):
            _check_point(each)
        elif isinstance(each, FacetCount):
            assert isinstance(each.value, str | int)
            assert type(each.count) is int
        elif isinstance(each, int):
            assert each >= 0


def _check_point(point: ScoredPoint) -> None:
    assert type(point.id) in (int, str)
    assert type(point.score) in (int, float)
    assert point.payload is None or type(point.payload) is dict
    repr(point.payload)
    if point.vector is not None:
        assert point.vector.ndim == 1
        assert point.vector.dtype == np.float32
    if point.sparse is not None:
        assert point.sparse.indices.shape == point.sparse.values.shape


@pytest.mark.parametrize("kind", ANSWERS)
def test_any_value_in_any_place_is_right_or_refused(kind: str) -> None:
    request, right = ANSWERS[kind]
    _check(_read(request, json.dumps({"result": right}).encode()))
    refused = 0
    for result in _changed(right):
        try:
            found = _read(request, json.dumps({"result": result}).encode())
        except (JunkAnswerError, TasbQdrantError):
            refused += 1
        else:
            _check(found)
    assert refused


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_is_no_answer_at_all_is_refused(kind: str) -> None:
    request, _ = ANSWERS[kind]
    bodies = [json.dumps(other).encode() for other in OTHERS]
    for body in (*bodies, b"[" * 100_000, b'{"result":' * 1_000, b"\xff", b'"\\ud800"', b"1" * 5_000, b"NaN"):
        with pytest.raises(JunkAnswerError):
            _read(request, body)


def test_a_vector_or_score_that_another_program_made_infinite_is_read_as_such() -> None:
    request, [point] = ANSWERS["retrieve"]
    [read] = _read(request, json.dumps({"result": [point | {"vector": [None, 1]}]}).encode())
    assert np.isnan(read.vector[0])
    request, _ = ANSWERS["query"]
    [[found]] = _read(request, json.dumps({"result": [{"points": [point | {"score": None}]}]}).encode())
    assert math.isnan(found.score)


@pytest.mark.parametrize("score", [3.4028235e38, -3.4028235e38, 3.4028234663852886e38, 1e300, -(10**400), 3.4028236e38])
def test_a_score_is_what_fits_into_a_float32(score: float) -> None:
    request, _ = ANSWERS["query"]
    [point] = ANSWERS["retrieve"][1]
    with np.errstate(over="ignore"):
        fits = abs(score) < 10**39 and bool(np.isfinite(np.float32(score)))
    answer = json.dumps({"result": [{"points": [point | {"score": score}]}]}).encode()
    if fits:
        [[found]] = _read(request, answer)
        assert found.score == score
    else:
        with pytest.raises((JunkAnswerError, WrongAnswerError)):
            _read(request, answer)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 500 + b"1" + b"}" * 500, b"\xff", b"", b"1" * 5_000])
def test_what_qdrant_client_could_not_read_never_reaches_it(body: bytes) -> None:
    request = httpx.Request("GET", "http://127.0.0.1:1")

    def answer(status: int) -> Callable[[httpx.Request], httpx.Response]:
        return lambda request: httpx.Response(status, content=body, request=request)

    with pytest.raises((JunkAnswerError, orjson.JSONDecodeError)):
        checked(request, answer(200))
    assert checked(request, answer(500)).content == body  # of errors, the client reads what it can


def test_numbers_of_any_length_are_read() -> None:
    assert _parse_version("1.17.0-dev") == (1, 17, 0)
    assert _parse_version(f"1.{'9' * 5_000}.²") == (1, 0, 0)
    assert _parse_version("") == (0, 0, 0)
    request = httpx.Request("GET", "http://127.0.0.1:1")
    for pause, seconds in (("9" * 5_000, 10**9 - 1), ("7", 7)):
        with pytest.raises(ResourceExhaustedResponse) as caught:
            _content(httpx.Response(429, headers={"retry-after": pause}, content=b"too much", request=request))
        assert caught.value.retry_after_s == seconds


def test_what_grpc_can_say_and_qdrant_does_not_is_refused() -> None:
    page = grpc.ScrollResponse(result=[grpc.RetrievedPoint(id=grpc.PointId(num=1))])
    with pytest.raises(WrongAnswerError):
        grpc_answers.read_scroll(page.SerializeToString(), payload=True, ordered=True)
    page.result[0].order_value.float = math.nan
    with pytest.raises(WrongAnswerError):
        grpc_answers.read_scroll(page.SerializeToString(), payload=True, ordered=True)
    with pytest.raises(WrongAnswerError):
        grpc_answers.read_facet(grpc.FacetResponse(hits=[grpc.FacetHit(count=1)]).SerializeToString())
    vector = grpc.VectorOutput(sparse=grpc.SparseVector(indices=[1, 2], values=[1.0]))
    vectors = grpc.VectorsOutput(vectors=grpc.NamedVectorsOutput(vectors={"bm25": vector}))
    found = grpc.GetResponse(result=[grpc.RetrievedPoint(id=grpc.PointId(num=1), vectors=vectors)])
    with pytest.raises(WrongAnswerError):
        grpc_answers.read_points(found.SerializeToString(), payload=True)
    assert status_name(2) == "Completed"
    assert status_name(99) == "99"


def test_whatever_the_client_runs_into_is_a_junk_answer() -> None:
    def convert() -> None:
        grpc.UpdateStatus.Name(99)

    with pytest.raises(JunkAnswerError):
        sensible(convert)()

    def own() -> None:
        raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        sensible(own)()


@pytest.mark.parametrize("host", ["xn--a", "..", "x" * 70 + ".y"])
def test_a_name_that_no_host_has_is_named_at_once(host: str) -> None:
    with (
        sooner_than(HOURS),
        pytest.raises((SettingsError, ServerUnreachableError), match=r"valid host|nothing answers"),
    ):
        open_store(url=f"http://{host}", read_timeout=HOURS, retry_seconds=0)


def test_a_peers_address_that_is_no_url_is_looked_for_elsewhere() -> None:
    assert _likely(models.PeerInfo(uri="http://[x"), "http://127.0.0.1:6333") == "http://127.0.0.1:6333"
    assert _likely(models.PeerInfo(uri="http://a:6335/"), "http://127.0.0.1:6333") == "http://a:6333"
