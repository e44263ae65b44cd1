"""Work is spread over real processes, and whatever becomes of one of them reaches every caller."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import pytest

from tasb_qdrant.errors import CorruptModelError, WorkerError
from tasb_qdrant.processes.pool import WorkerPool
from tasb_qdrant.processes.process import WorkerProcess
from tasb_qdrant.processes.serve import Request, Task
from tests.encoder.workers.worker_tasks import Broken, Obeying, Opener, Refusing
from tests.waiting import PATIENCE

Pool = WorkerPool[object, object]


def same(work: object) -> object:
    return work


def makes(*works: object) -> list[Callable[[], object]]:
    return [partial(same, work) for work in works]


@contextmanager
def pool_of(*tasks: Task) -> Iterator[Pool]:
    named = [(f"worker {number}", task) for number, task in enumerate(tasks)]
    with closing(Pool(named, fewer="devices", elsewhere="start it there")) as pool:
        yield pool


@contextmanager
def watched(pids: tuple[int, ...]) -> Iterator[Callable[[], None]]:
    """Gives what waits for the end of all the processes."""
    handles = [os.pidfd_open(pid) for pid in pids]

    def all_end() -> None:
        for handle in handles:
            assert select.select([handle], [], [], 30)[0], "a worker lives on"

    try:
        yield all_end
    finally:
        for handle in handles:
            os.close(handle)


@pytest.fixture(scope="module")
def two() -> Iterator[Pool]:
    """Two workers, to be left alive."""
    with pool_of(Obeying(), Obeying()) as pool:
        assert pool.opened() == ["open", "open"]
        yield pool


def test_every_piece_is_done_once_by_any_of_the_workers(two: Pool) -> None:
    found: dict[int, object] = dict(two.run(makes(*range(50))))
    assert sorted(found) == list(range(50))
    for position, served in found.items():
        assert isinstance(served, list)
        assert served[-1] == position


def test_a_named_error_is_that_of_the_call_alone(two: Pool) -> None:
    with pytest.raises(CorruptModelError, match=r"^no such work$"):
        list(two.run(makes("refuse", "refuse", "refuse")))
    assert len(list(two.run(makes(1, 2)))) == 2


def test_an_abandoned_call_leaves_its_work_undone(two: Pool) -> None:
    with closing(two.run(makes(*[-1] * 500))) as results:
        next(results)
    (served,) = (result for _, result in two.run(makes("mine")))
    assert isinstance(served, list)
    assert served.count(-1) < 100


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (signal.SIGKILL, r"worker \d died \(killed by signal 9, SIGKILL\); the machine may have run out of memory"),
        (signal.SIGSEGV, r"worker \d died \(killed by signal 11, SIGSEGV\)"),
        ("exit", r"worker \d died \(exit status 3\): a driver's last words"),
        ("raise", r"worker \d failed \(RuntimeError: device-side assert\)"),
    ],
)
def test_a_workers_end_is_its_cause_for_this_call_and_later_ones(work: object, message: str) -> None:
    with pool_of(Obeying(), Obeying()) as pool:
        pool.opened()
        with watched(pool.pids) as all_end:
            # The other worker waits for a gate that nobody opens. It gets no second piece before this one has
            # a first, and it is not waited for.
            with pytest.raises(WorkerError, match=message):
                list(pool.run(makes("wait for the gate", work, *range(5))))
            all_end()
        for urgent in (False, True):
            with pytest.raises(WorkerError, match=message):
                list(pool.run(makes(1), urgent=urgent))


def test_a_worker_that_was_killed_between_two_calls_shows_at_the_next() -> None:
    with pool_of(Obeying(), Obeying()) as pool:
        pool.opened()
        with watched(pool.pids[:1]) as ends:
            os.kill(pool.pids[0], signal.SIGKILL)
            ends()
        with pytest.raises(WorkerError, match=r"worker 0 died \(killed by signal 9"):
            list(pool.run(makes(1), urgent=True))


def test_callers_in_all_threads_hear_of_the_end() -> None:
    with pool_of(Obeying()) as pool, ThreadPoolExecutor(3) as threads:
        pool.opened()
        calls = [threads.submit(lambda: list(pool.run(makes("wait for the gate", 1)))) for _ in range(3)]
        os.kill(pool.pids[0], signal.SIGKILL)
        for call in calls:
            with pytest.raises(WorkerError, match="killed by signal 9"):
                call.result(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        (Refusing(), CorruptModelError, "^the weights don't fit$"),
        (Broken(), WorkerError, r"^worker 1 failed \(RuntimeError: CUDA error: out of luck\)$"),
    ],
)
def test_what_keeps_a_worker_from_starting_is_raised(task: Task, error: type[Exception], message: str) -> None:
    with pool_of(Obeying(), task) as pool, pytest.raises(error, match=message):
        pool.opened()


def test_work_that_can_not_be_sent_is_an_error_and_no_hang() -> None:
    with pool_of(Obeying()) as pool, pytest.raises(WorkerError, match="can't send work to worker 0"):
        list(pool.run(makes(lambda: "not to be pickled")))


def test_closing_ends_the_processes_in_the_middle_of_their_work() -> None:
    with pool_of(Obeying()) as pool, ThreadPoolExecutor(1) as threads, watched(pool.pids) as all_end:
        pool.opened()
        call = threads.submit(lambda: list(pool.run(makes("wait for the gate"))))
        pool.close()
        all_end()
        with pytest.raises(WorkerError, match=r"ended by close\(\)"):
            call.result(timeout=PATIENCE)
        pool.close()


def test_urgent_work_is_sent_to_a_worker_that_has_enough_to_do() -> None:
    with pool_of(Obeying()) as pool, ThreadPoolExecutor(1) as threads:
        pool.opened()
        bulk = pool.run(makes(0, "wait for the gate", *range(20)))
        next(bulk)
        urgent = threads.submit(lambda: list(pool.run(makes(Opener()), urgent=True)))
        ((_, served),) = urgent.result(timeout=PATIENCE)
        assert isinstance(served, list)
        assert len(served) < 10
        assert len(list(bulk)) == 21


def test_urgent_requests_are_taken_before_those_that_came_earlier() -> None:
    process = WorkerProcess("worker", fewer="devices")
    try:
        works = [(Obeying(), False), ("wait for the gate", True), ("bulk", False), ("urgent", True), (Opener(), False)]
        for number, (work, urgent) in enumerate(works):
            process.send(Request(number, urgent, work))
            if not number:
                process.receive()  # else the urgent one would be taken before the task itself
        assert [process.receive().number for _ in range(4)] == [1, 3, 2, 4]
    finally:
        process.kill()
        process.close()


def test_why_a_task_can_not_be_opened_is_said_to_all_that_is_asked() -> None:
    with pool_of(Refusing()) as pool:
        for _ in range(2):
            with pytest.raises(CorruptModelError, match="the weights don't fit"):
                pool.submit(1).result(PATIENCE)
