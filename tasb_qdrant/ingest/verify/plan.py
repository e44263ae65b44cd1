"""What a synchronisation would do, found without changing anything and without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, SecretStr

    from tasb_qdrant.ingest.progress import Progress
    from tasb_qdrant.ingest.steps import Source
    from tasb_qdrant.settings import Transport
    from tasb_qdrant.sources import SourceFields


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What `ingest` with `sync` would do now: points to `delete`, passages to `encode`, payloads to `update`.

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


def plan_sync(
    source: Source,
    *,
    collection: str,
    url: str | None = None,
    path: str | Path | None = None,
    api_key: str | SecretStr | None = None,
    transport: Transport = "auto",
    grpc_port: int | None = None,
    timeout: float = 60.0,
    allow_plain_http_key: bool = False,
    format: str | None = None,  # noqa: A002  # the option's name everywhere
    fields: SourceFields | None = None,
    payload: type[BaseModel] | None = None,
    peers: Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> SyncPlan:
    """The counts that `ingest(source, collection=..., sync=True)` would report; nothing is changed.

    Raises CollectionNotFoundError, and what `ingest` raises.
    """
    from tasb_qdrant.collection.open import open_existing
    from tasb_qdrant.collection.views import views_of
    from tasb_qdrant.ingest.progress import Counters
    from tasb_qdrant.ingest.source.repeatable import Reopenable
    from tasb_qdrant.ingest.verify.findings import Findings, Kind
    from tasb_qdrant.ingest.verify.reconcile import views_in
    from tasb_qdrant.ingest.verify.sync import Survey
    from tasb_qdrant.settings import store_settings

    store_at = store_settings(
        url=url,
        path=path,
        api_key=api_key,
        transport=transport,
        grpc_port=grpc_port,
        timeout=timeout,
        allow_plain_http_key=allow_plain_http_key,
    )
    with open_existing(collection, store_at) as target, views_of(target, store_at, peers) as views:
        reopenable = Reopenable(source, format, fields, target.indexes(), payload=payload)
        with Findings() as findings:
            survey = Survey(reopenable, target, views_in(views), findings)
            survey.run(Counters(on_progress=on_progress), compare=True)
            encode = findings.count(Kind.MISSING) + findings.count(Kind.TEXT)
            update = findings.count(Kind.PAYLOAD)
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
