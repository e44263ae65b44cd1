"""Making a collection equal to its source: what the source doesn't have any more is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.views import views_of
from tasb_qdrant.errors import DeletionRefusedError, RejectedError, SourceError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.read.processes import Workers, read_by, stored_in
from tasb_qdrant.ingest.read.windows import read_windows
from tasb_qdrant.ingest.rejects.counted import CountedRejects
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.source.changes import SourceFiles
from tasb_qdrant.ingest.source.open import Source
from tasb_qdrant.ingest.verify.findings import Findings
from tasb_qdrant.ingest.verify.reconcile import SourceIds, View, compare_ids, compare_payloads, views_in, waited_for
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records.verification import Difference
from tasb_qdrant.settings import IndexType, StoreSettings


class Survey:
    """A survey of a source from start to end: its ids, its rejects, and the points of a collection that it lacks.

    Passages that don't fit the `indexes`, by default the collection's, are rejects. `workers` processes read the
    source.
    """

    def __init__(
        self,
        source: Source,
        collection: Collection,
        views: Sequence[View],
        findings: Findings,
        indexes: Mapping[str, IndexType] | None = None,
        *,
        store: StoreSettings,
        workers: Workers = "auto",
    ) -> None:
        self.source = source
        self.collection = collection
        self.views = views
        self.findings = findings
        self.store = store
        self.workers = workers
        self.indexes = collection.indexes() if indexes is None else indexes
        self.rejects = CountedRejects()
        self.read = 0
        self.documents: int | None = None
        self.points = 0
        self.files = SourceFiles((), ())

    def run(self, counters: Counters, *, compare: bool) -> None:
        """Read all of it; with `compare`, also find what is missing or differs."""
        counters.note(waited_for(self.views))
        with (
            self.source.open(self.rejects, counters) as passages,
            closing(SourceIds()) as ids,
            read_by(
                self.workers,
                passages,
                self.collection,
                None,
                indexes=self.indexes,
                stored=stored_in(self.collection, self.store) if compare else None,
                tell=lambda sentence: counters.note((sentence,)),
            ) as passages,
        ):
            self.files = SourceFiles.now(self.rejects.files)
            counters.compare("surveying the source", None)
            reading = read_windows(
                passages,
                keys=self.collection.keys,
                integer_ids=self.collection.integer_ids,
                indexes=self.indexes,
                rejects=self.rejects,
                counters=counters,
                proposal=IndexProposal(),
                seen=ids,
            )
            with closing(reading) as windows:
                self._compare(windows, counters, payloads=compare)
            self.read = ids.count
            self.documents = None if self.collection.split is None else counters.snapshot().documents
            self.points = self.collection.reads.count()
            for view in self.views:
                counters.compare("comparing ids", view.collection.reads.count())
                for gap in compare_ids(ids, view.collection, on_page=counters.compared, read=view.read):
                    self.findings.add(Difference.EXTRA, {point_id: str(point_id) for point_id in gap.extra})

    def _compare(self, windows: Iterator[Window], counters: Counters, *, payloads: bool) -> None:
        def done(window: Window) -> None:
            counters.compared(len(window.ids))

        if payloads:
            whole = [View("", self.collection)]
            compare_payloads(windows, whole, self.findings, keys=self.collection.keys, on_window=done)
        else:
            for window in windows:
                done(window)

    @property
    def deletions(self) -> int:
        """Points that the source doesn't have."""
        return self.findings.count(Difference.EXTRA)

    @property
    def objection(self) -> str:
        """Why deleting them is likely to be a mistake, or an empty string."""
        if not self.deletions:
            return ""
        if self.deletions >= self.points:
            return "the source is empty" if not self.read else "the source has none of the collection's passages"
        if self.rejects.count:
            return f"{self.rejects.count:,} inputs of the source can't be stored, and these points may be theirs"
        return ""

    @property
    def announcement(self) -> str:
        """What will be deleted, in a sentence."""
        if not self.deletions:
            return "the collection holds nothing that the source doesn't; nothing will be deleted"
        return (
            f"{self.deletions:,} of the collection's {self.points:,} points are not in the source, and will be deleted "
            "once everything else is stored"
        )

    def check_unchanged(self) -> None:
        """Raises SourceError if a file was written to since: what it holds now isn't known."""
        for file, _ in self.files.changes():
            raise SourceError(
                "it was changed while it was read, so nothing was deleted; run the same command again",
                source=str(file),
            )


@contextmanager
def deletions(
    source: Source,
    collection: Collection,
    store: StoreSettings,
    rejects: RejectLog,
    counters: Counters,
    *,
    indexes: Mapping[str, IndexType],
    peers: Sequence[str],
    workers: Workers,
    wanted: bool,
    anyway: bool,
    before: Callable[[], object],
) -> Iterator[Callable[[], None]]:
    """A function that deletes the points that the source doesn't have; what it will delete is found, and
    announced, before anything is changed.

    Call it once everything else is stored; it does nothing unless `wanted`, and calls `before` first. Raises
    RejectedError at the first reject if `rejects` keeps none, and DeletionRefusedError (not with `anyway`) if deleting
    is likely a mistake.
    """
    if not wanted:
        yield lambda: None
        return
    with Findings() as findings:
        with views_of(collection, store, peers) as views:
            survey = Survey(source, collection, views_in(views), findings, indexes, store=store, workers=workers)
            survey.run(counters, compare=False)
        first = survey.rejects.first
        if first is not None and rejects.name is None:
            raise RejectedError(source=first.source, line=first.line, reason=first.reason)
        if survey.objection and not anyway:
            raise DeletionRefusedError(collection.name, deletions=survey.deletions, why=survey.objection)
        counters.restart()
        counters.note([*views.unchecked, survey.announcement])

        def delete() -> None:
            survey.check_unchanged()
            before()
            counters.compare("deleting", survey.deletions)
            for ids in findings.ids(Difference.EXTRA).batches():
                collection.delete_points(ids)
                counters.add(deleted=len(ids))
                counters.compared(len(ids))

        yield delete
