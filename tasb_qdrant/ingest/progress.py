"""How far a run has got: counted by its stages, read from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from tasb_qdrant.collection.info import OptimizeProgress
from tasb_qdrant.collection.watch import Watch
from tasb_qdrant.printable import logger

T = TypeVar("T")

log: Final = logger(__name__)

TELL_SECONDS: Final = 0.1
"""The least time between two calls of `on_progress` in a phase; drawing a bar more often is a waste."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A snapshot of a run. `phase` says in words what is going on.

    Of the passages `read` so far, out of `bytes_read` of `bytes_total` (None for a stream), some were `encoded` (from
    `tokens`; `truncated` of them were too long) and `stored`, others `updated`, `skipped` or `rejected`, as in an
    IngestReport; `deleted` counts points. `index` is how far the vector index is built, while it is.
    `loading_seconds` is the part of `seconds` in which passages went from the source to the collection.
    `waiting_for` says what holds things up, if anything does, and `notes` what was chosen on the user's
    behalf so far. Where texts are split, `documents` counts those that the passages read belong to, and
    `titles_split` their titles that were too long to be repeated. A verification counts what it has `compared`,
    out of `to_compare` if that is known.
    """

    phase: str = "starting"
    documents: int = 0
    titles_split: int = 0
    read: int = 0
    encoded: int = 0
    stored: int = 0
    updated: int = 0
    deleted: int = 0
    skipped: int = 0
    rejected: int = 0
    truncated: int = 0
    tokens: int = 0
    compared: int = 0
    to_compare: int | None = None
    bytes_read: int = 0
    bytes_total: int | None = None
    index: OptimizeProgress | None = None
    seconds: float = 0.0
    loading_seconds: float = 0.0
    waiting_for: str = ""
    notes: tuple[str, ...] = ()

    @property
    def passages_per_second(self) -> float:
        """Passages encoded per second of loading; opening the model and building the index don't count."""
        return self.encoded / self.loading_seconds if self.loading_seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        """The same in tokens."""
        return self.tokens / self.loading_seconds if self.loading_seconds else 0.0

    @property
    def fraction(self) -> float | None:
        """The share of the source that is done, from 0 to 1; None if its size isn't known.

        Reading runs ahead of encoding, so the share of the bytes read is scaled by that of the passages read that
        are done.
        """
        if self.to_compare is not None:
            return min(1.0, self.compared / self.to_compare) if self.to_compare else None
        if not self.bytes_total:
            return None
        done = self.encoded + self.updated + self.skipped + self.rejected + self.compared
        return min(1.0, self.bytes_read / self.bytes_total * (done / self.read if self.read else 0.0))


@dataclass(slots=True)
class Counters:
    """The live counts. Every stage adds to it from its own thread; `snapshot` is consistent."""

    on_progress: Callable[[Progress], None] | None = None
    clock: Callable[[], float] = time.monotonic
    stages: dict[str, float] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
    _now: Progress = field(default_factory=Progress)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: float = 0.0
    _loading: tuple[float, float | None] | None = None
    _told: float = 0.0
    _thread: int = field(default_factory=threading.get_ident)

    def __post_init__(self) -> None:
        self._started = self._told = self.clock()

    def add(
        self,
        *,
        documents: int = 0,
        titles_split: int = 0,
        read: int = 0,
        encoded: int = 0,
        stored: int = 0,
        updated: int = 0,
        deleted: int = 0,
        skipped: int = 0,
        rejected: int = 0,
        truncated: int = 0,
        tokens: int = 0,
    ) -> None:
        """Add to the counts."""
        with self._lock:
            now = self._now
            self._now = replace(
                now,
                documents=now.documents + documents,
                titles_split=now.titles_split + titles_split,
                read=now.read + read,
                encoded=now.encoded + encoded,
                stored=now.stored + stored,
                updated=now.updated + updated,
                deleted=now.deleted + deleted,
                skipped=now.skipped + skipped,
                rejected=now.rejected + rejected,
                truncated=now.truncated + truncated,
                tokens=now.tokens + tokens,
            )

    def note(self, sentences: Sequence[str]) -> None:
        """Report at once what was chosen on the user's behalf: hours later is too late to object."""
        with self._lock:
            self._now = replace(self._now, notes=(*self._now.notes, *sentences))
        self._tell_now()

    def encoded(self, passages: int) -> None:
        """Count passages that the encoder has just finished, and report."""
        self.add(encoded=passages)
        self.tell()

    @contextmanager
    def encoding(self, passages: int, tokens: int) -> Iterator[Callable[[int], None]]:
        """While so many passages are encoded: a function for the encoder to count those that it has just finished.

        Their share of the tokens counts with them, and not when they are tokenized: that runs windows ahead, and rates
        would begin several times too high.
        """
        done = 0

        def count(more: int) -> None:
            nonlocal done
            before, done = done, min(done + more, passages)
            self.add(encoded=done - before, tokens=tokens * done // passages - tokens * before // passages)
            self.tell()

        yield count
        if done < passages:
            count(passages - done)

    def restart(self) -> None:
        """Count from 0 again: the source was only surveyed so far, and is read for good now."""
        with self._lock:
            self._now = Progress(phase=self._now.phase, notes=self._now.notes)

    def compare(self, phase: str, total: int | None) -> None:
        """Begin a phase of comparing, out of `total` if that is known."""
        with self._lock:
            self._now = replace(self._now, compared=0, to_compare=total)
        self.phase(phase)

    def compared(self, count: int) -> None:
        """Count what has just been compared, and report."""
        with self._lock:
            self._now = replace(self._now, compared=self._now.compared + count)
        self.tell()

    def position(self, bytes_read: int, bytes_total: int | None) -> None:
        """Where the reader is in the source."""
        with self._lock:
            self._now = replace(self._now, bytes_read=bytes_read, bytes_total=bytes_total)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """The phase in which passages go from the source to the collection; rates are per second of it."""
        self._loading = (self.clock(), None)
        self.phase("encoding")
        try:
            yield
        finally:
            self._loading = (self._loading[0], self.clock())

    @contextmanager
    def aside(self, phase: str) -> Iterator[None]:
        """A phase within another one, whose time doesn't count for the rates."""
        before, began = self._now.phase, self.clock()
        self.phase(phase)
        try:
            yield
        finally:
            self.phase(before)
            if self._loading is not None:
                self._loading = (self._loading[0] + self.clock() - began, self._loading[1])

    def phase(self, phase: str, index: OptimizeProgress | None = None) -> None:
        """Set what is going on; a new phase is reported at once."""
        with self._lock:
            is_new = phase != self._now.phase
            self._now = replace(self._now, phase=phase, index=index)
        if is_new:
            log.debug("%s", phase)
            self._tell_now()
        else:
            self.tell()

    def snapshot(self) -> Progress:
        """The counts now."""
        with self._lock:
            return replace(
                self._now,
                seconds=self.clock() - self._started,
                loading_seconds=self._loading_seconds(),
                waiting_for=self.watch.waiting_for(),
            )

    def _loading_seconds(self) -> float:
        if self._loading is None:
            return 0.0
        began, ended = self._loading
        return (self.clock() if ended is None else ended) - began

    def tell(self) -> None:
        """Report the counts to `on_progress`, unless that was done within the last TELL_SECONDS.

        Only from the thread that made the counters: an encoder may count from others.
        """
        if self.on_progress is not None and self.clock() - self._told >= TELL_SECONDS:
            self._tell_now()

    def finish(self) -> Progress:
        """Report that the run is done; returns its final counts."""
        with self._lock:
            self._now = replace(self._now, phase="done", index=None)
        return self._tell_now()

    def _tell_now(self) -> Progress:
        now = self.snapshot()
        if self.on_progress is not None and threading.get_ident() == self._thread:
            self._told = self.clock()
            self.on_progress(now)
        return now

    def timed(self, stage: str, items: Generator[T, None, None]) -> Generator[T, None, None]:
        """The items; the time spent making each counts for the stage. Closing this closes `items`."""
        with closing(items):
            while True:
                with self.busy(stage):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to the stage's busy seconds."""
        started = self.clock()
        try:
            yield
        finally:
            with self._lock:
                self.stages[stage] = self.stages.get(stage, 0.0) + self.clock() - started
