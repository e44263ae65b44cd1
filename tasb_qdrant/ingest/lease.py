"""A load's lease on its collection: it says that the load lives, and sees what others do to the collection.

While it is held, the collection is looked at again and again: one that was made anew, or restored from an older copy,
ends the load. Other loads see it, too: a synchronisation deletes nothing while one is under way, and the last to end
builds the vector index. Whether another load lives is seen by its heartbeat alone, since clocks may differ.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasb_qdrant.collection.loads import LoadMark, LoadPhase, Loads
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.errors import CollectionError, CollectionReplacedError, LoadUnderWayError
from tasb_qdrant.printable import logger

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasb_qdrant.collection.protocol import Collection

log: Final = logger(__name__)

BEAT_SECONDS: Final = 5.0
"""Between two heartbeats."""

STALE_SECONDS: Final = 30.0
"""A load without a heartbeat for so long is taken for dead."""

_LOOK_SECONDS: Final = 1.0
"""Between two looks at loads of which it isn't known yet whether they live."""

_JOIN_SECONDS: Final = 5.0

_NUMBERS: Final = 8
"""The first numbers of a vector, by which it is recognised."""


def new_load() -> str:
    """A random name for a load."""
    return uuid.uuid4().hex


@dataclass(slots=True)
class _Sent:
    """A batch on its way, or stored since the last look: its ids, and the start of each vector, float32 (n, 8)."""

    batch: PointBatch | None
    ids: list[int | str]
    starts: NDArray[np.float32]


@dataclass(slots=True)
class _Seen:
    """The latest heartbeat of another load, since when it is known, and whether it ever changed."""

    beat: int
    since: float
    lives: bool = False


class Lease:
    """The lease of one load, `load`, whose latest checkpoint in the collection is number `checkpoint`.

    Methods may be called from several threads. Raises CollectionReplacedError wherever the collection is looked at.
    """

    def __init__(
        self,
        collection: Collection,
        *,
        load: str,
        checkpoint: int = 0,
        optimizes: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._collection = collection
        self.load = load
        self._mark = LoadMark.of_this_process(checkpoint=checkpoint, optimizes=optimizes)
        self._known = {checkpoint}
        self._latest = ""
        self._clock = clock
        self._sleep = sleep
        self._turn = threading.RLock()
        self._sending = threading.Lock()  # its own: nobody who stores waits for a look
        self._ended = threading.Event()
        self._failure: CollectionReplacedError | None = None
        self._seen: dict[str, _Seen] = {}
        self._sent: dict[int, _Sent] = {}
        self._noted = checkpoint > 0
        self._shared = True
        self._changed = False
        self._met = False

    @contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """Hold it. A load that must be `alone`, since it will delete, is refused while another one is under way; any
        is while another one deletes. Raises LoadUnderWayError."""
        self._begin(alone=alone)
        beating = threading.Thread(target=self._beat, name="tasb-qdrant lease", daemon=True)
        beating.start()
        try:
            yield
        except BaseException:
            self._end(beating, done=False)
            raise
        self._end(beating, done=True)

    @property
    def met_others(self) -> bool:
        """Whether another load has been under way, or has begun, since this one began."""
        return self._met

    def check(self) -> None:
        """Raise what a heartbeat has found."""
        if self._failure is not None:
            raise self._failure

    def look(self) -> Loads:
        """Look whether this is still the collection that was opened, as this load left it."""
        with self._turn:
            with self._sending:
                stored = [key for key, sent in self._sent.items() if sent.batch is None]
            loads = self._looked()
            with self._sending:
                for key in stored:
                    del self._sent[key]
            return loads

    def checkpoint(self) -> int:
        """The number of the next checkpoint, which the collection knows on return."""
        with self._turn:
            self.look()
            self._note(checkpoint=self._mark.checkpoint + 1)
            return self._mark.checkpoint

    def begin_deleting(self) -> None:
        """From now on no other load begins. Raises LoadUnderWayError if one has begun since this one did."""
        self._note(phase="deleting")
        loads = self.look()
        if loads.latest == self._latest:
            return
        who = next((mark.who for mark in self._other_marks(loads).values()), "another process")
        conflict = "everything is stored and nothing was deleted, since others have been stored meanwhile"
        raise LoadUnderWayError(self._collection.name, who=who, conflict=conflict)

    def leaves_index(self) -> LoadMark | None:
        """Another load that will build the vector index when it ends, if there is one."""
        self._note(phase="ending")
        return next(iter(self.others(lambda mark: mark.optimizes and mark.phase != "ending")), None)

    def others(self, which: Callable[[LoadMark], bool]) -> list[LoadMark]:
        """Of the other loads, those that live. Where no heartbeat has been seen yet, it is waited for."""
        while True:
            loads = self.look()
            found = {name: mark for name, mark in self._other_marks(loads).items() if which(mark)}
            lives = {name: self._lives(name, mark) for name, mark in found.items()}
            if None not in lives.values():
                return [mark for name, mark in found.items() if lives[name]]
            self._sleep(_LOOK_SECONDS)

    def sending(self, batch: PointBatch) -> None:
        """Remember a batch that will be sent, until the collection is known to be the one it is meant for."""
        with self._sending:
            self._sent[id(batch)] = _Sent(batch, list(batch.point_ids), batch.vectors[:, :_NUMBERS].copy())

    def stored(self, batch: PointBatch) -> None:
        """The batch is stored."""
        with self._sending:
            if (sent := self._sent.pop(id(batch), None)) is not None:
                sent.batch = None
                self._sent[id(sent)] = sent

    def change(self) -> CollectionReplacedError | None:
        """What has become of the collection, where it refuses what it is asked for; None if it is what it was."""
        try:
            self.look()
        except CollectionReplacedError as error:
            return error
        except CollectionError:
            return None  # nothing more is known than was said
        return None

    def withdraw(self) -> None:
        """Delete what went into a collection that has another model's contract by now: vectors of this load, which
        nobody would find. What others stored under the same ids stays."""
        reads = self._collection.reads
        with self._sending:
            for sent in self._sent.values():
                points = reads.run(reads.steps.retrieve_by_name(sent.ids, payload=False, vectors=True))
                rows = {point_id: row for row, point_id in enumerate(sent.ids)}
                own = [
                    point.id
                    for point in points
                    if point.vector is not None and _begins_with(point.vector, sent.starts[rows[point.id]])
                ]
                if own:
                    self._collection.delete_points(own)
            self._sent.clear()

    def _begin(self, *, alone: bool) -> None:
        self._latest = new_load()
        self._shared = self.look().shared
        if not self._shared:
            self._latest = ""
            return
        self._note(latest=self._latest)
        try:
            others = self.others(lambda mark: alone or mark.phase == "deleting")
            if others:
                conflict = "--sync would delete what it stores" if alone else "what it deletes might be stored anew"
                raise LoadUnderWayError(self._collection.name, who=others[0].who, conflict=conflict)
        except BaseException:
            self._leave(done=False)
            raise

    def _other_marks(self, loads: Loads) -> dict[str, LoadMark]:
        if not loads.shared:
            return {}
        return {name: mark for name, mark in loads.marks.items() if name != self.load and mark.phase != "stopped"}

    def _looked(self) -> Loads:
        try:
            return self._compared(self._collection.loads())
        except CollectionReplacedError:
            self._changed = True  # another collection's metadata is left alone
            raise

    def _compared(self, loads: Loads) -> Loads:
        found = loads.marks.get(self.load)
        number = 0 if found is None else found.checkpoint
        if number not in self._known:
            what = "the number of this load's checkpoints that it knows of"
            was, now = self._mark.checkpoint, f"{number}, as in an older copy"
            raise CollectionReplacedError(self._collection.name, [(what, was, now)])
        for name, mark in self._other_marks(loads).items():
            self._watch(name, mark)
        self._met |= bool(self._latest and self._noted and loads.latest != self._latest)
        return loads

    def _watch(self, name: str, mark: LoadMark) -> None:
        """Note another load's heartbeat."""
        self._met = True
        seen = self._seen.get(name)
        if seen is None:
            self._seen[name] = _Seen(mark.beat, self._clock())
        elif seen.beat != mark.beat:
            self._seen[name] = _Seen(mark.beat, self._clock(), lives=True)

    def _lives(self, name: str, mark: LoadMark) -> bool | None:
        """Whether that load lives; None if that isn't known yet. One that doesn't is noted as stopped."""
        seen = self._seen[name]
        recent = self._clock() - seen.since < STALE_SECONDS
        if recent and not mark.is_dead:
            return True if seen.lives else None
        with suppress(CollectionError):
            # What it says of its checkpoints stays: the same command may resume it.
            stopped = mark.model_copy(update={"phase": "stopped"}) if mark.checkpoint else None
            self._collection.note_load(name, stopped, retry=False)
        return False

    def _note(
        self, *, checkpoint: int | None = None, phase: LoadPhase | None = None, latest: str = "", retry: bool = True
    ) -> None:
        """Write this load's mark, with the next heartbeat. Where nobody else can load, only checkpoints are."""
        if not self._shared and checkpoint is None:
            return
        with self._turn:
            changed: dict[str, Any] = {"beat": self._mark.beat + 1}
            if checkpoint is not None:
                changed["checkpoint"] = checkpoint
            if phase is not None:
                changed["phase"] = phase
            mark = self._mark.model_copy(update=changed)
            self._known.add(mark.checkpoint)  # from now on either may be found: an answer can be lost
            self._collection.note_load(self.load, mark, latest=latest, retry=retry)
            self._mark, self._known, self._noted = mark, {mark.checkpoint}, True

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.look()
                self._note(retry=False)
            except CollectionReplacedError as error:
                self._failure = error
                return
            except Exception as error:
                # Those who store will say so. Until the load has ended, the next beat may be heard: a load that is
                # silent for STALE_SECONDS is taken for dead, and another one deletes what it stores.
                log.debug("a heartbeat failed: %s", error)

    def _end(self, beating: threading.Thread, *, done: bool) -> None:
        self._ended.set()
        beating.join(_JOIN_SECONDS)
        self._leave(done=done)

    def _leave(self, *, done: bool) -> None:
        """Say that the load has ended. A load that may be resumed leaves the number of its checkpoint."""
        if not self._noted or self._changed or not (done or self._shared):
            return
        mark = None if done or not self._mark.checkpoint else self._mark.model_copy(update={"phase": "stopped"})
        # A lease that can't be given back is stale soon; what ended the run is what the person must see.
        with suppress(CollectionError):
            self._collection.note_load(self.load, mark, retry=False)


def _begins_with(stored: NDArray[np.float32], start: NDArray[np.float32]) -> bool:
    """Whether these are the first numbers of the vector, as stores keep them."""
    first = stored[:_NUMBERS]
    return first.shape == start.shape and np.allclose(first, start, rtol=2e-3, atol=1e-3)
