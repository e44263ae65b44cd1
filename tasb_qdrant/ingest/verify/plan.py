"""What a synchronisation would do, found without changing anything, and without a model unless texts are split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Unpack

from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.schema import check_contract
from tasb_qdrant.collection.views import views_of
from tasb_qdrant.encoder.options import EncoderChoice, EncoderOptions
from tasb_qdrant.ingest.progress import Counters, Progress
from tasb_qdrant.ingest.read.processes import Workers, check_workers
from tasb_qdrant.ingest.read.replacing import ReplaceGuard
from tasb_qdrant.ingest.showing import showing
from tasb_qdrant.ingest.source.open import Source, SourceLike, SourceOptions
from tasb_qdrant.ingest.source.recognised import Recognition, fields_of
from tasb_qdrant.ingest.split.splitter import Splitter
from tasb_qdrant.ingest.verify.findings import Findings
from tasb_qdrant.ingest.verify.reconcile import views_in
from tasb_qdrant.ingest.verify.sync import Survey
from tasb_qdrant.keywords import chosen, expanded_signature
from tasb_qdrant.records.verification import Difference, Repair
from tasb_qdrant.settings import StoreOptions, StoreSettings, store_settings


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What `ingest` with `sync` would do now to the `points` of the `collection` at `location`, having `read` so many
    passages: points to `delete`, passages to `encode`, payloads to `update`.

    Where texts are split, `read` counts passages, and `documents` what they are parts of. Of those to encode, `replace`
    replace a stored text. `unchanged` passages are stored as the source has them; `rejected` inputs can't be stored.
    `refusal` says why the deletion would be refused, `field_refusal` why the replacing would be without `replace`, or
    each is empty; `unchecked` says what of a cluster could not be looked at, and `notes` what was recognised in the
    source.
    """

    collection: str
    location: str
    points: int
    read: int
    delete: int
    encode: int
    replace: int
    update: int
    unchanged: int
    rejected: int
    refusal: str = ""
    unchecked: tuple[str, ...] = ()
    documents: int | None = None
    field_refusal: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return asdict(self)


class PlanOptions(StoreOptions, EncoderOptions, SourceOptions, total=False):
    """Where the collection lives, the encoder that texts are split for, and how the source is read."""


@expanded_signature(StoreSettings, EncoderChoice, Source)
def plan_sync(
    source: SourceLike,
    *,
    collection: str,
    peers: Sequence[str] = (),
    replace: bool = False,
    workers: Workers = "auto",
    progress: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Unpack[PlanOptions],
) -> SyncPlan:
    """The counts that `ingest(source, collection=..., sync=True)` would report; nothing is changed. `progress` shows
    how far it is, as in `ingest`.

    With `replace`, texts of another field than the collection's replace those, as in `ingest`: that is a note then, and
    no `field_refusal`. `peers`, `workers` and `on_progress` are those of `verify`. The encoder is loaded only if the
    collection's texts are split.

    Raises CollectionNotFoundError, and what `ingest` raises.
    """
    workers = check_workers(workers)
    store = store_settings(**chosen(StoreOptions, options))
    with (
        showing(progress, on_progress) as tell,
        open_existing(collection, store, patient=True) as target,
        views_of(target, store, peers) as views,
        Findings() as findings,
    ):
        counters = Counters(on_progress=tell)
        recognition = Recognition(counters.note)
        given = Source(source, **chosen(SourceOptions, options), indexes=target.indexes(), opened=recognition)
        if target.split is not None:
            choice = EncoderChoice(**chosen(EncoderOptions, options))
            encoder = choice.load(target.contract, collection=collection, location=target.location)
            check_contract(collection, target.contract, encoder.contract)
            given.split_by(Splitter(target.split, encoder))
        survey = Survey(given, target, views_in(views), findings, store=store, workers=workers)
        survey.run(counters, compare=True)
        guard = ReplaceGuard(target, lambda: fields_of(recognition.reader), allowed=replace)
        replaced = findings.count(Difference.TEXT)
        encode = findings.count(*Difference.mended_by(Repair.ENCODE))
        update = findings.count(*Difference.mended_by(Repair.PAYLOAD))
        said = guard.note if replaced else ()
        return SyncPlan(
            collection=collection,
            location=target.location,
            points=survey.points,
            read=survey.read,
            delete=survey.deletions,
            encode=encode,
            replace=replaced,
            update=update,
            unchanged=survey.read - encode - update,
            rejected=survey.rejects.count,
            refusal=survey.objection,
            unchecked=views.unchecked,
            documents=survey.documents,
            field_refusal="" if replace else " ".join(said),
            notes=(*recognition.notes, *(said if replace else ())),
        )
