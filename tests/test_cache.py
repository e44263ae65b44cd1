"""The query cache holds the answers last used, for a while."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tasb_qdrant.cache import Cache, CacheInfo
from tasb_qdrant.errors import SettingsError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_given_again_until_it_is_too_old() -> None:
    clock = Clock()
    cache: Cache[str] = Cache(2, ttl=10.0, clock=clock)
    assert cache.get("q") is None
    cache.put("q", "answer")
    clock.now = 10.0
    assert cache.get("q") == "answer"
    clock.now = 10.1
    assert cache.get("q") is None
    assert cache.info() == CacheInfo(hits=1, misses=2, size=0)


def test_the_answer_not_used_for_longest_makes_room() -> None:
    cache: Cache[int] = Cache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert cache.info().size == 2
    cache.clear()
    assert cache.get("a") is None


def test_an_answer_that_is_false_is_an_answer() -> None:
    cache: Cache[list[int]] = Cache(1)
    cache.put("none", [])
    assert cache.get("none", "missing") == []
    assert cache.get("other", "missing") == "missing"


def test_without_a_size_it_holds_and_counts_nothing() -> None:
    cache: Cache[int] = Cache()
    cache.put("a", 1)
    assert cache.get("a") is None
    assert not cache.on
    assert cache.info() == CacheInfo(0, 0, 0)


def test_threads_find_what_they_put() -> None:
    cache: Cache[int] = Cache(8)

    def work(worker: int) -> None:
        for number in range(500):
            key = (worker * number) % 20
            cache.put(key, key)
            assert cache.get(key) in (key, None)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert cache.info().size == 8


@pytest.mark.parametrize(("size", "ttl"), [(-1, 1.0), (True, 1.0), (1, 0.0), (1, float("nan"))])
def test_sizes_and_ages_that_make_no_sense_are_refused(size: int, ttl: float) -> None:
    with pytest.raises(SettingsError):
        Cache(size, ttl=ttl)
