"""A store that is opened once, for several searchers."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest

from tasb_qdrant import AsyncSearcher, Encoder, Searcher, open_collection, open_store
from tasb_qdrant.errors import CollectionError, SettingsError, StoreLockedError
from tests.search.conftest import BEES, COLLECTION, Home


@pytest.fixture
def place(home: Home) -> dict[str, Any]:
    """Where the store is, and nothing else."""
    return {name: value for name, value in home.elsewhere().items() if name != "encoder"}


def test_searchers_share_a_collection_and_leave_the_store_open(place: dict[str, Any], encoder: Encoder) -> None:
    with closing(open_store(**place)) as store:
        first = Searcher(COLLECTION, store=store, encoder=encoder)
        with Searcher(COLLECTION, store=store, encoder=encoder, cache_size=3) as second:
            assert second.search(BEES, where="year >= 2000") == first.search(BEES, where="year >= 2000")
        first.close()
        first.close()
        for closed in (first, second):
            with pytest.raises(CollectionError, match="closed"):
                closed.search("another question")
        with open_collection(COLLECTION, store=store) as collection:
            assert collection.reads.count() == 200
            with Searcher(COLLECTION, store=store, encoder=encoder) as third:
                assert third.search(BEES)[0].id == "bees-waggle-dance"


def test_the_last_to_close_lets_others_in(place: dict[str, Any], encoder: Encoder) -> None:
    if "path" not in place:
        return  # a server has no lock
    with closing(open_store(**place)) as store:
        first = Searcher(COLLECTION, store=store, encoder=encoder)
        second = Searcher(COLLECTION, store=store, encoder=encoder)
        for searcher in (first, second):
            with closing(open_store(**place)) as other, pytest.raises(StoreLockedError):
                other.open(COLLECTION)
            searcher.close()
        with closing(open_store(**place)) as other:
            other.open(COLLECTION).close()
        with Searcher(COLLECTION, store=store, encoder=encoder) as third:
            assert third.search(BEES)[0].id == "bees-waggle-dance"


def test_both_kinds_of_searchers_share_it(place: dict[str, Any], encoder: Encoder) -> None:
    async def ask(*searchers: AsyncSearcher) -> list[list[str]]:
        answers = await asyncio.gather(*(each.search(BEES) for each in searchers))
        return [[hit.id for hit in hits] for hits in answers]

    async def run() -> tuple[list[list[str]], list[str]]:
        async with AsyncSearcher(COLLECTION, store=store, encoder=encoder) as first:
            async with AsyncSearcher(COLLECTION, store=store, encoder=encoder) as second:
                both = await ask(first, second)
            with Searcher(COLLECTION, store=store, encoder=encoder) as waiting:
                return [*both, *await ask(first)], [hit.id for hit in waiting.search(BEES)]

    with closing(open_store(**place)) as store:
        awaited, waited = asyncio.run(run())
    assert awaited == [waited] * 3


def test_what_one_writes_the_others_find(place: dict[str, Any], encoder: Encoder) -> None:
    if "path" not in place:
        return  # the corpus on a server is for all tests
    with (
        closing(open_store(**place)) as store,
        Searcher(COLLECTION, store=store, encoder=encoder) as searcher,
        open_collection(COLLECTION, store=store) as collection,
    ):
        (best,) = [point.id for point in collection.reads.retrieve(_point_ids(searcher))]
        collection.delete_points([best])
        assert searcher.search(BEES)[0].id != "bees-waggle-dance"
        collection.optimize()
        assert searcher.count() == 199


def _point_ids(searcher: Searcher) -> list[int | str]:
    from tasb_qdrant.records import point_id

    return [point_id(hit.id) for hit in searcher.search(BEES, limit=1)]


@pytest.mark.parametrize("kind", [Searcher, AsyncSearcher])
def test_a_store_goes_without_the_options_of_another(place: dict[str, Any], encoder: Encoder, kind: Any) -> None:
    with (
        closing(open_store(**place)) as store,
        pytest.raises(SettingsError, match="both an open store and timeout are given"),
    ):
        kind(COLLECTION, store=store, encoder=encoder, timeout=5.0)
