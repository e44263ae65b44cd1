"""Both searchers, from many threads and tasks at once, give what one gives alone."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasb_qdrant import AsyncSearcher, F, Hit, Searcher
from tasb_qdrant.errors import CollectionError, FilterSyntaxError, InvalidInputError, PassageNotFoundError
from tasb_qdrant.records import HitGroup
from tests.ranking import Ranking, difference
from tests.search.conftest import BATCH_CHANGES, BEES, Home, scored

QUERIES = [
    f"{subject} {verb}" for subject in ("bees", "telescopes", "bread", "tides") for verb in ("seen", "made", "old")
]


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def _ranking(searcher: Searcher, query: str) -> Ranking[str]:
    """Of the whole corpus."""
    return Ranking(dict(scored(searcher.search(query, limit=1_000, exact=True))), slack=BATCH_CHANGES)


def test_64_threads_get_what_one_gets(searcher: Searcher) -> None:
    expected = {query: _ranking(searcher, query) for query in QUERIES}

    def search(number: int) -> None:
        query = QUERIES[number % len(QUERIES)]
        assert not expected[query].mistake(ids(searcher.search(query, limit=5, exact=True)), limit=5)
        assert searcher.count(F("year") >= 2000) > 0

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(search, range(128)))


def test_64_tasks_get_what_one_thread_gets_in_few_batches(home: Home, searcher: Searcher) -> None:
    expected = {query: _ranking(searcher, query) for query in QUERIES}

    async def search(shared: AsyncSearcher, number: int) -> None:
        query = QUERIES[number % len(QUERIES)]
        assert not expected[query].mistake(ids(await shared.search(query, limit=5, exact=True)), limit=5)

    async def run() -> tuple[int, int]:
        async with home.asynchronous() as shared:
            await asyncio.gather(*(search(shared, number) for number in range(64)))
            return shared.encoded_batches, shared.encoded_queries

    batches, queries = asyncio.run(run())
    assert queries == 64
    assert batches <= 8


async def _listed(pages: Any) -> list[Any]:
    return [page async for page in pages]


WAYS: dict[str, tuple[Callable[[Searcher], Any], Callable[[AsyncSearcher], Awaitable[Any]]]] = {
    "search": (lambda s: s.search(BEES, exact=True), lambda s: s.search(BEES, exact=True)),
    "hybrid": (
        lambda s: s.search(BEES, mode="hybrid", exact=True),
        lambda s: s.search(BEES, mode="hybrid", exact=True),
    ),
    "batch": (lambda s: s.search_batch(QUERIES, exact=True), lambda s: s.search_batch(QUERIES, exact=True)),
    "pages": (
        lambda s: list(s.search_pages(BEES, page_size=70, exact=True)),
        lambda s: _listed(s.search_pages(BEES, page_size=70, exact=True)),
    ),
    "groups": (
        lambda s: s.search_groups(BEES, by="lang", exact=True),
        lambda s: s.search_groups(BEES, by="lang", exact=True),
    ),
    "like": (lambda s: s.more_like_this("bees-waggle-dance"), lambda s: s.more_like_this("bees-waggle-dance")),
    "recommend": (
        lambda s: s.recommend(["bees-waggle-dance"], ["apollo-11-landing"]),
        lambda s: s.recommend(["bees-waggle-dance"], ["apollo-11-landing"]),
    ),
    "rerank": (
        lambda s: s.rerank(BEES, ["apollo-11-landing", "bees-waggle-dance"]),
        lambda s: s.rerank(BEES, ["apollo-11-landing", "bees-waggle-dance"]),
    ),
    "count": (lambda s: s.count("year >= 2000"), lambda s: s.count("year >= 2000")),
    "facet": (lambda s: s.facet("topic"), lambda s: s.facet("topic")),
    "get": (lambda s: s.get(["bees-waggle-dance", "no"]), lambda s: s.get(["bees-waggle-dance", "no"])),
    "scroll": (
        lambda s: list(s.scroll("year >= 2000", order_by="year", page_size=17)),
        lambda s: _listed(s.scroll("year >= 2000", order_by="year", page_size=17)),
    ),
}


def test_both_searchers_answer_alike(home: Home, searcher: Searcher) -> None:
    async def run() -> dict[str, Any]:
        async with home.asynchronous() as other:
            return {name: await way[1](other) for name, way in WAYS.items()}

    answers = asyncio.run(run())
    for name, way in WAYS.items():
        _alike(answers[name], way[0](searcher))


def _alike(one: Any, other: Any) -> None:
    """The same but for what the size of a batch changes."""
    if isinstance(one, list) and one and isinstance(one[0], Hit):
        assert not difference(scored(one), scored(other), tolerance=BATCH_CHANGES)
        contents = {hit.id: (hit.text, hit.payload) for hit in other}
        assert all(contents.get(hit.id, (hit.text, hit.payload)) == (hit.text, hit.payload) for hit in one)
    elif isinstance(one, list):
        assert len(one) == len(other)
        for each, counterpart in zip(one, other, strict=True):
            _alike(each, counterpart)
    elif isinstance(one, HitGroup):
        assert one.value == other.value
        _alike(one.hits, other.hits)
    else:
        assert one == other


def test_the_async_searcher_raises_what_the_other_raises(home: Home) -> None:
    async def run() -> None:
        async with home.asynchronous() as searcher:
            with pytest.raises(InvalidInputError, match="the query is empty"):
                await searcher.search(" ")
            with pytest.raises(FilterSyntaxError):
                await searcher.search(BEES, where="year >= and")
            with pytest.raises(PassageNotFoundError):
                await searcher.more_like_this("nowhere")
            assert ids(await searcher.search(BEES, limit=1)) == ["bees-waggle-dance"]

    asyncio.run(run())


def test_a_searcher_that_is_not_open_says_so(home: Home) -> None:
    async def run() -> None:
        searcher = AsyncSearcher("searcher-test", **home.options)
        with pytest.raises(CollectionError, match="async with"):
            await searcher.search(BEES)
        with pytest.raises(CollectionError, match="async with"):
            searcher.notes  # noqa: B018

    asyncio.run(run())


def test_both_have_the_same_methods_and_options() -> None:
    def surface(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    ours, others = surface(Searcher), surface(AsyncSearcher)
    others["close"] = others.pop("aclose")
    assert ours == others
    for name, method in inspect.getmembers(Searcher, inspect.isfunction):
        if name in ours and name != "close":
            theirs = inspect.signature(getattr(AsyncSearcher, name))
            mine = inspect.signature(method)
            assert [p.default for p in mine.parameters.values()] == [p.default for p in theirs.parameters.values()]
