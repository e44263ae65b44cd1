"""What a run came to, as its report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.hardware import PRECISIONS
from tasb_qdrant.ingest.pipeline import Outcome
from tasb_qdrant.ingest.progress import Counters, Progress
from tasb_qdrant.ingest.resume.journal import Journal
from tasb_qdrant.records import IngestReport

log: Final = logging.getLogger(__name__)


def report_of(
    outcome: Outcome,
    collection: Collection,
    encoder: Encoder,
    counters: Counters,
    journal: Journal,
    *,
    rejects_file: str | None,
    notes: Sequence[str],
    warnings: Sequence[str] = (),
) -> IngestReport:
    """The report; the collection is flushed and its points counted first. `notes` and `warnings` are the run's own."""
    collection.flush()
    points = collection.reads.count()
    now = counters.finish()
    resumed = journal.resumed
    report = IngestReport(
        collection=collection.name,
        location=collection.location,
        model=encoder.contract.model,
        device=encoder.device,
        precision=encoder.contract.precision,
        read=now.read,
        stored=now.stored,
        updated=now.updated,
        deleted=now.deleted,
        skipped=now.skipped,
        rejected=now.rejected,
        truncated=now.truncated + resumed.truncated,
        tokens=now.tokens,
        points=points,
        points_expected=_expected(outcome, now, points=points, in_source=journal.ledger.done.points),
        seconds=round(now.seconds, 3),
        loading_seconds=round(now.loading_seconds, 3),
        stages={stage: round(seconds, 3) for stage, seconds in counters.stages.items()},
        rejects_file=rejects_file,
        notes=(*encoder.notes, *collection.notes, *notes),
        warnings=(*warnings, *_warnings(collection, encoder)),
        proposed_indexes={} if collection.indexes() else outcome.proposal,
        resumed=resumed.model_dump() if resumed.windows else {},
    )
    report = replace(report, warnings=(*_of_the_counts(report), *report.warnings))
    for sentence in report.warnings:
        log.warning("%s", sentence)
    return report


def _of_the_counts(report: IngestReport) -> tuple[str, ...]:
    """What a person should know of the counts, a sentence each."""
    found: list[str] = []
    if not report.read:
        found.append("the source holds no passages")
    if report.truncated:
        found.append(f"{report.truncated:,} passages are longer than the model reads; only their beginning was encoded")
    if report.rejected:
        found.append(f"{report.rejected:,} inputs were rejected; see {report.rejects_file}")
    if report.points_expected is not None and report.points != report.points_expected:
        found.append(
            f"the collection should hold {report.points_expected:,} passages and holds {report.points:,}; "
            "is another program writing to it? Run the same command again to check"
        )
    return tuple(found)


def _expected(outcome: Outcome, now: Progress, *, points: int, in_source: int) -> int | None:
    """How many points the collection should hold; None if an overwriting run can't tell."""
    expected = None if outcome.replaced is None else outcome.points_before + now.stored - outcome.replaced - now.deleted
    if points < in_source:  # another program deletes while this one loads, or did so before it was resumed
        return max(expected or 0, in_source)
    return expected


def _warnings(collection: Collection, encoder: Encoder) -> tuple[str, ...]:
    stored, precision = collection.contract.precision, encoder.contract.precision
    if stored == precision:
        return ()
    # Old collections may name a precision that is gone: fp8.
    remedy = f"; use --precision {stored} for identical ones" if stored in PRECISIONS else ""
    cosine = 0.999 if {stored, precision} <= {"fp32", "bf16", "fp16"} else 0.99
    warning = (
        f"the collection was begun in {stored}, this run encoded in {precision}; "
        f"the vectors agree to a cosine of {cosine}{remedy}"
    )
    return (warning,)
