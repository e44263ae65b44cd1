"""Waits for what others do, and bounds on time that a busy machine keeps to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

T = TypeVar("T")

PATIENCE: Final = 120.0
"""Seconds until what is waited for is said to be stuck: far more than it takes on the busiest machine."""


@contextmanager
def sooner_than(seconds: float) -> Iterator[None]:
    """The block doesn't make the wait of so many seconds that it could make by mistake.

    No measure of speed: the bound is what the mistake itself takes, so choose one that is long.
    """
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.1f} s: it has waited for what takes {seconds} s"


def opened(open_it: Callable[[], T], *late: type[Exception]) -> T:
    """What opens in the end: the short limit that is wanted later may be too short for that on a busy machine."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return open_it()
        except late:
            if time.monotonic() > deadline:
                raise


def errors_of(calls: Mapping[str, Callable[[], object]], *, sooner: float) -> dict[str, BaseException | None]:
    """What each of the calls raises, all made side by side; each must end sooner than in so many seconds."""

    def end(call: Callable[[], object]) -> BaseException | None:
        with sooner_than(sooner):
            try:
                call()
            except Exception as error:
                return error
        return None

    with ThreadPoolExecutor(len(calls)) as pool:
        under_way = {name: pool.submit(end, call) for name, call in calls.items()}
        return {name: future.result() for name, future in under_way.items()}


def until(holds: Callable[[], object], what: str) -> None:
    """Return when it holds; nothing tells when, so it is asked again and again."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.02)
