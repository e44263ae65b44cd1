"""THE WRITE PATH from outside: everything is opened, passages are stored, the index is built, all is reported."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, Unpack

# The module and not its functions: tests put stores of their own in their place.
from tasb_qdrant.collection import open as opening
from tasb_qdrant.collection.protocol import Collection, Store
from tasb_qdrant.collection.schema import check_contract, check_name
from tasb_qdrant.cores import cores
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.options import EncoderChoice, EncoderOptions
from tasb_qdrant.errors import (
    CollectionChangedError,
    CollectionReplacedError,
    LoadUnderWayError,
    NotOurCollectionError,
    RejectedError,
    RequestRefusedError,
    SettingsError,
    SourceError,
    StoreCorruptError,
)
from tasb_qdrant.ingest.flow import sleep_until
from tasb_qdrant.ingest.indexes import RunIndexes
from tasb_qdrant.ingest.lease import Lease
from tasb_qdrant.ingest.options import IngestOptions, RunChoice, RunOptions
from tasb_qdrant.ingest.pipeline import Outcome, run_pipeline
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.processes import CORES_EACH, check_workers, may_read_apart, read_by, stored_in
from tasb_qdrant.ingest.read.replacing import ReplaceGuard
from tasb_qdrant.ingest.read.seen import SeenIds
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.rejects.counted import CountedRejects
from tasb_qdrant.ingest.rejects.lines import RejectedLines
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.rejects.retried import reject_log
from tasb_qdrant.ingest.report import report_of
from tasb_qdrant.ingest.resume.journal import Journal, open_journal
from tasb_qdrant.ingest.source.average_length import average_length
from tasb_qdrant.ingest.source.changes import SourceFiles
from tasb_qdrant.ingest.source.expected import expected_passages
from tasb_qdrant.ingest.source.first_look import FirstLook
from tasb_qdrant.ingest.source.open import Source, SourceLike, SourceOptions
from tasb_qdrant.ingest.source.payload_model import with_indexes_of
from tasb_qdrant.ingest.source.recognised import exact_indexes, fields_of, what_was_missed, what_was_recognised
from tasb_qdrant.ingest.split.reader import SplitPassages
from tasb_qdrant.ingest.split.splitter import Splitter
from tasb_qdrant.ingest.still_there import StillThere, look_again
from tasb_qdrant.ingest.upload.index_deferral import build_index, check_limits
from tasb_qdrant.ingest.verify.check import verified
from tasb_qdrant.ingest.verify.sync import deletions
from tasb_qdrant.keywords import chosen
from tasb_qdrant.printable import logger
from tasb_qdrant.records import IngestReport, ModelContract
from tasb_qdrant.settings import (
    DEFAULT_AVG_LEN,
    Bm25Settings,
    CollectionSettings,
    SplitSettings,
    StoreOptions,
    check_whole_number,
    store_settings,
)
from tasb_qdrant.sources import SourceReader

if TYPE_CHECKING:
    from pydantic import BaseModel

log: Final = logger(__name__)

C = TypeVar("C", bound=Collection | Store)

_AFTER_A_CHANGE: Final = (
    CollectionReplacedError,
    CollectionChangedError,
    NotOurCollectionError,
    StoreCorruptError,
    RequestRefusedError,
)
"""What a load may fail with once its collection was made anew or exchanged, whoever notices it first."""


class IngestRun:
    """One run: what it was asked for as values, made first, and its steps, each a method, in their order.

    Making one opens nothing. Raises SettingsError for options that contradict each other.
    """

    def __init__(self, source: SourceLike, collection: str, **options: Unpack[IngestOptions]) -> None:
        reading = chosen(SourceOptions, options)
        self._name = collection
        self._choice = RunChoice(**chosen(RunOptions, options))
        self._encoder = EncoderChoice(**chosen(EncoderOptions, options))
        self._settings = _collection_settings(self._choice, reading.get("payload"))
        self._store = store_settings(**chosen(StoreOptions, options))
        self._counters = Counters(on_progress=self._choice.on_progress)
        self._stopped = threading.Event()
        self._rejects = reject_log(
            source,
            self._choice.rejects,
            limit=self._choice.max_rejects,
            on_reject=lambda: self._counters.add(rejected=1),
        )
        self._notes: tuple[str, ...] = ()
        self._reader: SourceReader | None = None
        self._estimate: int | None = None
        self._source = Source(
            source,
            **reading,
            indexes=self._settings.indexes,
            ignored=self._rejects.own_file,
            limit=self._choice.limit,
            opened=self._look_at,
        )
        self._check_source()
        self._workers = check_workers(self._choice.workers)
        if isinstance(source, RejectedLines) and self._workers not in (1, "auto"):
            self._notes += ("What was rejected is read again by one process.",)

    def run(self) -> IngestReport:
        """Store the passages. Raises the kinds of TasbQdrantError."""
        with (
            self._rejects,
            self._source.open(self._rejects, self._counters, stopped=self._stopped) as reader,
            self._journal(reader) as journal,
            self._open_store() as store,
            self._stored(store) as there,
            closing(SeenIds(any_thread=True)) as seen,
        ):
            files = SourceFiles.now(reader.files)
            reader = self._look_ahead(reader, there, journal)
            encoder = self._encoder_for(there, journal)
            journal.check_model(encoder.contract, collection_exists=lambda: store.exists(self._name))
            if self._settings.split is not None and not store.exists(self._name):
                self._split_as(self._settings.split, encoder)
            reader, avg_len = self._measure(reader, store)
            with self._open_collection(store, encoder, reader, avg_len) as (collection, indexes), indexes.undone():
                self._split_as(collection.split, encoder)
                guard = self._guard(collection)
                lease = self._announce(collection, encoder, reader, journal, indexes, guard)
                with self._held(lease, journal):
                    with self._unchanged(files), self._deletions(collection, indexes, lease) as delete:
                        outcome = self._load(reader, encoder, collection, journal, indexes, guard, seen)
                        refused = _refusal(delete)
                    met = self._counters.snapshot()
                    guard.record(
                        points_before=outcome.points_before, met=bool(outcome.replaced or met.updated or met.skipped)
                    )
                    indexes.make(self._counters)
                    if self._choice.optimize:
                        self._build_index(collection, lease)
                    elif lease.leaves_index() is None:
                        collection.end_load()
                    if refused is not None:
                        raise refused
                    self._counters.phase("looking at what is stored")
                    there_now = look_again(collection, seen, journal, lease, files, alone=self._choice.sync)
                    seen.close()
                    report = self._report(outcome, there_now, encoder, collection, journal, indexes)
                    journal.forget()
                return self._verified(report, outcome, encoder, collection) if self._choice.verify else report

    def _look_at(self, reader: SourceReader) -> None:
        """Say what was recognised, before anything is stored; the source may be opened again for other purposes."""
        if self._reader is not None:
            return
        self._reader = reader
        notes = what_was_recognised(reader.fields_taken)
        self._notes += notes
        self._say(notes)
        exact = exact_indexes(self._settings.indexes, reader.fields_taken)
        self._settings = self._settings.model_copy(update={"indexes": exact})

    def _check_source(self) -> None:
        if self._choice.limit is not None:
            check_whole_number("limit", self._choice.limit)
            if self._choice.sync:
                raise SettingsError("sync would delete all but the first passages; leave out one of sync and limit")
            if isinstance(self._source.given, RejectedLines):
                raise SettingsError("limit would drop the rejects after the first ones; leave it out to retry them all")
            self._notes += (f"Only the first {self._choice.limit:,} passages of the source are read.",)
        if self._choice.sync and isinstance(self._source.given, RejectedLines):
            raise SettingsError(
                "sync would delete all but the rejects that are tried again; ingest their sources instead"
            )
        if self._choice.sync or self._choice.verify:
            self._source.check_repeatable("sync" if self._choice.sync else "verify")

    def _journal(self, reader: PassageReader) -> AbstractContextManager[Journal]:
        """The journal, with what an interrupted run of the same source left."""
        return open_journal(
            reader,
            self._source.resumable_names,
            self._store,
            collection=check_name(self._name),
            options={**self._source.reading, "--overwrite": "given" if self._choice.overwrite else "not given"},
            state=self._choice.state,
            restart=self._choice.restart,
        )

    def _open_store(self) -> AbstractContextManager[Store]:
        self._counters.phase("connecting")
        sleep = sleep_until(self._stopped, waiting=self._counters.tell)
        return closed_after(opening.open_store_at(self._store, sleep=sleep, watch=self._counters.watch))

    def _look_ahead(self, reader: PassageReader, there: Collection | None, journal: Journal) -> PassageReader:
        """The reader, once its first passages were checked: what can't be stored is said before a model is loaded.

        A stream is left alone, which may keep us waiting, and so is a run that is resumed: its first ones are stored.
        Texts that are to be split can't be looked at yet: the model's tokenizer splits them.
        A synchronisation surveys the source for itself, and counts its rejects anew.
        """
        surveyed = self._choice.sync and self._rejects.name is not None
        again = bool(journal.resumed.windows) or isinstance(self._source.given, RejectedLines)
        if surveyed or again or self._splits(there) or not self._source.is_repeatable:
            return reader
        if there is not None:
            self._source.index_as(there.indexes())
        documents = reader.itself if isinstance(reader, SplitPassages) else reader
        if not self._may_read_apart(documents):
            return self._first_look(documents, there)
        # What is read in blocks can't be read ahead, and given again.
        strict = self._rejects.name is None
        log = RejectLog(None, on_reject=lambda: None) if strict else CountedRejects()
        with self._source.open(log, Counters()) as again_read:
            self._first_look(again_read, there)
        return reader

    def _first_look(self, documents: PassageReader, there: Collection | None) -> PassageReader:
        look = FirstLook(documents, self._settings, all_must_fit=self._rejects.name is None)
        ahead = look.at_new() if there is None else look.at_stored(there, self._guard(there))
        self._estimate = ahead.estimate
        return ahead

    def _may_read_apart(self, documents: PassageReader) -> bool:
        """Whether other processes may read the source."""
        return not isinstance(self._source.given, RejectedLines) and may_read_apart(self._workers, documents)

    @contextmanager
    def _stored(self, store: Store) -> Iterator[Collection | None]:
        """The collection, or None if it isn't there. It stays open: opening it again then costs nothing."""
        if not store.exists(check_name(self._name)):
            yield None
            return
        with closed_after(store.open(self._name, lock_wait=opening.LOCK_WAIT)) as there:
            self._notes += tuple(filter(None, [there.wait_until_visible()]))
            yield there

    def _splits(self, there: Collection | None) -> bool:
        return self._settings.split is not None or (there is not None and there.split is not None)

    def _encoder_for(self, there: Collection | None, journal: Journal) -> Encoder:
        """The encoder that was chosen, else that of a collection that is there, which is loaded once it has something
        to encode. A new collection is made as the encoder is, an interrupted run has likely more to encode, and texts
        are split by the encoder's tokens."""
        contract = None if there is None else there.contract
        if contract is None or journal.resumed.windows or self._splits(there):
            encoder = self._load_encoder(contract)
            self._counters.note(encoder.notes)
            return encoder

        def load() -> Encoder:
            with self._counters.aside("loading the model"):
                encoder = self._load_encoder(contract)
            journal.encoded_by(encoder.contract)
            self._counters.note(encoder.notes)
            return encoder

        return self._encoder.lazily(
            contract, collection=self._name, check=partial(check_contract, self._name, contract), load=load
        )

    def _load_encoder(self, contract: ModelContract | None) -> Encoder:
        if self._encoder.encoder is None:
            self._counters.phase("loading the model")
        apart = self._workers != 1 and (self._workers != "auto" or cores() >= CORES_EACH)
        return self._encoder.load(contract, collection=self._name, location=self._store.location, apart=apart)

    def _split_as(self, split: SplitSettings | None, encoder: Encoder) -> None:
        """Have texts that aren't read yet split, in every reading of the source."""
        self._source.split_by(None if split is None else Splitter(split, encoder))

    def _measure(self, reader: PassageReader, store: Store) -> tuple[PassageReader, float]:
        """The average length for a new collection's BM25, and what is to be read now: measuring may have read ahead."""
        bm25 = self._settings.bm25
        if bm25 is None or bm25.avg_len is not None or store.exists(self._name):
            return reader, DEFAULT_AVG_LEN
        average = average_length(reader, self._source, bm25, self._counters)
        self._notes += (average.note,)
        return average.source, average.words

    @contextmanager
    def _open_collection(
        self, store: Store, encoder: Encoder, reader: PassageReader, avg_len: float
    ) -> Iterator[tuple[Collection, RunIndexes]]:
        """The collection, made if it isn't there; deleted again if the run fails and has stored nothing."""
        is_new = not store.exists(self._name)
        with opening.no_leftover(self._name, store):
            collection = opening.open_for_writing(
                self._name,
                store,
                contract=encoder.contract,
                settings=_indexed(self._settings),
                avg_len=avg_len,
                passages=expected_passages(self._source, reader, self._estimate),
            )
            with closed_after(collection):
                self._source.index_as(collection.indexes())
                yield collection, RunIndexes(collection, self._settings.indexes, is_new=is_new)

    def _guard(self, collection: Collection) -> ReplaceGuard:
        return ReplaceGuard(collection, lambda: fields_of(self._reader), allowed=self._choice.replace)

    def _announce(
        self,
        collection: Collection,
        encoder: Encoder,
        reader: PassageReader,
        journal: Journal,
        indexes: RunIndexes,
        guard: ReplaceGuard,
    ) -> Lease:
        """Check the load against the store's limits and an interrupted run; tell what was chosen. Returns its lease."""
        if collection.split is not None:
            own = "" if self._settings.split else ", as those that the collection has"
            self._notes += (f"Texts are split into passages of up to {collection.split.in_words}{own}.",)
        self._notes += (*check_limits(collection, reader, self._source.given), *indexes.doubts, *guard.note)
        self._counters.note((*collection.notes, *self._notes))
        lease = journal.begin(
            collection,
            encoder.contract,
            indexes.types,
            optimizes=self._choice.optimize,
            sleep=sleep_until(self._stopped, waiting=self._counters.tell),
        )
        self._say(journal.notes)
        self._notes += journal.notes
        return lease

    @contextmanager
    def _held(self, lease: Lease, journal: Journal) -> Iterator[None]:
        """Hold the lease. What went into another model's collection is taken back, and of one that isn't there any more
        no checkpoint stays: the same command looks at all that is stored."""
        with lease.held(alone=self._choice.sync):
            try:
                yield
            except _AFTER_A_CHANGE as error:
                # Asked while it is held: a lease that knows leaves another collection's metadata alone.
                change = error if isinstance(error, CollectionReplacedError) else lease.change()
                if change is not None and change.another_model:
                    lease.withdraw()
                if change is not None:
                    journal.forget()
                if change is None or change is error:
                    raise
                raise change from error

    @contextmanager
    def _unchanged(self, files: SourceFiles) -> Iterator[None]:
        """Should the block fail because of an input, say whether that is because its file was changed."""
        try:
            yield
        except (RejectedError, SourceError) as error:
            for file, what in files.changes(every=False):
                if str(file) == error.source:
                    reason = f"its {what} changed while it was read, and then: {error.reason}"
                    remedy = "run the same command again once nothing writes to it"
                    raise SourceError(f"{reason}; {remedy}", source=error.source, line=error.line) from error
            raise

    def _build_index(self, collection: Collection, lease: Lease) -> None:
        """Build the vector index, unless another load is under way that will do so."""
        self._counters.phase("looking for other loads")
        other = lease.leaves_index()
        if other is None:
            build_index(collection, self._counters)
            return
        note = f"Another load ({other.who}) is under way: the vector index is built when it ends."
        self._say((note,))
        self._notes += (note,)

    def _say(self, notes: tuple[str, ...]) -> None:
        """Tell who watches the progress, and who reads the log, what was chosen."""
        self._counters.note(notes)
        for sentence in notes:
            log.info("%s", sentence)

    def _deletions(
        self, collection: Collection, indexes: RunIndexes, lease: Lease
    ) -> AbstractContextManager[Callable[[], None]]:
        return deletions(
            self._source,
            collection,
            self._store,
            self._rejects,
            self._counters,
            indexes=indexes.types,
            peers=self._choice.peers,
            workers=self._workers,
            wanted=self._choice.sync,
            anyway=self._choice.delete_anyway,
            before=lease.begin_deleting,
        )

    def _load(
        self,
        reader: PassageReader,
        encoder: Encoder,
        collection: Collection,
        journal: Journal,
        indexes: RunIndexes,
        guard: ReplaceGuard,
        seen: SeenIds,
    ) -> Outcome:
        tokenized = indexes.is_new or bool(journal.resumed.windows)
        # Of what was stored before an interruption only the ids are looked at.
        compared = not indexes.is_new and not self._choice.overwrite and not journal.resumed.windows
        with read_by(
            1 if isinstance(self._source.given, RejectedLines) else self._workers,
            reader,
            collection,
            encoder,
            indexes=indexes.types,
            tokenized=tokenized,
            stored=stored_in(collection, self._store) if compared else None,
            tell=self._told,
        ) as passages:
            outcome = run_pipeline(
                passages,
                encoder=encoder,
                collection=collection,
                rejects=self._rejects,
                counters=self._counters,
                overwrite=self._choice.overwrite,
                journal=journal,
                indexes=indexes.types,
                guard=guard,
                seen=seen,
                stopped=self._stopped,
                index_along=self._choice.along,
            )
        self._rejects.complete(self._counters)
        return outcome

    def _told(self, sentence: str) -> None:
        self._notes += (sentence,)
        self._say((sentence,))

    def _report(
        self,
        outcome: Outcome,
        there: StillThere,
        encoder: Encoder,
        collection: Collection,
        journal: Journal,
        indexes: RunIndexes,
    ) -> IngestReport:
        return report_of(
            outcome,
            there,
            collection,
            encoder,
            self._counters,
            journal,
            rejects_file=self._rejects.name,
            notes=self._notes,
            warnings=(
                *journal.doubts,
                *what_was_missed(
                    self._reader, self._unseen(outcome, indexes), sum(one.count for one in self._source.nulled[:1])
                ),
                *(() if self._choice.sync else outcome.surplus),
            ),
            refused_indexes=indexes.refused,
        )

    def _unseen(self, outcome: Outcome, indexes: RunIndexes) -> list[str]:
        """The fields asked to be indexed that no passage has; of those refused, more is said."""
        return [name for name in outcome.unseen if name in self._settings.indexes and name not in indexes.refused]

    def _verified(
        self, report: IngestReport, outcome: Outcome, encoder: Encoder, collection: Collection
    ) -> IngestReport:
        """The report with a comparison of the source and the collection."""
        found = verified(
            self._source,
            collection,
            self._store,
            encoder,
            peers=self._choice.peers,
            workers=self._workers,
            alone=self._choice.sync or not outcome.points_before,
            on_progress=self._choice.on_progress,
        )
        return replace(report, verification=found)


def _refusal(delete: Callable[[], None]) -> LoadUnderWayError | None:
    """Delete; what another load has against it is returned, to be raised once the load has ended in good order."""
    try:
        delete()
    except LoadUnderWayError as error:
        return error
    return None


def _collection_settings(choice: RunChoice, payload: type[BaseModel] | None) -> CollectionSettings:
    """The settings with what other options say of them: the payload model's indexes, BM25, and the split."""
    settings = with_indexes_of(payload, choice.settings or CollectionSettings())
    if choice.split is not None:
        split = SplitSettings.parse(choice.split) if isinstance(choice.split, str) else choice.split
        others = {name: getattr(settings, name) for name in CollectionSettings.model_fields}
        settings = CollectionSettings(**{**others, "split": split})
    if not choice.bm25:
        return settings
    bm25 = (settings.bm25 or Bm25Settings()) if choice.bm25 is True else choice.bm25
    return settings.model_copy(update={"bm25": bm25})


def _indexed(settings: CollectionSettings) -> CollectionSettings:
    """The settings with an index of documents' ids, without which finding documents reads every payload."""
    if settings.split is None:
        return settings
    return settings.model_copy(update={"indexes": {settings.split.field: "keyword", **settings.indexes}})


@contextmanager
def closed_after(resource: C) -> Iterator[C]:
    """The resource, closed at the end. A failure to close it never hides the failure of what was done."""
    try:
        yield resource
    except BaseException as error:
        try:
            resource.close()
        except Exception as second:
            error.add_note(f"closing failed, too: {second}")
        raise
    resource.close()
