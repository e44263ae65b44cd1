"""What a run came to, as its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.hardware import PRECISIONS
from tasb_qdrant.ingest.pipeline import Outcome
from tasb_qdrant.ingest.progress import Counters, Progress
from tasb_qdrant.ingest.resume.journal import Journal
from tasb_qdrant.ingest.still_there import StillThere
from tasb_qdrant.printable import logger
from tasb_qdrant.records import IngestReport
from tasb_qdrant.settings import LEAST_TOKENS, IndexType

log: Final = logger(__name__)

_NAMED: Final = 3
"""Files that a warning names."""

_MANY: Final = 100
"""One passage in so many."""

_USUAL_TOKENS: Final = 256
"""Of a passage; docs/long-texts.md says what other lengths bring."""


def report_of(
    outcome: Outcome,
    there: StillThere,
    collection: Collection,
    encoder: Encoder,
    counters: Counters,
    journal: Journal,
    *,
    rejects_file: str | None,
    notes: Sequence[str],
    warnings: Sequence[str] = (),
    refused_indexes: Mapping[str, str] | None = None,
) -> IngestReport:
    """The report; the collection's points are counted first. `notes` and `warnings` are the run's own, and
    `refused_indexes` those that could not be made."""
    points = collection.reads.count()
    now = counters.finish()
    resumed = journal.resumed
    expected = _expected(outcome, now, there, points=points)
    report = IngestReport(
        collection=collection.name,
        location=collection.location,
        model=encoder.contract.model,
        device=encoder.device,
        precision=encoder.contract.precision,
        documents=None if collection.split is None else now.documents,
        read=now.read,
        stored=now.stored,
        updated=now.updated,
        deleted=now.deleted,
        replaced=_replaced(outcome, now, points=points),
        skipped=now.skipped,
        rejected=now.rejected,
        truncated=now.truncated + resumed.truncated,
        tokens=now.tokens,
        points=points,
        points_expected=expected,
        missing=there.missing,
        altered=there.altered,
        changed_sources=tuple(there.changed),
        seconds=round(now.seconds, 3),
        loading_seconds=round(now.loading_seconds, 3),
        stages={stage: round(seconds, 3) for stage, seconds in counters.stages.items()},
        rejects_file=rejects_file,
        notes=(*encoder.notes, *collection.notes, *notes, *outcome.notes, *_of_others(outcome, expected)),
        refused_indexes=refused_indexes or {},
        warnings=(
            *filter(None, [there.hidden]),
            *warnings,
            *_long_titles(now.titles_split),
            *_warnings(collection, encoder),
        ),
        proposed_indexes=_proposed(outcome, collection),
        resumed=resumed.model_dump() if resumed.windows else {},
    )
    report = replace(report, warnings=(*_of_the_counts(report, encoder), *report.warnings))
    for sentence in report.warnings:
        log.warning("%s", sentence)
    return report


def _of_the_counts(report: IngestReport, encoder: Encoder) -> tuple[str, ...]:
    """What a person should know of the counts, a sentence each."""
    found: list[str] = []
    if not report.read:
        found.append("the source holds no passages")
    if report.truncated:
        found.append(
            f"{_of(report.truncated, 'passage is', 'passages are')} longer than the model reads; only "
            f"{'its' if report.truncated == 1 else 'their'} beginning was encoded"
            f"{_split_instead(report, encoder.contract.max_length)}"
        )
    if report.rejected:
        found.append(f"{_of(report.rejected, 'input was', 'inputs were')} rejected; see {report.rejects_file}")
    found += _of_what_is_there(report)
    return tuple(found)


def _of_what_is_there(report: IngestReport) -> list[str]:
    """What isn't there at the end as it should be, a sentence each."""
    found: list[str] = []
    if report.missing:
        found.append(
            f"{_of(report.missing, 'passage of the source is', 'passages of the source are')} not there any more, or "
            "again: another program deletes, or an older copy of the collection was restored; run the same command "
            "again, which stores what is missing"
        )
    if report.altered:
        found.append(
            f"{_of(report.altered, 'passage', 'passages')} of a sample of what this run stored came to be something "
            "else: another program writes, or an older copy of the collection was restored; run the same command "
            "again, which compares all of them"
        )
    if report.points_expected is not None and report.points != report.points_expected and not report.missing:
        found.append(
            f"the collection should hold {report.points_expected:,} passages and holds {report.points:,}; "
            "is another program writing to it? Run the same command again to check"
        )
    if changed := report.changed_sources:
        more = f" and {len(changed) - _NAMED:,} more" if len(changed) > _NAMED else ""
        found.append(
            f"{', '.join(changed[:_NAMED])}{more}: changed while it was read, so what is stored may be neither the old "
            "content nor the new; run the same command again once nothing writes to it"
        )
    return found


def _of(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _split_instead(report: IngestReport, longest: int) -> str:
    """How not to lose what is cut off, where that is much of the source."""
    tokens = min(longest, _USUAL_TOKENS)
    if report.documents is not None or _MANY * report.truncated < report.read or tokens < LEAST_TOKENS:
        return ""
    return f". To find the rest too, ingest into a new collection with --split tokens:{tokens},overlap:{tokens // 8}"


def _proposed(outcome: Outcome, collection: Collection) -> dict[str, IndexType]:
    """The indexes that would suit, if there are none but the one that comes with a split."""
    own = set() if collection.split is None else {collection.split.field}
    return {} if collection.indexes().keys() - own else {k: v for k, v in outcome.proposal.items() if k not in own}


def _replaced(outcome: Outcome, now: Progress, *, points: int) -> int:
    """How many stored passages were replaced; an overwriting run, which looks at none, tells by their number."""
    if outcome.replaced is not None:
        return outcome.replaced
    return min(now.stored, max(0, outcome.points_before + now.stored - now.deleted - points))


def _expected(outcome: Outcome, now: Progress, there: StillThere, *, points: int) -> int | None:
    """How many points the collection should hold; None if that can't be told: by an overwriting run, or where others
    have stored and deleted meanwhile, as long as all that this run stored is there."""
    if outcome.replaced is None:
        return None
    expected = outcome.points_before + now.stored - outcome.replaced - now.deleted
    explained = not there.alone and (points > expected or there.others)
    return None if explained and not there.missing and points != expected else expected


def _of_others(outcome: Outcome, expected: int | None) -> tuple[str, ...]:
    """That other programs have written, where the number of points says so and all that was stored is there."""
    if expected is not None or outcome.replaced is None:
        return ()
    return ("Other programs have stored or deleted passages meanwhile: all that this load stored is there.",)


def _long_titles(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    verbs = ("title takes", "was") if count == 1 else ("titles take", "were")
    return (f"{count:,} {verbs[0]} more than half of a passage, and {verbs[1]} split with the text",)


def _warnings(collection: Collection, encoder: Encoder) -> tuple[str, ...]:
    stored, precision = collection.contract.precision, encoder.contract.precision
    if precision in ("", stored):  # "": nothing was encoded
        return ()
    # Old collections may name a precision that is gone: fp8.
    remedy = f"; use --precision {stored} for identical ones" if stored in PRECISIONS else ""
    cosine = 0.999 if {stored, precision} <= {"fp32", "bf16", "fp16"} else 0.99
    warning = (
        f"the collection was begun in {stored}, this run encoded in {precision}; "
        f"the vectors agree to a cosine of {cosine}{remedy}"
    )
    return (warning,)
