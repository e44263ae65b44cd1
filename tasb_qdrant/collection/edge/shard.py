"""The engine's shard of an open collection, whose users take turns.

The engine may be asked by several threads at once, but holds the interpreter's lock while it answers, so that
they take turns anyway (measured on 0.9: a batch of 300 exact queries stopped every other thread for 436 ms).
Queries go one by one for that reason: between two of them others get their turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import qdrant_edge as edge

from tasb_qdrant.collection.edge import reserve
from tasb_qdrant.collection.edge.checksums import Checksums
from tasb_qdrant.collection.edge.engine import engine_error, is_engine_error
from tasb_qdrant.collection.edge.files import (
    EdgeLock,
    in_memory,
    load_schema,
    mark_edited,
    note_metadata,
    read_metadata,
    save_schema,
    shard_folder,
)
from tasb_qdrant.collection.edge.opening import open_shard
from tasb_qdrant.collection.edge.optimize import build_in_child
from tasb_qdrant.collection.edge.room import Room, Writing
from tasb_qdrant.collection.edge.wire import EdgeRequest, EdgeWire
from tasb_qdrant.collection.reads.state import State
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.collection.reads.wire import Indexes, most_compared
from tasb_qdrant.collection.schema import CollectionSchema, check_same
from tasb_qdrant.collection.watch import SLOW_READ_SECONDS, log_answer
from tasb_qdrant.errors import CollectionError
from tasb_qdrant.forks import Origin
from tasb_qdrant.printable import logger
from tasb_qdrant.steps import NEVER, Deadline

log: Final = logger(__name__)

_REMEDY: Final = (
    "close it before the fork and open it in the process that uses it, as one process at a time can have it open; or "
    "use a server, which every process can (docs/workers.md)"
)

_LONGEST: Final = 86_400.0
"""Seconds that a turn is waited for at most: a deadline is no further away."""

_BATCH: Final = 1
"""Queries that the engine answers at a time, while every other thread stands still. With its vector index it is
quickest so: 1,000 queries of 6,000 points took 2.1 s one by one, 3.4 s by eights, 5.6 s by 64."""


class OpenShard:
    """A shard, and the lock on its collection's folder, for all who open it through one store. `users` counts them."""

    def __init__(self, folder: Path, *, lock_wait: float = 0.0) -> None:
        self.folder = folder
        self.users = 0
        self._origin = Origin()
        self._file_lock = EdgeLock(folder)
        self._turn = threading.RLock()
        self._file_lock.acquire(lock_wait)
        try:
            self.schema = load_schema(folder)
            self._sums = Checksums(folder, shard_folder(folder))
            self._sums.check_on_opening()
            self._shard: edge.EdgeShard | None = self._open()
            self._sums.opened()
            self._room = Room(shard_folder(folder))
            state = State(
                self.schema, Indexes({}), most_compared=most_compared(self.schema, in_memory=in_memory(folder))
            )
            self.steps = ReadSteps(
                EdgeWire(state), state, name=folder.name, location=str(folder.parent), batch_queries=_BATCH
            )
        except BaseException:
            self._file_lock.release()
            raise

    @contextmanager
    def engine(self, doing: str, deadline: Deadline = NEVER) -> Iterator[edge.EdgeShard]:
        """The shard, for one caller at a time, whose turn comes by the `deadline`. What the engine raises becomes an
        error of ours."""
        self.check_process()
        with self._own_turn(deadline):
            if self._shard is None:
                raise closed_error(self.folder.name)
            try:
                yield self._shard
            except BaseException as error:
                if not is_engine_error(error):
                    raise
                raise engine_error(error, self.folder, doing) from error

    @contextmanager
    def _own_turn(self, deadline: Deadline) -> Iterator[None]:
        """Raises SearchTimeoutError if others take too long, such as a build of the index."""
        wait = -1.0 if deadline.until is None else deadline.left(_LONGEST)
        if not self._turn.acquire(timeout=wait):
            raise deadline.missed("another call had the collection all the time")
        try:
            yield
        finally:
            self._turn.release()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this process was forked from the one that opened it."""
        return self._origin.is_elsewhere

    def check_process(self) -> None:
        """Raises ForkedError in a process that was forked from the one that opened it: the engine's threads were not
        copied, and whoever asks it waits for them for ever."""
        self._origin.check(f"the embedded collection {self.folder.name!r}", remedy=_REMEDY)

    @contextmanager
    def writing(self, doing: str, size: Writing) -> Iterator[edge.EdgeShard]:
        """The same, for an update of that size, when the disk has room for it, else DiskFullError."""
        with self.engine(doing) as shard:
            self._room.for_update(size, doing)
            self._sums.writing()
            yield shard

    @contextmanager
    def indexing(self, doing: str, *, texts: Sequence[bool], points: int) -> Iterator[edge.EdgeShard]:
        """The same, for a payload index for each of `texts`, which says whether it is of texts."""
        with self.engine(doing) as shard:
            self._room.for_indexes(texts, points=points, doing=doing)
            self._sums.writing()
            yield shard

    def send(self, requests: Sequence[EdgeRequest], deadline: Deadline) -> list[Any]:
        """The answers to requests. One that is under way can't be stopped: the deadline is checked between them."""
        answers = []
        for request in requests:
            deadline.check()
            began = time.monotonic()
            with self.engine(request.doing, deadline) as shard:
                answers.append(request.run(shard))
            log_answer(log, f"{self.folder}, {request.doing}", time.monotonic() - began, slow=SLOW_READ_SECONDS)
        return answers

    def build_index(self, while_waiting: Callable[[], None]) -> None:
        """Build the vector index over every point, while everyone else waits for a turn.

        The engine holds the interpreter's lock for as long as it builds, so a process of its own does
        the work: progress and Ctrl-C stay alive here.
        """
        self.check_process()
        with self._turn:
            self.flush()
            self._sums.writing()
            self._close_shard()
            try:
                build_in_child(shard_folder(self.folder), lock=self._file_lock.fileno(), while_waiting=while_waiting)
            except BaseException as error:
                if not is_engine_error(error):
                    raise
                raise engine_error(error, self.folder, "building the vector index") from error
            finally:
                self._shard = self._open()
                self.steps.filtering.ways.forget()

    def check_before_writing(self) -> None:
        """Raises StoreCorruptError for files of a small store that aren't as they were written."""
        self.check_process()
        with self._turn:
            self._sums.check_before_writing()

    def damaged(self) -> list[str] | None:
        """The engine's files that aren't as they were written last; None where that isn't known."""
        self.check_process()
        with self._turn:
            return self._sums.damaged()

    def mark_edited(self) -> None:
        """Note in the sidecar that passages are edited now."""
        self.check_process()
        with self._turn:
            self.schema = mark_edited(self.folder)

    def record(self, schema: CollectionSchema) -> None:
        """Write down what the collection says of itself now. Raises CollectionError."""
        self.check_process()
        with self._turn:
            save_schema(self.folder, schema)
            self.schema = schema

    def metadata_now(self) -> Mapping[str, Any]:
        """What stands in the sidecar. Raises CollectionReplacedError if that is another collection's by now."""
        self.check_process()
        with self._turn:
            metadata = read_metadata(self.folder)
        check_same(self.schema, metadata, name=self.folder.name, location=str(self.folder.parent))
        return metadata

    def note(self, metadata: Mapping[str, Any], doing: str) -> None:
        """Merge these keys into the sidecar; null removes one. Raises CollectionError."""
        self.check_process()
        with self._turn:
            note_metadata(self.folder, metadata, doing)

    def flush(self) -> None:
        """Return when everything stored so far is on disk."""
        with self.engine("writing to disk") as shard:
            shard.flush()
            self._room.flushed()

    def close(self) -> None:
        """Write everything to disk, and let other processes open the collection."""
        with self._turn:
            try:
                if self._shard is not None:
                    self._close_shard()
                    self._sums.closed(in_memory=self._room.in_memory)
                    reserve.keep(self.folder)
            finally:
                self._file_lock.release()

    def _open(self) -> edge.EdgeShard:
        reserve.release_if_short(self.folder)
        return open_shard(self.folder, lock=self._file_lock.fileno())

    def _close_shard(self) -> None:
        with self.engine("closing the collection") as shard:
            self._shard = None
            shard.close()


def closed_error(name: str) -> CollectionError:
    """For using a collection after it was closed."""
    return CollectionError(f"collection {name!r} is closed; open it again")
