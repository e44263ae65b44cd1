"""What a worker process runs: it serves requests from its parent until the parent is gone."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from queue import PriorityQueue, SimpleQueue
from typing import Any, Protocol

from tasb_qdrant.errors import TasbQdrantError
from tasb_qdrant.processes.frames import read_frame, write_frame


class Task(Protocol):
    """What a worker does; it is sent as a pickle."""

    def open(self) -> tuple[object, Callable[[Any], object]]:
        """(what to tell the parent on starting, the function that answers requests). Runs in the worker."""


@dataclass(frozen=True, slots=True)
class Request:
    """`work` for the worker's task; the very first request is the task itself. Urgent requests are taken first."""

    number: int
    urgent: bool
    work: object


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to request `number`. `error` is the request's fault; a `failure` ends the worker."""

    number: int
    result: object = None
    error: TasbQdrantError | None = None
    failure: str = ""


def main() -> None:
    """Serve the parent on standard input and output."""
    # Ctrl-C reaches every process of the terminal, and a service manager's SIGTERM every process of the service;
    # the parent decides what they mean, and then closes the pipe.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    requests, replies = _take_over_standard_streams()
    waiting: PriorityQueue[tuple[bool, int, object]] = PriorityQueue()
    answered: SimpleQueue[Reply] = SimpleQueue()
    for run, stream, queue in ((_receive, requests, waiting), (_reply, replies, answered)):
        threading.Thread(target=_or_end, args=(run, stream, queue), daemon=True).start()
    answer: Callable[[Any], object] | None = None
    refused: TasbQdrantError | None = None
    while True:
        _, number, work = waiting.get()
        try:
            if refused is not None:
                raise refused
            if answer is None:
                result, answer = work.open()  # type: ignore[attr-defined]  # the first one is the task
            else:
                result = answer(work)
            reply = Reply(number, result)
        except TasbQdrantError as error:
            refused = error if answer is None else None  # a task that can't be opened says so to all that is asked
            reply = Reply(number, error=error)
        except Exception as error:  # passed on: after a CUDA error, for one, nothing works any more
            reply = Reply(number, failure=f"{type(error).__name__}: {error}")
        answered.put(reply)


def _take_over_standard_streams() -> tuple[FileIO, FileIO]:
    """Take the two pipes. What libraries print goes to standard error, and child processes inherit neither pipe."""
    requests, replies = FileIO(os.dup(0)), FileIO(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def _receive(requests: FileIO, waiting: PriorityQueue[tuple[bool, int, object]]) -> None:
    """Always reading, so that the parent never waits for a busy worker, and its end is noticed at once."""
    while isinstance(request := read_frame(requests), Request):
        waiting.put((not request.urgent, request.number, request.work))


def _reply(replies: FileIO, answered: SimpleQueue[Reply]) -> None:
    """Send replies while the next piece is computed: sending vectors takes a quarter of a large GPU's time for them."""
    while True:
        write_frame(replies, answered.get())


def _or_end(run: Callable[[FileIO, Any], None], stream: FileIO, queue: object) -> None:
    """Run a thread that the worker can't do without: if it fails, the worker ends."""
    status = 1
    try:
        run(stream, queue)
    except (EOFError, BrokenPipeError):
        status = 0  # the parent has gone
    except Exception:
        traceback.print_exc()  # where the parent looks when a worker has died
    finally:
        os._exit(status)
