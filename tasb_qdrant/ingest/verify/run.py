"""A verification from outside: open everything, compare, repair, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel, SecretStr

    from tasb_qdrant.encoder import Encoder
    from tasb_qdrant.ingest.progress import Progress
    from tasb_qdrant.ingest.steps import Source
    from tasb_qdrant.records.verification import VerifyReport
    from tasb_qdrant.settings import Transport
    from tasb_qdrant.sources import SourceFields


def verify(
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
    model: str | Path | None = None,
    revision: str | None = None,
    allow_pickle: bool = False,
    device: str = "auto",
    precision: str = "auto",
    encoder: Encoder | None = None,
    format: str | None = None,  # noqa: A002  # the option's name everywhere
    fields: SourceFields | None = None,
    payload: type[BaseModel] | None = None,
    sample: int = 100,
    repair: bool = False,
    peers: Sequence[str] = (),
    report: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> VerifyReport:
    """Compare `collection` with `source`, which is what `ingest` takes: every id, every payload, on every replica.

    The vectors of `sample` passages are compared with new ones; 0 compares none, and needs no model. `peers` are
    the addresses of a cluster's other nodes, where they can't be derived; what can't be reached is in the report's
    `unchecked`. Every finding goes to the file `report`, as a JSON line. With `repair`, what is missing or
    differs is ingested again (only the payload where only that differs), and all is compared once more; ids
    that the source doesn't have are named and left. Nothing is changed otherwise. The rest is as in `ingest`.
    """
    # Here and not above: `import tasb_qdrant` must not wait for what this needs.
    from tasb_qdrant.collection.open import open_existing
    from tasb_qdrant.collection.schema import check_contract
    from tasb_qdrant.collection.views import views_of
    from tasb_qdrant.encoder import load_encoder, named_by
    from tasb_qdrant.ingest.progress import Counters
    from tasb_qdrant.ingest.source.repeatable import Reopenable
    from tasb_qdrant.ingest.verify.check import Check
    from tasb_qdrant.ingest.verify.reconcile import views_in
    from tasb_qdrant.settings import check_whole_number, store_settings

    check_whole_number("sample", sample)
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
        told: list[str] = []

        @cache
        def load() -> Encoder:
            Counters(on_progress=on_progress).phase("loading the model")
            named, its_revision = (model, revision) if model is not None else named_by(target.contract, revision)
            loaded = encoder or load_encoder(
                named, device=device, precision=precision, revision=its_revision, allow_pickle=allow_pickle
            )
            check_contract(collection, target.contract, loaded.contract)
            told.extend(loaded.notes)
            return loaded

        report_at = None if report is None else Path(report)
        reopenable = Reopenable(source, format, fields, target.indexes(), report_at, payload)
        if repair:
            reopenable.check_repeatable("--repair")
        check = Check(
            reopenable,
            target,
            views_in(views),
            load,
            sample=sample,
            unchecked=views.unchecked,
            report=report_at,
            on_progress=on_progress,
        )
        found = check.run(repair=repair)
        return replace(found, notes=(*found.notes, *told))
