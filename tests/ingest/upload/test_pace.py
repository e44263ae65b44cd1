"""How many requests are under way: found by the loop itself, in simulated time."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable

import pytest

from tasb_qdrant.ingest.flow import StoppedError
from tasb_qdrant.ingest.upload.pace import FEWEST, FIRST, MOST, Pace
from tests.waiting import PATIENCE


class World:
    """A server that works on `width` requests at once and queues the others; as many are sent as `pace` allows."""

    def __init__(self, *, width: int, seconds: float = 0.02) -> None:
        self.now = 0.0
        self.width, self.seconds = width, seconds
        self.pace = Pace(clock=lambda: self.now)
        self._ends: list[tuple[float, float]] = []
        self._free = [0.0] * width

    def run(self, requests: int, *, size: int = 2**20) -> list[int]:
        """The limit after each of the requests."""
        limits: list[int] = []
        for _ in range(requests):
            while len(self._ends) < self.pace.limit:
                entered = self.pace.enter(lambda: None)
                start = max(self.now, heapq.heappop(self._free))
                heapq.heappush(self._free, start + self.seconds)
                heapq.heappush(self._ends, (start + self.seconds, entered))
            self.now, entered = heapq.heappop(self._ends)
            self.pace.leave(entered, size, answered=True)
            limits.append(self.pace.limit)
        return limits


def test_a_server_that_works_on_one_request_at_a_time_is_kept_busy_by_a_few() -> None:
    limits = World(width=1).run(2_000)
    assert all(FEWEST <= limit <= 5 for limit in limits)


def test_a_server_that_works_on_many_gets_as_many_as_are_allowed() -> None:
    limits = World(width=16).run(200)
    assert limits[-1] == MOST
    limits = World(width=16).run(2_000)
    assert limits.count(MOST) > 1_700  # now and then the best latency is measured anew


def test_a_refusal_halves_the_limit_once_for_all_that_were_under_way_and_it_comes_back() -> None:
    world = World(width=16)
    world.run(200)
    for _ in range(5):
        world.pace.refused()
    assert world.pace.limit == MOST // 2
    world.now += 10
    world.pace.refused()
    world.now += 10
    world.pace.refused()
    world.now += 10
    world.pace.refused()
    assert world.pace.limit == 1
    assert world.run(200)[-1] == MOST


def test_a_server_whose_updates_pile_up_gets_fewer() -> None:
    world = World(width=16)
    world.run(200)
    world.pace.queued(MOST)
    assert world.pace.limit == MOST
    world.pace.queued(1_000)
    assert world.pace.limit == MOST // 2


def test_a_server_that_becomes_slower_for_good_is_no_reason_to_send_less_for_ever() -> None:
    world = World(width=16)
    world.run(200)
    world.seconds *= 10
    limits = world.run(1_100)
    assert min(limits) >= FEWEST
    assert limits.count(MOST) > 400


def test_a_small_last_request_teaches_nothing() -> None:
    world = World(width=1)
    world.run(100)
    before = world.pace.limit
    entered = world.pace.enter(lambda: None)
    world.now += 5
    world.pace.leave(entered, 1_000, answered=True)
    assert world.pace.limit == before


def test_a_request_that_was_tried_again_teaches_nothing() -> None:
    pace = Pace(clock=lambda: 0.0)
    pace.leave(pace.enter(lambda: None) - 60, 2**20, answered=False)
    assert pace.limit == FIRST


def test_no_more_threads_pass_than_the_limit_and_each_that_leaves_lets_one_in() -> None:
    pace = Pace()
    entered = [pace.enter(lambda: None) for _ in range(FIRST)]
    asked = threading.Event()
    inside = threading.Event()

    def wait() -> None:
        pace.enter(asked.set)
        inside.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert asked.wait(PATIENCE)
    assert not inside.is_set()
    pace.leave(entered[0], 1, answered=True)
    assert inside.wait(PATIENCE)
    thread.join()


def test_who_waits_for_the_pace_ends_with_the_run() -> None:
    pace = Pace(most=1)
    pace.enter(lambda: None)
    check: Callable[[], None] = _stopped
    with pytest.raises(StoppedError):
        pace.enter(check)


def _stopped() -> None:
    raise StoppedError
