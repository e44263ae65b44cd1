"""Steps: a search, or a read of a store, written once for those who wait for it and those who await it.

It is a generator. It yields what has to be waited for, is sent the answer, and returns the result; one that needs
another says `yield from`. `carry_out` drives it where threads wait, `carry_out_async` in an event loop. Both let
`carry` answer each step, and end the whole, encoding and every request included, at one deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeAlias, TypeVar

from tasb_qdrant.errors import SearchTimeoutError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Requests:
    """A store's own requests, which may be under way at once; answered by a list of their answers, in order."""

    requests: Sequence[Any]


@dataclass(frozen=True, slots=True)
class EncodeQueries:
    """Answered by float32 (n, dim), a row for each query."""

    queries: Sequence[str]


@dataclass(frozen=True, slots=True)
class EncodePassages:
    """Answered by float32 (n, dim), a row for each text."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Work:
    """Other work that takes a while, answered by what it returns. `did` says what was done; `encodes` that it is a
    model's work, and not the store's."""

    run: Callable[[], Any]
    did: str = "changed the collection"
    encodes: bool = False


Step: TypeAlias = Requests | EncodeQueries | EncodePassages | Work

Steps: TypeAlias = Generator[Step, Any, T]
"""Returns a T once its steps are answered."""

StoreSteps: TypeAlias = Generator[Requests, Any, T]
"""The same, of requests alone."""


def encode_queries(queries: Sequence[str]) -> Steps[NDArray[np.float32]]:
    """The vectors of queries."""
    vectors: NDArray[np.float32] = yield EncodeQueries(queries)
    return vectors


def encode_passages(texts: Sequence[str]) -> Steps[NDArray[np.float32]]:
    """The vectors of passages."""
    vectors: NDArray[np.float32] = yield EncodePassages(texts)
    return vectors


def work(run: Callable[[], T], did: str = "changed the collection", *, encodes: bool = False) -> Steps[T]:
    """What `run` returns."""
    answer: T = yield Work(run, did, encodes)
    return answer


def together(plans: Sequence[StoreSteps[T]]) -> StoreSteps[list[T]]:
    """What each of the plans returns: side by side, so that what they ask for at the same time is sent together.

    What that raises is raised in each plan that asked, since any of them may be who it is about: one that goes on
    after it does, and what another lets pass ends all of them."""
    results: dict[int, T] = {}
    asked: dict[int, Requests] = {}

    def go_on(number: int, move: Callable[[], Requests]) -> None:
        try:
            asked[number] = move()
        except StopIteration as done:
            results[number] = done.value

    for number, plan in enumerate(plans):
        go_on(number, partial(next, plan))
    while asked:
        waiting = dict(asked)
        asked.clear()
        try:
            answers = iter((yield Requests([request for step in waiting.values() for request in step.requests])))
        except Exception as error:
            for number in waiting:
                go_on(number, partial(plans[number].throw, error))
        else:
            for number, step in waiting.items():
                go_on(number, partial(plans[number].send, [next(answers) for _ in step.requests]))
    return [results[number] for number in range(len(plans))]


@dataclass(slots=True)
class Deadline:
    """When a call is to end, with all of its steps and their retries. `allowed` is in seconds, `until` by
    time.monotonic; None is never."""

    allowed: float | None
    until: float | None

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        """It runs from now on."""
        return cls(seconds, None if seconds is None else time.monotonic() + seconds)

    def check(self) -> None:
        """Raises SearchTimeoutError when no time is left."""
        if self.until is not None and time.monotonic() >= self.until:
            raise self.missed()

    def missed(self, why: str = "") -> SearchTimeoutError:
        """The error for it. `why` says what took the time."""
        allowed = self.allowed or 0.0
        reason = f" ({why})" if why else ""
        return SearchTimeoutError(
            f"not done within the timeout of {allowed:g} s{reason}; allow more time", timeout=allowed
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time that the block takes doesn't count."""
        began = time.monotonic()
        try:
            yield
        finally:
            if self.until is not None:
                self.until += time.monotonic() - began

    def left(self, most: float) -> float:
        """Seconds, `most` at most. Never 0, which some clients take for no limit at all."""
        return most if self.until is None else min(most, max(self.until - time.monotonic(), 0.001))


NEVER: Final = Deadline(None, None)


def carry_out(steps: Generator[S, Any, T], carry: Callable[[S, Deadline], Any], deadline: Deadline = NEVER) -> T:
    """What the steps return, each answered by `carry`; what that raises is raised where the step was yielded."""
    try:
        step = next(steps)
        while True:
            try:
                deadline.check()
                answer = carry(step, deadline)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result


async def carry_out_async(
    steps: Generator[S, Any, T],
    carry: Callable[[S, Deadline], Awaitable[Any]],
    deadline: Deadline = NEVER,
    *,
    in_thread: bool = False,
) -> T:
    """The same, awaited. With `in_thread`, what lies between the steps is work, and is done in a thread."""

    def go_on(move: Callable[..., S], *given: Any) -> S | _Done[T]:
        # A StopIteration can't be raised into a future.
        try:
            return move(*given)
        except StopIteration as done:
            return _Done(done.value)

    async def moved(move: Callable[..., S], *given: Any) -> S | _Done[T]:
        return await asyncio.to_thread(go_on, move, *given) if in_thread else go_on(move, *given)

    step = await moved(next, steps)
    while not isinstance(step, _Done):
        try:
            deadline.check()
            answer = await carry(step, deadline)
        except BaseException as error:
            step = await moved(steps.throw, error)
        else:
            step = await moved(steps.send, answer)
    return step.result


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    """The end of the steps."""

    result: T
