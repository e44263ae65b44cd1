"""What both searchers do is written once, as generators: they yield what they wait for, and a driver waits.

A step is a query to encode or a read from the collection. The driver of `Searcher` carries it out and sends the
result back; that of `AsyncSearcher` awaits it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasb_qdrant.collection.reads.questions import Reads

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EncodeQueries:
    """Answered by float32 (n, dim), a row a query."""

    queries: Sequence[str]


@dataclass(frozen=True, slots=True)
class EncodePassages:
    """Answered by float32 (n, dim), a row a text."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Work:
    """Other work that takes a while, answered by what it returns."""

    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Read:
    """Answered by what the call gives, once it is there. Reads and AsyncReads have the same methods."""

    call: Callable[[Any], Any]


Step: TypeAlias = EncodeQueries | EncodePassages | Work | Read

Steps: TypeAlias = Generator[Step, Any, T]
"""What returns a T, once its steps are answered."""


def read(call: Callable[[Reads], T]) -> Steps[T]:
    """What the call gives: `points = yield from read(lambda reads: reads.query(...))`."""
    answer: T = yield Read(call)
    return answer


def encode_queries(queries: Sequence[str]) -> Steps[NDArray[np.float32]]:
    """The vectors of queries."""
    vectors: NDArray[np.float32] = yield EncodeQueries(queries)
    return vectors


def encode_passages(texts: Sequence[str]) -> Steps[NDArray[np.float32]]:
    """The vectors of passages."""
    vectors: NDArray[np.float32] = yield EncodePassages(texts)
    return vectors


def work(run: Callable[[], T]) -> Steps[T]:
    """What `run` returns."""
    answer: T = yield Work(run)
    return answer


def carry_out(steps: Steps[T], *, carry: Callable[[Step], Any]) -> T:
    """Answer each step by `carry`; what it raises is raised where the step was yielded."""
    try:
        step = next(steps)
        while True:
            try:
                answer = carry(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result


async def carry_out_async(steps: Steps[T], *, carry: Callable[[Step], Awaitable[Any]]) -> T:
    """The same, awaited."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await carry(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result
