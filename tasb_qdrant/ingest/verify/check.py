"""A collection compared with its source: every id, every payload and a sample of vectors, on every replica."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.views import views_of
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.bm25 import Bm25Encoder
from tasb_qdrant.encoder.lazy import LazyEncoder
from tasb_qdrant.ingest.pipeline import run_pipeline
from tasb_qdrant.ingest.progress import Counters, Progress
from tasb_qdrant.ingest.read.content import Stored
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.read.processes import Workers, read_by, stored_in
from tasb_qdrant.ingest.read.replacing import ReplaceGuard
from tasb_qdrant.ingest.read.windows import PassageReader, read_windows
from tasb_qdrant.ingest.rejects.counted import CountedRejects
from tasb_qdrant.ingest.resume.journal import Journal
from tasb_qdrant.ingest.source.open import Source
from tasb_qdrant.ingest.upload.index_deferral import build_index
from tasb_qdrant.ingest.verify.findings import Findings
from tasb_qdrant.ingest.verify.reconcile import SourceIds, View, compare_ids, compare_payloads, views_in, waited_for
from tasb_qdrant.ingest.verify.repair import RepairSieve
from tasb_qdrant.ingest.verify.vectors import Sample, compare_vectors
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records.verification import Difference, Repair, VerifyReport
from tasb_qdrant.settings import StoreSettings

SAMPLE: Final = 100
"""Passages whose vectors are compared by default."""

_NAMED_AT_ONCE: Final = 500


@dataclass(slots=True)
class Check:
    """A comparison of a source with each of a collection's `views`; what differs can be repaired.

    `encoder` is called only if vectors have to be compared or made. `unchecked` says what the views don't show.
    With `extra_allowed`, ids that the source doesn't have are counted but aren't differences. `workers` processes read
    the source, and compare it with the collection of that name in the `store`, if that is given.
    """

    source: Source
    collection: Collection
    views: Sequence[View]
    encoder: Callable[[], Encoder]
    sample: int = SAMPLE
    extra_allowed: bool = False
    unchecked: tuple[str, ...] = ()
    report: Path | None = None
    on_progress: Callable[[Progress], None] | None = None
    guard: ReplaceGuard | None = None
    store: StoreSettings | None = None
    workers: Workers = 1
    _seed: int = field(default_factory=lambda: random.SystemRandom().getrandbits(32))

    def run(self, *, repair: bool = False) -> VerifyReport:
        """What differs; with `repair`, what still differs after repairing."""
        started = time.monotonic()
        if self.sample:
            self.encoder()  # a model that can't be loaded fails now, and not after hours
        with Findings(self.report) as findings:
            found = self._look(findings, started)
            if not repair or not findings.count(*Difference.mended_by(Repair.ENCODE, Repair.PAYLOAD)):
                return found
            if self.guard is not None and self.guard.is_on and found.text:
                self._ask(self.guard, findings)
            encoded, updated = self._repair(findings)
        with Findings(self.report) as findings:
            # The same sample: what was wrong in it must be right now.
            return replace(self._look(findings, started), encoded=encoded, updated=updated)

    def _look(self, findings: Findings, started: float) -> VerifyReport:
        counters = Counters(on_progress=self.on_progress)
        rejects = CountedRejects()
        sample = Sample(self.sample, seed=self._seed)
        unseen = waited_for(self.views)
        with (
            self.source.open(rejects, counters) as passages,
            closing(SourceIds(findings)) as ids,
            self._read_by(passages, counters) as passages,
        ):
            findings.open_report(rejects.files)
            self._compare_payloads(passages, ids, sample, findings, rejects, counters)
            doubts = [self._compare_ids(ids, view, findings, counters) for view in self.views]
            read = ids.count
        sampled, lowest = self._compare_vectors(sample, findings, counters)
        points = {view.name: view.collection.reads.count() for view in self.views}
        counters.finish()
        return replace(
            self._report(findings),
            documents=counters.snapshot().documents if self.collection.split is not None else None,
            read=read,
            rejected=rejects.count,
            points=points,
            unchecked=(*self.unchecked, *unseen, *filter(None, doubts)),
            sampled=sampled,
            lowest_cosine=lowest,
            seconds=round(time.monotonic() - started, 3),
        )

    def _read_by(self, passages: PassageReader, counters: Counters) -> AbstractContextManager[PassageReader]:
        whole = [view.name for view in self.views] == [""]
        return read_by(
            self.workers,
            passages,
            self.collection,
            None,
            indexes=self.collection.indexes(),
            stored=stored_in(self.collection, self.store) if whole and self.store is not None else None,
            tell=lambda sentence: counters.note((sentence,)),
        )

    def _report(self, findings: Findings) -> VerifyReport:
        counts: dict[str, Any] = {each.attribute: findings.count(each) for each in Difference}
        return VerifyReport(
            collection=self.collection.name,
            location=self.collection.location,
            **counts,
            extra_allowed=self.extra_allowed,
            examples=findings.examples(),
            report_file=findings.report_file,
            notes=self.collection.notes,
        )

    def _compare_payloads(
        self,
        passages: PassageReader,
        ids: SourceIds,
        sample: Sample,
        findings: Findings,
        rejects: CountedRejects,
        counters: Counters,
    ) -> None:
        def done(window: Window) -> None:
            sample.look_at(window)
            counters.compared(len(window.ids))

        counters.compare("comparing payloads", None)
        with closing(self._windows(passages, ids, rejects, counters)) as windows:
            compare_payloads(windows, self.views, findings, keys=self.collection.keys, on_window=done)

    def _compare_ids(self, ids: SourceIds, view: View, findings: Findings, counters: Counters) -> str:
        """A sentence if the view doesn't list as many ids as it counts, or an empty string."""
        listed = 0

        def on_page(count: int) -> None:
            nonlocal listed
            listed += count
            counters.compared(count)

        counters.compare(f"comparing ids{f' on {view.name}' if view.name else ''}", view.collection.reads.count())
        for gap in compare_ids(ids, view.collection, on_page=on_page, read=view.read):
            known = findings.ids(Difference.MISSING).among(gap.missing)
            findings.add(
                Difference.MISSING, {one: str(one) for one in gap.missing if one not in known}, where=view.name
            )
            findings.add(Difference.DUPLICATE, {one: str(one) for one in gap.repeated}, where=view.name)
            for start in range(0, len(gap.extra), _NAMED_AT_ONCE):
                some = gap.extra[start : start + _NAMED_AT_ONCE]
                findings.add(Difference.EXTRA, self._names(some, view.collection), where=view.name)
        if (count := view.collection.reads.count()) == listed:
            return ""
        return (
            f"{view.name or self.collection.location} lists {listed:,} points and counts {count:,}; if nothing was "
            "written meanwhile, check the server's log"
        )

    def _names(self, ids: Sequence[PointId], collection: Collection) -> dict[PointId, str]:
        """The passage ids in the points' payloads, or the points' own."""
        stored = {point.id: point.payload or {} for point in collection.reads.retrieve(ids)}
        return {one: str(stored.get(one, {}).get(self.collection.keys.id, one)) for one in ids}

    def _compare_vectors(self, sample: Sample, findings: Findings, counters: Counters) -> tuple[int, float | None]:
        """How many were compared, in the view that has most of them, and the lowest cosine of all views."""
        ids = [self.collection.point_id(passage.id) for passage in sample.passages]
        known = findings.among((Difference.MISSING, Difference.TEXT, Difference.NO_VECTOR), ids)
        passages = [one for one, there in zip(sample.passages, ids, strict=True) if there not in known]
        if not passages:
            return 0, None
        counters.phase("comparing vectors")
        encoder = self.encoder()
        texts = [passage.encoder_text for passage in passages]
        vectors = encoder.encode_passages(texts)
        bm25 = self.collection.bm25
        sparse = None if bm25 is None else Bm25Encoder(bm25).encode_passages(texts)
        compared, cosines = 0, []
        for view in self.views:
            found = compare_vectors(
                passages, vectors, view.collection, precision=encoder.contract.precision, sparse=sparse
            )
            differing = {self.collection.point_id(one.id): one.id for one in found.differing}
            findings.add(Difference.VECTOR, differing, where=view.name)
            compared = max(compared, found.compared)
            cosines += [found.lowest_cosine] if found.lowest_cosine is not None else []
        return compared, min(cosines, default=None)

    def _ask(self, guard: ReplaceGuard, findings: Findings) -> None:
        """Raises ReplaceRefusedError if a text must not be replaced, in any view. Nothing is changed before."""
        counters, rejects = Counters(on_progress=self.on_progress), CountedRejects()
        with (
            self.source.open(rejects, counters) as passages,
            closing(self._windows(passages, None, rejects, counters)) as windows,
        ):
            for window in windows:
                differing = findings.among((Difference.TEXT,), list(window.ids))
                for view in self.views if differing else ():
                    stored = Stored.under([*differing], view.collection)
                    for passage, point_id, content in zip(window.passages, window.ids, window.contents, strict=True):
                        if stored.difference(passage, point_id, content, self.collection.keys) is Difference.TEXT:
                            guard.check(passage, stored.payloads[point_id])

    def _repair(self, findings: Findings) -> tuple[int, int]:
        """How many passages were encoded again, and how many got only a new payload."""
        counters = Counters(on_progress=self.on_progress)
        rejects = CountedRejects()
        sieve = RepairSieve(findings, self.collection, counters)
        journal = Journal.none(self.collection.name)
        lease = journal.begin(self.collection, self.collection.contract, self.collection.indexes())
        with lease.held(alone=False):
            with self.source.open(rejects, counters) as passages:
                if findings.count(*Difference.mended_by(Repair.ENCODE)):
                    run_pipeline(
                        passages,
                        encoder=self.encoder(),
                        collection=self.collection,
                        rejects=rejects,
                        counters=counters,
                        overwrite=False,
                        journal=journal,
                        sieve=sieve,
                    )
                else:  # no model is needed
                    counters.phase("replacing payloads")
                    with closing(self._windows(passages, None, rejects, counters)) as windows:
                        for window in windows:
                            sieve.sift(window)
            done = counters.snapshot()
            lease.look()
            if done.stored and lease.leaves_index() is None:
                build_index(self.collection, counters)
            self.collection.flush()
        return done.stored, done.updated

    def _windows(
        self, passages: PassageReader, ids: SourceIds | None, rejects: CountedRejects, counters: Counters
    ) -> Generator[Window, None, None]:
        return read_windows(
            passages,
            keys=self.collection.keys,
            integer_ids=self.collection.integer_ids,
            indexes=self.collection.indexes(),
            rejects=rejects,
            counters=counters,
            proposal=IndexProposal(),
            seen=ids,
        )


def verified(
    source: Source,
    collection: Collection,
    store: StoreSettings,
    encoder: Encoder,
    *,
    peers: Sequence[str],
    workers: Workers,
    alone: bool,
    on_progress: Callable[[Progress], None] | None,
) -> VerifyReport:
    """How a source differs from the collection that it was stored in. Unless it is `alone` in it, ids of other
    sources don't matter."""
    with views_of(collection, store, peers) as views:
        check = Check(
            source,
            collection,
            views_in(views),
            lambda: encoder.loaded() if isinstance(encoder, LazyEncoder) else encoder,
            extra_allowed=not alone,
            store=store,
            workers=workers,
            unchecked=views.unchecked,
            on_progress=on_progress,
        )
        return check.run()
