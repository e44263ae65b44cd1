"""Work distributed over worker processes: each takes the next piece when it has room, and a dead one is noticed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar, cast

from tasb_qdrant.errors import TasbQdrantError, WorkerError
from tasb_qdrant.forks import Origin
from tasb_qdrant.processes.process import WorkerProcess
from tasb_qdrant.processes.serve import Reply, Request, Task

W = TypeVar("W")
R = TypeVar("R")

QUEUED: Final = 2
"""Pieces of work sent to a worker at a time: the current one and the next, so that it never waits for the pipe."""

_JOIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """One caller's pieces; the outcome of each arrives in `done`, in any order."""

    urgent: bool
    done: SimpleQueue[tuple[int, object] | TasbQdrantError] = field(default_factory=SimpleQueue)


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    call: _Call
    position: int
    make: Callable[[], object]


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    """`waiting` is work for this worker only; `sent` is what it hasn't answered yet, by number."""

    process: WorkerProcess
    waiting: deque[_Piece] = field(default_factory=deque)
    sent: dict[int, _Piece] = field(default_factory=dict)

    @property
    def load(self) -> int:
        return len(self.waiting) + len(self.sent)


class Pending(Generic[R]):
    """A piece of work that is under way."""

    def __init__(self, done: SimpleQueue[tuple[int, object] | TasbQdrantError], settled: Callable[[], None]) -> None:
        self._done = done
        self._settled = settled

    def result(self, seconds: float) -> R | None:
        """What became of it, or None if that isn't known within so many seconds. Raises as `WorkerPool.run` does."""
        try:
            done = self._done.get(timeout=seconds)
        except Empty:
            return None
        self._settled()
        if isinstance(done, TasbQdrantError):
            raise done
        return cast("R", done[1])


class WorkerPool(Generic[W, R]):
    """Processes that do pieces of work. Safe to use from several threads.

    If one of them ends, all are ended, and every current and later caller gets that error. The owner calls `close`;
    the threads keep the pool itself alive until then.
    """

    def __init__(self, tasks: Sequence[tuple[str, Task]], *, fewer: str, elsewhere: str) -> None:
        """Start a process for each (name, task) and return at once; `opened` waits for them. Messages begin with the
        name, advise `fewer` where memory is short, and `elsewhere` in a process that was forked from the owner's."""
        # Reentrant, because the garbage collector may run `close` in a thread that holds it.
        self._changed = threading.Condition(threading.RLock())
        self._origin = Origin()
        self._elsewhere = elsewhere
        self._numbers = count()
        self._waiting: deque[_Piece] = deque()
        self._calls: set[_Call] = set()
        self._failure = ""
        self._workers: list[_Worker] = []
        self._threads: list[threading.Thread] = []
        self._opening = self._begin(urgent=False)
        try:
            for position, (name, task) in enumerate(tasks):
                worker = _Worker(WorkerProcess(name, fewer=fewer))
                self._workers.append(worker)
                worker.waiting.append(_Piece(self._opening, position, partial(_same, task)))
        except BaseException:
            self.close()
            raise
        for worker in self._workers:
            for run in (self._send, self._receive):
                thread = threading.Thread(target=run, args=(worker,), name=worker.process.name, daemon=True)
                thread.start()
                self._threads.append(thread)

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(worker.process.pid for worker in self._workers)

    @property
    def is_open(self) -> bool:
        """Whether all workers have started, so that `opened` won't wait. Only meaningful before `opened` is called."""
        return self._opening.done.qsize() >= len(self._workers) or bool(self._failure)

    def opened(self) -> list[object]:
        """What each task reported on starting, in their order. Raises whatever kept one from starting."""
        said = dict(self._finished(self._opening, len(self._workers)))
        return [said[position] for position in range(len(said))]

    def run(self, makes: Sequence[Callable[[], W]], *, urgent: bool = False) -> Generator[tuple[int, R], None, None]:
        """(position, result) of each piece of work, as they are finished. `makes` create the pieces when there is
        room, in another thread.

        Urgent work goes ahead of waiting work. Raises WorkerError if a worker ended, and what a worker raised if it
        is a TasbQdrantError. Raises ForkedError in a process that was forked from the owner's: the answers would come
        to whoever reads first.
        """
        self._origin.check("the pool of worker processes", remedy=self._elsewhere)
        for worker in self._workers:
            if not worker.process.is_running:
                self._fail(f"{worker.process.name} {worker.process.death()}")
        call = self._begin(urgent=urgent)
        pieces = [_Piece(call, position, make) for position, make in enumerate(makes)]
        with self._changed:
            if urgent:
                for piece in pieces:
                    min(self._workers, key=lambda worker: worker.load).waiting.append(piece)
            else:
                self._waiting.extend(pieces)
            self._changed.notify_all()
        yield from cast("Iterator[tuple[int, R]]", self._finished(call, len(pieces)))

    def submit(self, work: W) -> Pending[R]:
        """Have one piece of work done; many may wait. Raises WorkerError if a worker ended."""
        call = self._begin(urgent=False)
        with self._changed:
            self._waiting.append(_Piece(call, 0, partial(_given, work)))
            self._changed.notify_all()
        return Pending(call.done, lambda: self._calls.discard(call))

    def close(self) -> None:
        """End the processes. Current and later calls raise WorkerError. They go on if they are those of a process from
        which this one was forked."""
        if self._origin.is_elsewhere:
            return
        self._fail("the worker processes were ended by close(); open what they belong to again")
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)
        for worker in self._workers:
            worker.process.close()

    def _begin(self, *, urgent: bool) -> _Call:
        call = _Call(urgent)
        with self._changed:
            if self._failure:
                raise WorkerError(self._failure)
            self._calls.add(call)
        return call

    def _finished(self, call: _Call, pieces: int) -> Iterator[tuple[int, object]]:
        try:
            for _ in range(pieces):
                done = call.done.get()
                if isinstance(done, TasbQdrantError):
                    raise done
                yield done
        finally:
            with self._changed:
                self._calls.discard(call)
                for waiting in (self._waiting, *(worker.waiting for worker in self._workers)):
                    kept = [piece for piece in waiting if piece.call is not call]
                    waiting.clear()
                    waiting.extend(kept)

    def _send(self, worker: _Worker) -> None:
        """Runs in a thread per worker: callers don't send, because Ctrl-C would leave half a request in the pipe."""
        try:
            while picked := self._next(worker):
                number, piece = picked
                worker.process.send(Request(number, piece.call.urgent, piece.make()))
        except OSError:
            self._fail(f"{worker.process.name} {worker.process.death()}")
        except BaseException as error:  # it reaches the callers, who would otherwise wait for ever
            self._fail(f"can't send work to {worker.process.name} ({type(error).__name__}: {error})")

    def _next(self, worker: _Worker) -> tuple[int, _Piece] | None:
        """Wait for the next piece to send to `worker`; None at the end."""
        with self._changed:
            while not self._failure:
                pieces = worker.waiting or (self._waiting if self._has_room(worker) else None)
                if pieces:
                    number, piece = next(self._numbers), pieces.popleft()
                    worker.sent[number] = piece
                    self._changed.notify_all()
                    return number, piece
                self._changed.wait()
        return None

    def _has_room(self, worker: _Worker) -> bool:
        """Whether it is this worker's turn: none gets a second piece before all have a first."""
        return len(worker.sent) == min(len(other.sent) for other in self._workers) < QUEUED

    def _receive(self, worker: _Worker) -> None:
        name = worker.process.name
        try:
            while not (reply := worker.process.receive()).failure:
                self._settle(worker, reply)
            self._fail(f"{name} failed ({reply.failure})")
        except EOFError:
            self._fail(f"{name} {worker.process.death()}")
        except BaseException as error:  # it reaches the callers, who would otherwise wait for ever
            self._fail(f"can't read an answer from {name} ({type(error).__name__}: {error})")

    def _settle(self, worker: _Worker, reply: Reply) -> None:
        with self._changed:
            piece = worker.sent.pop(reply.number)
            self._changed.notify_all()
        piece.call.done.put(reply.error or (piece.position, reply.result))

    def _fail(self, reason: str) -> None:
        """End everything; the first reason given is the one that callers get."""
        with self._changed:
            if self._failure:
                return
            self._failure = reason
            self._waiting.clear()
            calls = list(self._calls)
            self._changed.notify_all()
        for worker in self._workers:
            worker.process.kill()
        for call in calls:
            call.done.put(WorkerError(reason))


def _same(task: Task) -> Task:
    return task


def _given(work: W) -> W:
    return work
