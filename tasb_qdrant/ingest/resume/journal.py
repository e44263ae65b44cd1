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

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import ResumeRefusedError, SettingsError
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.resume.checkpoint import Checkpoint, Counts, Ledger
from tasb_qdrant.ingest.resume.identity import Change, ReadIdentity, TargetIdentity, identify
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

    Without `files` (for a source that can't be read again) nothing is kept.
    """

    def __init__(
        self,
        files: StateFiles | None,
        reading: ReadIdentity,
        *,
        collection: str,
        checkpoint: Checkpoint | None = None,
        notes: Sequence[str] = (),
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
        self.ledger = Ledger(Counts() if checkpoint is None else checkpoint.done)
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

    def begin(self, collection: Collection, contract: ModelContract, indexes: Mapping[str, IndexType]) -> None:
        """From now on the journal is about this collection, and passages that fit the `indexes`. Raises
        ResumeRefusedError if the interrupted run's was another one, or held more."""
        if self._files is None:
            return
        self._collection = collection
        self._target = TargetIdentity.of(collection, contract, indexes)
        if self._earlier is None:
            return
        self._refuse(self._earlier.target.differences(self._target))
        if (points := collection.reads.count()) < self.resumed.points:
            self._refuse(
                [("the number of points", f"at least {self.resumed.points:,}", f"{points:,}: some are missing")]
            )

    def encoded_by(self, contract: ModelContract) -> None:
        """The encoder has been loaded only now: its `contract` tells the precision, too."""
        if self._target is not None:
            self._target = self._target.model_copy(update={"contract": contract})

    def keep(self, check: Callable[[], None]) -> None:
        """Save a checkpoint when one is due, until `end`; what `check` raises ends it too. Raises StateError."""
        due = self._clock() + EVERY_SECONDS
        while not self._finished.wait(_POLL_SECONDS):
            check()
            if (began := self._clock()) >= due:
                self.save()
                took = self._clock() - began
                due = self._clock() + max(EVERY_SECONDS, _SHARE * took)

    def end(self) -> None:
        """No more checkpoints by `keep`."""
        self._finished.set()

    def save(self) -> None:
        """Flush the collection, and save a checkpoint of what is acknowledged now. Raises StateError."""
        if self._files is None or self._collection is None or self._target is None:
            return
        with self._saving:
            done = self.ledger.done
            # With nothing stored there is nothing to resume; and an empty collection may be deleted again.
            if done.windows == self._saved or not done.points:
                return
            self._collection.flush()
            self._files.save(Checkpoint(reading=self._reading, target=self._target, done=done).to_bytes())
            self._saved = done.windows

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
    if restart:
        files.forget()
    saved = files.load()
    if saved is None:
        return Journal(files, reading, collection=collection)
    checkpoint = Checkpoint.from_bytes(saved.content, place=str(files.folder))
    if differences := checkpoint.reading.differences(reading):
        raise ResumeRefusedError(collection, differences)
    done = checkpoint.done
    notes = [f"Resuming at passage {done.points + 1:,}, window {done.windows + 1:,}, of a run that was interrupted."]
    if saved.is_previous:
        notes.insert(0, "The last checkpoint is damaged; the one before it is used.")
    return Journal(files, reading, collection=collection, checkpoint=checkpoint, notes=notes)


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
