"""Queries asked at the same time share a forward pass, and none waits for nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tasb_qdrant.encoder.micro_batches import MicroBatcher
from tasb_qdrant.errors import InvalidInputError, SettingsError
from tests.waiting import PATIENCE, until


class Recorder:
    """An encoder that keeps what it was asked, and may wait until its gate is opened, or refuse a query."""

    def __init__(self, *, closed: bool = False) -> None:
        self.calls: list[list[str]] = []
        self.gate = threading.Event()
        if not closed:
            self.gate.set()
        self._busy = threading.Lock()

    def __call__(self, queries: Sequence[str]) -> NDArray[np.float32]:
        assert self._busy.acquire(blocking=False), "two calls at once"
        try:
            self.calls.append(list(queries))
            assert self.gate.wait(PATIENCE)
            if "bad" in queries:
                raise InvalidInputError("a bad query")
            return np.array([[float(len(query))] for query in queries], dtype=np.float32)
        finally:
            self._busy.release()


async def ask(batcher: MicroBatcher, query: str) -> float:
    with batcher.expecting() as expected:
        await asyncio.sleep(0)  # as a search does before it asks
        return float((await expected.encode(query))[0])


async def until_called(encode: Recorder) -> None:
    """In a thread, since the loop must go on meanwhile."""
    await asyncio.to_thread(until, lambda: encode.calls, "the encoder is called")


def test_queries_of_one_moment_are_one_batch_and_each_gets_its_own_vector() -> None:
    encode = Recorder()

    async def run() -> list[float]:
        batcher = MicroBatcher(encode)
        return await asyncio.gather(*(ask(batcher, "x" * n) for n in range(1, 41)))

    assert asyncio.run(run()) == [float(n) for n in range(1, 41)]
    assert [len(call) for call in encode.calls] == [40]


def test_what_arrives_while_a_batch_is_encoded_is_the_next_batch() -> None:
    encode = Recorder(closed=True)

    async def run() -> None:
        batcher = MicroBatcher(encode)
        first = asyncio.create_task(ask(batcher, "first"))
        await until_called(encode)
        later = [asyncio.create_task(ask(batcher, f"later {n}")) for n in range(5)]
        for _ in range(10):  # turns of the loop, so that all have asked
            await asyncio.sleep(0)
        encode.gate.set()
        await asyncio.gather(first, *later)

    asyncio.run(run())
    assert [len(call) for call in encode.calls] == [1, 5]


def test_a_batch_is_bounded() -> None:
    encode = Recorder()

    async def run() -> None:
        batcher = MicroBatcher(encode, most=8)
        await asyncio.gather(*(ask(batcher, str(n)) for n in range(20)))

    asyncio.run(run())
    assert sorted(query for call in encode.calls for query in call) == sorted(map(str, range(20)))
    assert max(len(call) for call in encode.calls) == 8


def test_a_query_that_comes_alone_waits_for_nobody() -> None:
    encode = Recorder()

    async def run() -> float:
        batcher = MicroBatcher(encode, max_wait=3600.0)
        return await asyncio.wait_for(ask(batcher, "alone"), PATIENCE)

    assert asyncio.run(run()) == 5.0


def test_one_that_is_expected_and_never_asks_is_waited_for_no_longer_than_said() -> None:
    encode = Recorder()

    async def run() -> None:
        batcher = MicroBatcher(encode, max_wait=0.01)
        with batcher.expecting():
            await ask(batcher, "not alone")

    asyncio.run(run())
    assert encode.calls == [["not alone"]]


def test_a_bad_query_spoils_none_of_its_batch() -> None:
    encode = Recorder()

    async def run() -> list[object]:
        batcher = MicroBatcher(encode)
        return await asyncio.gather(*(ask(batcher, q) for q in ("aa", "bad", "cccc")), return_exceptions=True)

    first, second, third = asyncio.run(run())
    assert (first, third) == (2.0, 4.0)
    assert isinstance(second, InvalidInputError)


def test_a_cancelled_query_takes_none_with_it() -> None:
    encode = Recorder(closed=True)

    async def run() -> list[object]:
        batcher = MicroBatcher(encode)
        tasks = [asyncio.create_task(ask(batcher, "x" * n)) for n in range(1, 6)]
        await until_called(encode)
        tasks[2].cancel()
        encode.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(run())
    assert isinstance(found.pop(2), asyncio.CancelledError)
    assert found == [1.0, 2.0, 4.0, 5.0]


@pytest.mark.parametrize(("most", "max_wait"), [(0, 0.0), (1, -1.0), (1, float("nan"))])
def test_sizes_and_waits_that_make_no_sense_are_refused(most: int, max_wait: float) -> None:
    with pytest.raises(SettingsError):
        MicroBatcher(Recorder(), most=most, max_wait=max_wait)
