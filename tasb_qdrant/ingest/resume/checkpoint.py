"""Which windows are stored for sure, and what a checkpoint says about them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.errors import StateCorruptError
from tasb_qdrant.ingest.resume.identity import ReadIdentity, TargetIdentity
from tasb_qdrant.ingest.resume.sample import StoredRow, StoredSample

FORMAT: Final = 2
"""The latest. Format 1 had no load and no sample: nothing told whether what it covers is still stored."""


class Counts(BaseModel):
    """What the first `windows` of a source came to. Their `points` are in the collection.

    Of these, `stored` were stored by the run and `skipped` were there already; `truncated` and `tokens` count only
    those stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: int = Field(default=0, ge=0)
    points: int = Field(default=0, ge=0)
    stored: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)
    truncated: int = Field(default=0, ge=0)
    tokens: int = Field(default=0, ge=0)

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in Counts.model_fields})


class Checkpoint(BaseModel):
    """What an interrupted run resumes from: these windows of this source are in this collection.

    It is checkpoint `number` of a `load`, by whose random name the collection knows that number, too. `sample` are some
    of the points, the latest among them, out of `sampled`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    reading: ReadIdentity
    target: TargetIdentity
    done: Counts
    load: str = ""
    number: int = 0
    sample: tuple[StoredRow, ...] = ()
    sampled: int = 0

    def to_bytes(self) -> bytes:
        """As JSON."""
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes, *, place: str) -> Checkpoint:
        """The inverse of `to_bytes`. Raises StateCorruptError, with `place` for where it was."""
        try:
            return cls.model_validate_json(content)
        except ValidationError:
            raise StateCorruptError(
                f"{place}: the checkpoint can't be read, perhaps because a later version wrote it; "
                "upgrade tasb-qdrant, or start over with --restart"
            ) from None


Changed = tuple[Sequence[PointId], Sequence[bytes]]
"""Points that get another payload, each with it as canonical JSON."""


@dataclass(slots=True)
class _Open:
    """A window under way, and what it changes. `batches` is None until it is known how many it has."""

    counts: Counts
    changed: Changed
    batches: int | None = None


class Ledger:
    """Which windows are acknowledged as a whole. Batches may be acknowledged in any order; only leading windows count.

    Safe to use from several threads.
    """

    def __init__(self, start: Counts, sample: StoredSample | None = None) -> None:
        self.start = start
        self._sample = sample or StoredSample()
        self._done = start
        self._under_way: dict[int, _Open] = {}
        self._finished: dict[int, _Open] = {}
        self._window_of: dict[int, tuple[PointBatch, int]] = {}
        self._lock = threading.Lock()

    @property
    def done(self) -> Counts:
        """The counts of the leading windows that are acknowledged as a whole, earlier runs' included."""
        with self._lock:
            return self._done

    @property
    def saved(self) -> tuple[Counts, tuple[StoredRow, ...], int]:
        """`done`, a sample of what was stored in those windows, and of how many points it is one."""
        with self._lock:
            return self._done, self._sample.rows(), self._sample.seen

    def restart(self, start: Counts) -> None:
        """Go on as if only so much had been done before; no window may be under way."""
        with self._lock:
            self.start = self._done = start
            self._sample = StoredSample()

    def begin(self, window: int, counts: Counts, changed: Changed = ((), ())) -> None:
        """A window was read, will come to these counts, and changes these points; one with nothing to store is done at
        once."""
        with self._lock:
            self._under_way[window] = _Open(counts, changed)
            if not counts.stored:
                self._finish(window)

    def expect(self, window: int, batches: Sequence[PointBatch]) -> None:
        """All the batches of a window, before the first of them is sent."""
        with self._lock:
            self._under_way[window].batches = len(batches)
            for batch in batches:
                self._window_of[id(batch)] = (batch, window)  # kept alive, so that no other batch gets its id

    def acknowledged(self, batch: PointBatch) -> None:
        """The collection has confirmed a whole batch."""
        with self._lock:
            _, window = self._window_of.pop(id(batch))
            under_way = self._under_way[window]
            under_way.batches = (under_way.batches or 0) - 1
            if not under_way.batches:
                self._finish(window)

    def _finish(self, window: int) -> None:
        self._finished[window] = self._under_way.pop(window)
        while (finished := self._finished.pop(self._done.windows, None)) is not None:
            self._done = self._done.plus(finished.counts)
            self._sample.add(*finished.changed)
