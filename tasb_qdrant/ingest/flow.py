"""Threads joined by bounded queues: a failure in any of them ends the run, and is what the caller sees."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS: Final = 0.1

JOIN_SECONDS: Final = 5.0
"""Seconds that all stages together have to end when the run has ended; a thread that takes longer is abandoned."""


class StoppedError(Exception):
    """The flow has failed elsewhere, so this thread should end. Never leaves this package."""


class _End:
    """Follows the last item of a channel."""


_END: Final = _End()


class Flow:
    """A run of stages. Leaving the `with` block stops and joins every thread, and raises the first failure.

    A failure is whatever a stage or the block itself raises. An interrupt of the block (Ctrl-C) is always raised,
    even if something failed before it. `stop` is set when the run ends, however it ends.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._threads: list[tuple[threading.Thread, float]] = []

    def channel(self, capacity: int) -> Channel[T]:
        """A bounded queue between two stages."""
        return Channel(capacity, self)

    def spawn(self, name: str, work: Callable[[], None], *, patience: float = JOIN_SECONDS) -> None:
        """Run `work` in a thread of its own; what it raises fails the flow.

        A thread that is still running `patience` seconds after the flow has ended is abandoned.
        """

        def run() -> None:
            try:
                work()
            except StoppedError:
                return
            except BaseException as error:  # handed to the thread that called ingest
                self.fail(error)

        # A daemon: a reader stuck on a silent stream must not keep the process alive.
        thread = threading.Thread(target=run, name=f"tasb-qdrant {name}", daemon=True)
        self._threads.append((thread, patience))
        thread.start()

    def fail(self, error: BaseException) -> None:
        """End the flow. The first failure is the one that is raised."""
        with self._lock:
            if self._failure is None:
                self._failure = error
        self._stop.set()

    def check(self) -> None:
        """Raise StoppedError once the flow has failed."""
        if self._stop.is_set():
            raise StoppedError

    def join(self, waiting: Callable[[], None]) -> None:
        """Wait for every thread to end, calling `waiting` in between. Raises StoppedError on a failure."""
        for thread, _ in self._threads:
            while thread.is_alive() and not self._stop.is_set():
                thread.join(_POLL_SECONDS)
                waiting()
        self.check()

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None and not isinstance(error, StoppedError):
            self.fail(error)
        self._stop.set()
        self._leave()
        interrupted = error is not None and not isinstance(error, Exception)
        if self._failure is not None and self._failure is not error and not interrupted:
            raise self._failure

    def _leave(self) -> None:
        deadline = time.monotonic() + JOIN_SECONDS
        for thread, patience in self._threads:
            if thread.ident is not None:  # None if the system refused to start it
                thread.join(max(0.0, min(patience, deadline - time.monotonic())))


def sleep_until(stopped: threading.Event, *, waiting: Callable[[], None]) -> Callable[[float], None]:
    """A `time.sleep` that ends early, with StoppedError, when the run has ended.

    In the thread that calls `sleep_until` it calls `waiting` meanwhile, and only an interrupt ends it early: that
    thread still has to report, and to close things.
    """
    owner = threading.get_ident()

    def sleep(seconds: float) -> None:
        if threading.get_ident() != owner:
            if stopped.wait(seconds):
                raise StoppedError
            return
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            waiting()
            time.sleep(min(left, _POLL_SECONDS))

    return sleep


class Channel(Generic[T]):
    """A bounded queue that can be closed; waiting at it ends when the flow fails."""

    def __init__(self, capacity: int, flow: Flow) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(capacity)
        self._flow = flow

    def put(self, item: T, waiting: Callable[[], None] | None = None) -> None:
        """Hand an item on; `waiting` is called while the queue is full."""
        self._put(item, waiting)

    def widen(self, capacity: int) -> None:
        """Let so many items wait from now on, if that is more than before."""
        with self._queue.mutex:
            if capacity > self._queue.maxsize:
                self._queue.maxsize = capacity
                self._queue.not_full.notify_all()

    def close(self, waiting: Callable[[], None] | None = None) -> None:
        """No more items will come."""
        self._put(_END, waiting)

    def __iter__(self) -> Iterator[T]:
        return self.items()

    def items(self, waiting: Callable[[], None] | None = None) -> Iterator[T]:
        """The items in order until the channel is closed; `waiting` is called while the queue is empty."""
        while True:
            self._flow.check()
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if waiting is not None:
                    waiting()
                continue
            if isinstance(item, _End):
                # Left for the next consumer of the same channel.
                self._put(item)
                return
            yield item

    def ready(self, limit: int) -> list[T]:
        """Up to `limit` items that are already waiting; call it between the items of an iteration."""
        found: list[T] = []
        while len(found) < limit:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if isinstance(item, _End):
                self._put(item)
                break
            found.append(item)
        return found

    def _put(self, item: T | _End, waiting: Callable[[], None] | None = None) -> None:
        while True:
            self._flow.check()
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                if waiting is not None:
                    waiting()
                continue
            return
