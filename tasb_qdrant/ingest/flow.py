"""Threads joined by bounded queues, where a failure anywhere ends the whole, with its cause."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS: Final = 0.1

JOIN_SECONDS: Final = 5.0
"""How long a stage may take to notice that the run has ended, before it is left behind."""


class StoppedError(Exception):
    """The flow has failed elsewhere: this thread is to end. Never leaves this package."""


class _End:
    """Follows the last item of a channel."""


_END: Final = _End()


class Flow:
    """A run of stages. Leaving the `with` block stops and joins every thread, and raises their failure."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def channel(self, capacity: int) -> Channel[T]:
        """A bounded queue between two stages."""
        return Channel(capacity, self)

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread of its own; what it raises fails the flow."""

        def run() -> None:
            try:
                work()
            except StoppedError:
                return
            except BaseException as error:  # handed to the thread that called ingest
                self.fail(error)

        # A daemon: a reader stuck on a silent stream must not keep the process alive.
        thread = threading.Thread(target=run, name=f"tasb-qdrant {name}", daemon=True)
        self._threads.append(thread)
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
        """Wait for every thread to end, calling `waiting` in between. Raises the first failure."""
        for thread in self._threads:
            while thread.is_alive():
                if self._failure is not None:
                    thread.join(JOIN_SECONDS)
                    break
                thread.join(_POLL_SECONDS)
                waiting()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        if self._failure is not None and (error is None or isinstance(error, StoppedError)):
            raise self._failure


class Channel(Generic[T]):
    """A bounded queue with an end, whose waits end when the flow fails."""

    def __init__(self, capacity: int, flow: Flow) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(capacity)
        self._flow = flow

    def put(self, item: T, waiting: Callable[[], None] | None = None) -> None:
        """Hand an item on; `waiting` is called while the queue is full."""
        self._put(item, waiting)

    def close(self) -> None:
        """No more items will come."""
        self._put(_END)

    def __iter__(self) -> Iterator[T]:
        return self.items()

    def items(self, waiting: Callable[[], None] | None = None) -> Iterator[T]:
        """The items in order until the channel is closed; `waiting` is called while none is there."""
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
