"""How far a run is: counted by the stages, looked at from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tasb_qdrant.collection.protocol import OptimizeProgress

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run. `phase` says in words what is going on; `bytes_total` is None for a stream."""

    phase: str = "starting"
    read: int = 0
    encoded: int = 0
    stored: int = 0
    skipped: int = 0
    rejected: int = 0
    truncated: int = 0
    tokens: int = 0
    bytes_read: int = 0
    bytes_total: int | None = None
    index: OptimizeProgress | None = None
    seconds: float = 0.0

    @property
    def fraction(self) -> float | None:
        """Of the source, how much has been dealt with; None when its size isn't known.

        Reading runs ahead of encoding, so the bytes read count by the share of their passages done.
        """
        if not self.bytes_total:
            return None
        done = self.encoded + self.skipped + self.rejected
        return min(1.0, self.bytes_read / self.bytes_total * (done / self.read if self.read else 0.0))


@dataclass(slots=True)
class Counters:
    """The live counts. Every stage adds to it from its own thread; `snapshot` is consistent."""

    on_progress: Callable[[Progress], None] | None = None
    clock: Callable[[], float] = time.monotonic
    stages: dict[str, float] = field(default_factory=dict)
    _now: Progress = field(default_factory=Progress)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: float = 0.0

    def __post_init__(self) -> None:
        self._started = self.clock()

    def add(
        self,
        *,
        read: int = 0,
        encoded: int = 0,
        stored: int = 0,
        skipped: int = 0,
        rejected: int = 0,
        truncated: int = 0,
        tokens: int = 0,
    ) -> None:
        """Count on."""
        with self._lock:
            now = self._now
            self._now = replace(
                now,
                read=now.read + read,
                encoded=now.encoded + encoded,
                stored=now.stored + stored,
                skipped=now.skipped + skipped,
                rejected=now.rejected + rejected,
                truncated=now.truncated + truncated,
                tokens=now.tokens + tokens,
            )

    def encoded(self, passages: int) -> None:
        """Count passages that the encoder has just done, and tell."""
        self.add(encoded=passages)
        self.tell()

    def position(self, bytes_read: int, bytes_total: int | None) -> None:
        """Where the reader is in the source."""
        with self._lock:
            self._now = replace(self._now, bytes_read=bytes_read, bytes_total=bytes_total)

    def phase(self, phase: str, index: OptimizeProgress | None = None) -> None:
        """What is going on from now on; told at once."""
        with self._lock:
            self._now = replace(self._now, phase=phase, index=index)
        self.tell()

    def snapshot(self) -> Progress:
        """This moment."""
        with self._lock:
            return replace(self._now, seconds=self.clock() - self._started)

    def tell(self) -> None:
        """Show this moment to who asked for it; called in the thread that called `ingest`."""
        if self.on_progress is not None:
            self.on_progress(self.snapshot())

    def timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """The items; the time spent making each counts for the stage."""
        iterator = iter(items)
        while True:
            with self.busy(stage):
                try:
                    item = next(iterator)
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
