"""What a server answers may be JSON of Qdrant's kind and still be no answer: calls end, and say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tasb_qdrant import AsyncSearcher, Searcher
from tasb_qdrant.collection.open import open_collection
from tasb_qdrant.errors import CollectionError, StoreCorruptError, TasbQdrantError
from tests.faults.kinds.hostile_calls import ASKED, ask_async, right, taken
from tests.faults.stub import Stub
from tests.ingest.fakes import StubEncoder

LONG: Final = 60.0
"""Seconds: nothing here waits."""

WHERE: Final[dict[str, Any]] = {"transport": "rest", "timeout": LONG, "read_timeout": LONG, "retry_seconds": 0}


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with Stub() as started:
        started.answer = right
        yield started


@pytest.fixture(scope="module")
def searcher(stub: Stub) -> Iterator[Searcher[dict[str, Any]]]:
    with Searcher("c", url=stub.url, encoder=StubEncoder(), **WHERE) as opened:
        yield opened


@pytest.fixture
def spoil(stub: Stub) -> Iterator[Callable[[str, Callable[[Any], None]], None]]:
    """Has the results of answers under paths with this end be changed."""
    changes: dict[str, Callable[[Any], None]] = {}

    def answer(handler: Any, path: str, body: bytes) -> Any:
        found = right(handler, path, body)
        for part, change in changes.items():
            if path.endswith(part) and found is not None:
                change(found[1]["result"])
        return found

    stub.answer = answer
    yield changes.__setitem__
    stub.answer = right


def _points(result: Any) -> list[dict[str, Any]]:
    if isinstance(result, dict):
        return list(result["points"])
    return [point for each in result for point in each.get("points", [each])]


def test_right_answers_are_taken(searcher: Searcher[dict[str, Any]]) -> None:
    """What the other tests spoil is sound."""
    for name in ("search", "diverse", "rerank", "scroll", "scroll by a date", "facet", "get", "search_groups"):
        assert taken(ASKED[name](searcher, LONG)), name


@pytest.mark.parametrize("call", ["rerank", "get", "diverse", "search with a filter"])
def test_a_vector_of_another_size_is_named(
    searcher: Searcher[dict[str, Any]], spoil: Callable[..., None], call: str
) -> None:
    for part in ("/points", "/query/batch"):
        spoil(part, lambda result: [point["vector"][""].append(0.5) for point in _points(result)])
    with pytest.raises(CollectionError, match="has 9 numbers, and those of the collection 8"):
        taken(ASKED[call](searcher, LONG))


def test_a_score_that_is_no_number_is_named(searcher: Searcher[dict[str, Any]], spoil: Callable[..., None]) -> None:
    spoil("/query/batch", lambda result: [point.update(score=None) for point in _points(result)])
    with pytest.raises(CollectionError, match="is not a number"):
        searcher.search("bee")


def test_a_walk_that_would_never_end_does(searcher: Searcher[dict[str, Any]], spoil: Callable[..., None]) -> None:
    spoil("/scroll", lambda result: result.update(next_page_offset=1))
    with pytest.raises(CollectionError, match="would never end"):
        list(searcher.scroll())


def test_a_moment_beyond_all_years_is_named(searcher: Searcher[dict[str, Any]], spoil: Callable[..., None]) -> None:
    def later(result: Any) -> None:
        result["points"] *= 2_000  # a whole page of one value
        for point in result["points"]:
            point["order_value"] = 2**62

    spoil("/scroll", later)
    with pytest.raises(TasbQdrantError, match="outside the years 1 to 9999"):
        list(searcher.scroll(order_by="when"))


def test_limits_that_no_server_has_are_named(stub: Stub, spoil: Callable[..., None]) -> None:
    spoil("/collections/c", lambda result: result["config"]["strict_mode_config"].update(max_query_limit=-1))
    with pytest.raises(StoreCorruptError, match="max_query_limit is -1"):
        open_collection("c", url=stub.url, **WHERE)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"result":' * 500 + b"1" + b"}" * 500])
def test_nesting_without_end_is_named_by_every_call(
    stub: Stub, searcher: Searcher[dict[str, Any]], body: bytes
) -> None:
    def junk(handler: Any, path: str, asked: bytes) -> Any:
        return 200, body

    try:
        stub.answer = junk
        for name in ("search", "info", "delete", "patch", "scroll", "count", "facet", "rerank"):
            with pytest.raises(TasbQdrantError):
                taken(ASKED[name](searcher, LONG))
        with pytest.raises(TasbQdrantError, match="isn't a Qdrant server"):
            open_collection("c", url=stub.url, **WHERE)
        stub.answer = right
        asker = AsyncSearcher("c", url=stub.url, encoder=StubEncoder(), **WHERE)
        with pytest.raises(TasbQdrantError):
            ask_async(lambda opened: opened.search("bee"), asker, lambda: setattr(stub, "answer", junk))
    finally:
        stub.answer = right
