"""What travels with hits: where the time went, what looks like a slip, what was chosen."""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from typing import Any

import pytest

from tasb_qdrant import Searcher
from tasb_qdrant.records.timings import Timings
from tasb_qdrant.search.hits import NO_TIME, Hits
from tasb_qdrant.search.stopwatch import Stopwatch
from tasb_qdrant.search.where import FilterWarning
from tasb_qdrant.steps import Work
from tests.search.conftest import BEES, Home


def _in_order(timings: Timings) -> bool:
    return timings.store > 0 and timings.rest >= 0 and timings.total >= timings.store + timings.encode


def test_hits_say_where_the_time_went(searcher: Searcher) -> None:
    hits = searcher.search(BEES)
    assert hits.timings.encode > 0
    assert _in_order(hits.timings)
    first, second = searcher.search_batch([BEES, "owls"])
    assert first.timings is second.timings
    groups = searcher.search_groups(BEES, by="topic")
    (page, *_) = searcher.search_pages(BEES)
    like = searcher.more_like_this("bees-waggle-dance")
    reranked = searcher.rerank(BEES, ["bees-waggle-dance"])
    words = searcher.search("bees", mode="bm25")
    assert all(_in_order(one.timings) for one in (first, groups, page, like, reranked, words))
    assert words.timings.encode == like.timings.encode == 0.0
    assert NO_TIME.total == 0.0  # each call has timings of its own
    assert set(hits.timings.to_dict()) == {"encode", "store", "rest", "total"}
    assert str(Timings(0.001, 0.25, 0)) == "encode 1.0 ms, store 250.0 ms, rest 0.0 ms"


def test_awaited_hits_say_so_too(home: Home) -> None:
    async def ask() -> None:
        async with home.asynchronous() as searcher:
            hits, groups = await asyncio.gather(searcher.search(BEES), searcher.search_groups(BEES, by="topic"))
            assert hits.timings.encode > 0
            assert _in_order(hits.timings)
            assert _in_order(groups.timings)

    asyncio.run(ask())


def test_warnings_travel_with_the_hits(searcher: Searcher) -> None:
    with pytest.warns(FilterWarning):
        answers: list[Any] = [
            searcher.search(BEES, where="yaer > 3"),
            searcher.search_batch([BEES], where="yaer > 3")[0],
            searcher.search_groups(BEES, by="topic", where="yaer > 3"),
            searcher.more_like_this("bees-waggle-dance", where="yaer > 3"),
        ]
    for hits in answers:
        (sentence,) = hits.warnings
        assert "yaer" in sentence
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert searcher.search(BEES, where="year > 3").warnings == ()


def test_a_warning_that_python_shows_once_comes_with_every_answer(searcher: Searcher) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            assert searcher.search(BEES, where="yaer > 3").warnings


def test_notes_travel_with_the_hits(searcher: Searcher) -> None:
    assert searcher.notes
    assert searcher.search(BEES).notes == searcher.search_groups(BEES, by="topic").notes == searcher.notes


def test_a_query_is_logged_for_debugging_alone(searcher: Searcher, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="tasb_qdrant"):
        searcher.search("my secret illness", where='lang = "xx-private"')
    assert "my secret illness" in caplog.text
    above = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert not [line for line in above if "illness" in line or "private" in line]


def test_an_edits_steps_are_the_stores_time_and_are_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    watch = Stopwatch()
    with caplog.at_level(logging.DEBUG, logger="tasb_qdrant"):
        watch.took(Work(lambda: None), time.perf_counter() - 100)
        watch.took(Work(lambda: None, "read query and passages together", encodes=True), time.perf_counter() - 20)
    timings = watch.timed(Hits([])).timings
    assert timings is not None
    assert (round(timings.store), round(timings.encode)) == (100, 20)
    changed, together = [record.getMessage() for record in caplog.records]
    assert changed.startswith("changed the collection: ")
    assert together.startswith("read query and passages together: ")
