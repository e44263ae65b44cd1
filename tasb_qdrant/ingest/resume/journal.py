"""A run's journal: which part of its source is stored for sure, kept in files, and what an earlier run left there."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import ResumeRefusedError, SettingsError, StateCorruptError
from tasb_qdrant.ingest.lease import Lease, new_load
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.resume.checkpoint import Checkpoint, Counts, Ledger
from tasb_qdrant.ingest.resume.identity import Change, ReadIdentity, TargetIdentity, identify
from tasb_qdrant.ingest.resume.sample import StoredSample, altered
from tasb_qdrant.ingest.resume.state import StateFiles
from tasb_qdrant.records import ModelContract
from tasb_qdrant.records.json_text import unicode_text
from tasb_qdrant.settings import IndexType, StoreSettings, user_state_folder
from tasb_qdrant.sources import shown_name, url_of

STATE_FOLDER: Final = ".ingest"
"""In the embedded store's folder: no collection can have this name, and a source folder skips it."""

EVERY_SECONDS: Final = 1.0
"""The least time between two checkpoints."""

_SHARE: Final = 50
"""Checkpoints may take one part in so many of the time: a slow disk, or a large store to flush, gets fewer."""

_POLL_SECONDS: Final = 0.1


class Journal:
    """Which part of a run's source is acknowledged (`ledger`), with a checkpoint of it now and then.

    Without `files` (for a source that can't be read again) nothing is kept. The `lease` on the collection is there once
    `begin` was called; the collection is looked at with each checkpoint. `doubts` are sentences about what was found
    to be gone of what an interrupted run had stored. `forgotten` is the load whose checkpoint was discarded, if any.
    """

    def __init__(
        self,
        files: StateFiles | None,
        reading: ReadIdentity,
        *,
        collection: str,
        checkpoint: Checkpoint | None = None,
        notes: Sequence[str] = (),
        forgotten: str = "",
        is_previous: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._reading = reading
        self._collection_name = collection
        self._earlier = checkpoint
        self._clock = clock
        self._finished = threading.Event()
        self._saving = threading.Lock()
        self._collection: Collection | None = None
        self._target: TargetIdentity | None = None
        self._forgotten = forgotten
        self._is_previous = is_previous
        self._load = new_load()
        if checkpoint is None:
            self.ledger = Ledger(Counts())
        else:
            self.ledger = Ledger(checkpoint.done, StoredSample(checkpoint.sample, seen=checkpoint.sampled))
        self.lease: Lease | None = None
        self.doubts: tuple[str, ...] = ()
        self._saved = self.ledger.done.windows
        self.notes = tuple(notes)

    @classmethod
    def none(cls, collection: str, *, notes: Sequence[str] = ()) -> Journal:
        """A journal that keeps nothing, for a run that can't be resumed."""
        return cls(None, ReadIdentity(files=(), options={}), collection=collection, notes=notes)

    @property
    def resumed(self) -> Counts:
        """What earlier runs did, and this one doesn't repeat."""
        return self.ledger.start

    def check_model(self, contract: ModelContract, *, collection_exists: Callable[[], bool]) -> None:
        """Refuse to resume with another model, or into a collection that is gone. Raises ResumeRefusedError."""
        if self._earlier is None:
            return
        found = self._earlier.target.model_differences(contract)
        if not collection_exists():
            found.append((f"collection {self._collection_name!r}", "there", "gone"))
        self._refuse(found)

    def begin(
        self,
        collection: Collection,
        contract: ModelContract,
        indexes: Mapping[str, IndexType],
        *,
        optimizes: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Lease:
        """From now on the journal is about this collection, and passages that fit the `indexes`.

        Returns the lease to be held. Raises ResumeRefusedError if the interrupted run's was another one. If what that
        run had stored isn't all there any more, its checkpoint is not gone on with, and the notes say why.
        """
        self._collection = collection
        self._target = TargetIdentity.of(collection, contract, indexes)
        number = 0
        if self._earlier is not None:
            self._refuse(self._earlier.target.differences(self._target))
            number = self._resumed_number(self._earlier, collection)
        elif self._forgotten and self._forgotten in collection.loads().marks:
            collection.note_load(self._forgotten, None)
        self.lease = Lease(collection, load=self._load, checkpoint=number, optimizes=optimizes, sleep=sleep)
        return self.lease

    def _resumed_number(self, earlier: Checkpoint, collection: Collection) -> int:
        """The number of the load's latest checkpoint; 0 for that of a new load, where the checkpoint isn't believed."""
        found = collection.loads().marks.get(earlier.load)
        number = 0 if found is None else found.checkpoint
        doubt = _doubt(earlier, number, collection, newest=not self._is_previous)
        if not doubt:
            self._load = earlier.load
            return number
        if found is not None:
            collection.note_load(earlier.load, None)
        self.ledger.restart(Counts())
        self._saved = 0
        self.notes = (
            f"The interrupted run is not gone on with: {doubt}. All is compared, and stored where it differs.",
        )
        return 0

    def doubt(self, window: int, *, points: int, gone: int) -> None:
        """Of a window that the checkpoint covers, `gone` passages are missing; before it, `points` are all there. From
        this window on, all is compared."""
        self.ledger.restart(Counts(windows=window, points=points, skipped=points))
        told = (
            f"{gone:,} passages of window {window + 1:,}, which an interrupted run had stored, were gone: another "
            "program deleted them, or an older copy of the collection was restored; from there on all was compared, "
            "and stored where it was missing"
        )
        self.doubts = (told,)

    def acknowledged(self, batch: PointBatch) -> None:
        """The collection has confirmed a whole batch."""
        self.ledger.acknowledged(batch)
        if self.lease is not None:
            self.lease.stored(batch)

    def sending(self, batch: PointBatch) -> None:
        """The batch will be sent next."""
        if self.lease is not None:
            self.lease.sending(batch)

    def encoded_by(self, contract: ModelContract) -> None:
        """The encoder has been loaded only now: its `contract` tells the precision, too."""
        if self._target is not None:
            self._target = self._target.model_copy(update={"contract": contract})

    def keep(self, check: Callable[[], None]) -> None:
        """Save a checkpoint when one is due, until `end`; what `check` raises ends it too. Raises StateError."""
        due = self._clock() + EVERY_SECONDS
        while not self._finished.wait(_POLL_SECONDS):
            check()
            if self.lease is not None:
                self.lease.check()
            if (began := self._clock()) >= due:
                self.save()
                took = self._clock() - began
                due = self._clock() + max(EVERY_SECONDS, _SHARE * took)

    def end(self) -> None:
        """No more checkpoints by `keep`."""
        self._finished.set()

    def save(self) -> None:
        """Flush the collection, and save a checkpoint of what is acknowledged now. Raises StateError, and
        CollectionReplacedError if it isn't the collection any more that it was."""
        if self._files is None or self._collection is None or self._target is None or self.lease is None:
            if self.lease is not None:
                self.lease.look()
            return
        with self._saving:
            done, sample, sampled = self.ledger.saved
            # With nothing stored there is nothing to resume; and an empty collection may be deleted again.
            if done.windows == self._saved or not done.points:
                return
            self._collection.flush()
            # The collection knows of it first: a state that knows more than the collection is from before a restore.
            number = self.lease.checkpoint()
            checkpoint = Checkpoint(
                reading=self._reading,
                target=self._target,
                done=done,
                load=self.lease.load,
                number=number,
                sample=sample,
                sampled=sampled,
            )
            self._files.save(checkpoint.to_bytes())
            self._saved = done.windows

    def altered(self) -> int:
        """How many points of a sample of what was stored, with the latest, aren't there any more as they were."""
        if self._collection is None:
            return 0
        _, sample, _ = self.ledger.saved
        return altered(sample, self._collection)

    @contextmanager
    def saved_at_the_end(self) -> Iterator[None]:
        """However the block ends, what is acknowledged by then is saved. Its threads must have ended with it."""
        try:
            yield
        except BaseException as error:
            try:
                self.save()
            except Exception as second:
                if str(second) != str(error):
                    error.add_note(f"the checkpoint could not be saved, too: {second}")
            raise
        self.save()

    def forget(self) -> None:
        """The run is done: there is nothing left to resume. Raises StateError."""
        if self._files is not None:
            self._files.forget()

    def _refuse(self, differences: Sequence[Change]) -> None:
        if differences:
            raise ResumeRefusedError(self._collection_name, differences)


@contextmanager
def open_journal(
    source: PassageReader,
    names: Sequence[str | Path],
    store: StoreSettings,
    *,
    collection: str,
    options: Mapping[str, object],
    state: str | Path | None,
    restart: bool,
) -> Iterator[Journal]:
    """The journal of a run, locked against other runs of the same sources into the same collection.

    `options` are those that decide what is read. It resumes what an interrupted run left, unless `restart`; the
    journal's notes say so. Raises StateError and its kinds, ResumeRefusedError among them.
    """
    identities = identify(source.files) if names else None
    if identities is None:
        told = "This source can't be read a second time, or not told from a changed one, so no checkpoints are kept."
        notes = () if state is None else (told,)
        yield Journal.none(collection, notes=notes)
        return
    reading = ReadIdentity(
        files=identities, options={name: unicode_text(str(value)) for name, value in options.items()}
    )
    files = StateFiles(_folder(names, store, collection=collection, state=state))
    files.acquire()
    try:
        yield _opened(files, reading, collection=collection, restart=restart)
    finally:
        files.release()


def _opened(files: StateFiles, reading: ReadIdentity, *, collection: str, restart: bool) -> Journal:
    forgotten = ""
    if restart:
        forgotten = _load_in(files)
        files.forget()
    saved = files.load()
    if saved is None:
        return Journal(files, reading, collection=collection, forgotten=forgotten)
    checkpoint = Checkpoint.from_bytes(saved.content, place=str(files.folder))
    if differences := checkpoint.reading.differences(reading):
        raise ResumeRefusedError(collection, differences)
    done = checkpoint.done
    notes = [f"Resuming at passage {done.points + 1:,}, window {done.windows + 1:,}, of a run that was interrupted."]
    if saved.is_previous:
        notes.insert(0, "The last checkpoint is damaged; the one before it is used.")
    return Journal(
        files, reading, collection=collection, checkpoint=checkpoint, notes=notes, is_previous=saved.is_previous
    )


def _load_in(files: StateFiles) -> str:
    """The load whose checkpoint is there, "" if none can be read."""
    try:
        saved = files.load()
        return "" if saved is None else Checkpoint.from_bytes(saved.content, place=str(files.folder)).load
    except StateCorruptError:
        return ""


def _doubt(earlier: Checkpoint, number: int, collection: Collection, *, newest: bool) -> str:
    """Why what a checkpoint covers may not be stored any more; "" if nothing speaks against it.

    `number` is that of the load's latest checkpoint, as the collection knows it: one more if the run ended before it
    saved that one, and any later one if the `newest` was damaged.
    """
    if not earlier.load:
        return "its checkpoint is of an earlier build, and can't tell whether all of it is still there"
    if number < earlier.number or (newest and number > earlier.number + 1):
        return (
            f"the collection knows checkpoint {number:,} of it, and the state is of checkpoint {earlier.number:,}, "
            "so that one of them is an older copy"
        )
    if (points := collection.reads.count()) < earlier.done.points:
        return f"at least {earlier.done.points:,} points should be there, and {points:,} are"
    if count := altered(earlier.sample, collection):
        return f"{count:,} of {len(earlier.sample):,} passages that were looked at aren't there as it stored them"
    return ""


def _folder(names: Sequence[str | Path], store: StoreSettings, *, collection: str, state: str | Path | None) -> Path:
    """The folder for this collection and these sources: in the store, in `state`, or in the user's state folder."""
    # A URL may be signed anew for each run: its query tells nothing apart.
    told_apart = [os.path.abspath(name) if url_of(name) is None else shown_name(name) for name in names]
    if state is None and store.path is not None:
        root = store.path / STATE_FOLDER  # moves with the store, wherever that is
    else:
        root = user_state_folder() if state is None else Path(state)
        if "\0" in str(root):
            raise SettingsError(f"--state {str(root)!r} has a NUL, which no folder's name has; name another")
        told_apart.append(store.url.rstrip("/") if store.url is not None else os.path.abspath(store.path or ""))
    digest = hashlib.sha256("\0".join(told_apart).encode(errors="surrogateescape")).hexdigest()
    return root / f"{collection}-{digest[:16]}"
