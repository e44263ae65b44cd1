"""What a synchronisation would do, found without changing anything and without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Unpack

from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.views import views_of
from tasb_qdrant.ingest.progress import Counters, Progress
from tasb_qdrant.ingest.showing import showing
from tasb_qdrant.ingest.source.open import Source, SourceLike, SourceOptions
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

    `unchanged` passages are stored as the source has them; `rejected` inputs can't be stored. `refusal` says
    why the deletion would be refused, or is empty; `unchecked` what of a cluster could not be looked at.
    """

    collection: str
    location: str
    points: int
    read: int
    delete: int
    encode: int
    update: int
    unchanged: int
    rejected: int
    refusal: str = ""
    unchecked: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return asdict(self)


class PlanOptions(StoreOptions, SourceOptions, total=False):
    """Where the collection lives, and how the source is read."""


@expanded_signature(StoreSettings, Source)
def plan_sync(
    source: SourceLike,
    *,
    collection: str,
    peers: Sequence[str] = (),
    progress: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Unpack[PlanOptions],
) -> SyncPlan:
    """The counts that `ingest(source, collection=..., sync=True)` would report; nothing is changed. `progress` shows
    how far it is, as in `ingest`.

    `peers` and `on_progress` are those of `verify`.

    Raises CollectionNotFoundError, and what `ingest` raises.
    """
    store = store_settings(**chosen(StoreOptions, options))
    with (
        showing(progress, on_progress) as tell,
        open_existing(collection, store, patient=True) as target,
        views_of(target, store, peers) as views,
        Findings() as findings,
    ):
        given = Source(source, **chosen(SourceOptions, options), indexes=target.indexes())
        survey = Survey(given, target, views_in(views), findings)
        survey.run(Counters(on_progress=tell), compare=True)
        encode = findings.count(*Difference.mended_by(Repair.ENCODE))
        update = findings.count(*Difference.mended_by(Repair.PAYLOAD))
        return SyncPlan(
            collection=collection,
            location=target.location,
            points=survey.points,
            read=survey.read,
            delete=survey.deletions,
            encode=encode,
            update=update,
            unchanged=survey.read - encode - update,
            rejected=survey.rejects.count,
            refusal=survey.objection,
            unchecked=views.unchecked,
        )
