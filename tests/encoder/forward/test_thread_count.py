"""A small batch gets all threads, or fewer while they would wait for one another; afterwards, all is as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.forward.packing import FEW
from tasb_qdrant.encoder.forward.thread_count import (
    LEAST_PATIENCE,
    MOST_PATIENCE,
    SAMPLES,
    ThreadCount,
    openmp_setter,
)

LAYERS = 6
ALONE = 1.0
"""Seconds that a layer takes on a single thread."""


@dataclass
class Machine:
    """A clock and `cores` threads; `busy` of the cores work for others, and their threads are waited for."""

    cores: int = 2
    busy: int = 0
    slowdown: float = 1.0
    now: float = 0.0
    threads: int = 0
    begun: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.threads = self.cores
        self.count = ThreadCount(self.set_threads, threads=lambda: self.threads, clock=lambda: self.now)

    def set_threads(self, threads: int) -> None:
        self.threads = threads

    def batch(self, rows: int = 12) -> float:
        """How long a batch takes; the threads that it began with are in `begun`."""
        start = self.now
        with self.count.suited(rows):
            self.begun.append(self.threads)
            for _ in range(LAYERS):
                waits = 20.0 if self.threads > self.cores - self.busy else 0.0
                self.now += self.slowdown * ALONE / self.threads + waits
                self.count.look()
        assert self.threads == self.cores, "the number of threads is not what it was"
        return self.now - start

    def batches(self, count: int) -> list[int]:
        """The threads that so many batches begin with."""
        del self.begun[:]
        for _ in range(count):
            self.batch()
        return list(self.begun)


def test_the_first_batches_get_one_thread_and_the_others_all() -> None:
    assert Machine(cores=4).batches(SAMPLES + 3) == [1] * SAMPLES + [4] * 3


def test_the_first_batches_of_another_size_get_one_thread_too() -> None:
    machine = Machine()
    machine.batches(SAMPLES + 1)
    for _ in range(SAMPLES + 1):
        machine.batch(rows=40)
    assert machine.begun == [1] * SAMPLES + [2] + [1] * SAMPLES + [2]


def test_a_batch_that_waits_for_a_busy_core_goes_on_with_one_thread() -> None:
    machine = Machine()
    machine.batches(10)
    machine.busy = 1
    assert machine.batch() == pytest.approx(0.5 + 20 + (LAYERS - 1) * ALONE), "one wait, and the rest on one thread"
    assert machine.batch() == LAYERS * ALONE


def test_more_threads_are_tried_ever_more_seldom_while_a_core_is_busy() -> None:
    machine = Machine()
    machine.batches(10)
    machine.busy = 1
    begun = machine.batches(1000)
    trials = [at for at, threads in enumerate(begun) if threads == 2]
    pauses = np.diff(trials) - 1
    assert pauses[0] == LEAST_PATIENCE
    assert (np.diff(pauses) >= 0).all()
    assert pauses[-1] == MOST_PATIENCE
    assert len(trials) < 25


def test_all_threads_are_back_soon_after_the_core_is_free() -> None:
    machine = Machine()
    machine.busy = 1
    machine.batches(1000)
    machine.busy = 0
    begun = machine.batches(MOST_PATIENCE + 10)
    assert begun[-9:] == [2] * 9
    assert machine.batch() == LAYERS * ALONE / 2


def test_one_busy_core_of_many_halves_the_threads_once() -> None:
    machine = Machine(cores=16)
    machine.batches(10)
    machine.busy = 1
    begun = machine.batches(500)
    assert set(begun) == {16, 8}
    assert begun.count(16) < 20
    machine.busy = 15
    assert machine.batches(300)[-10:] == [1] * 10
    machine.busy = 0
    assert machine.batches(5 * MOST_PATIENCE)[-10:] == [16] * 10


def test_a_machine_that_has_become_slower_keeps_all_threads() -> None:
    machine = Machine()
    machine.batches(10)
    machine.slowdown = 3.0
    assert machine.batches(100)[-10:] == [2] * 10


def test_large_batches_and_single_threads_are_left_alone() -> None:
    machine = Machine()
    for _ in range(SAMPLES + 1):
        machine.batch(rows=FEW + 1)
    assert machine.begun == [2] * (SAMPLES + 1)
    assert Machine(cores=1).batches(SAMPLES + 1) == [1] * (SAMPLES + 1)


def test_without_a_way_to_set_them_every_batch_gets_all() -> None:
    count = ThreadCount(None, threads=lambda: 4)
    with count.suited(12):
        count.look()


def test_a_batch_that_fails_leaves_the_threads_as_they_were() -> None:
    machine = Machine()
    for failing in range(SAMPLES + 2):
        with pytest.raises(MemoryError), machine.count.suited(12):
            raise MemoryError
        assert machine.threads == 2, failing
        machine.batch()


def test_the_number_is_set_for_the_calling_thread_alone() -> None:
    setter = openmp_setter()
    if setter is None:
        pytest.skip("torch uses another OpenMP here")
    before = torch.get_num_threads()
    try:
        setter(before + 2)
        assert torch.get_num_threads() == before + 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == before
    finally:
        setter(before)
    assert torch.get_num_threads() == before


def test_queries_have_the_same_vectors_whatever_the_threads(minilm_fp32: Encoder) -> None:
    query = "how do bees find food"
    before = torch.get_num_threads()
    vectors = np.concatenate([minilm_fp32.encode_queries([query]) for _ in range(SAMPLES + 4)])
    assert torch.get_num_threads() == before
    np.testing.assert_allclose(vectors, vectors[:1].repeat(len(vectors), axis=0), rtol=0, atol=1e-5)
