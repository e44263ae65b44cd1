"""What `ingest` says about a synchronisation before it makes one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tasb_qdrant.cli.options import StoreOptions
from tasb_qdrant.cli.payload_model import model_named

if TYPE_CHECKING:
    from tasb_qdrant.sources import SourceFields


def check_together(
    sources: tuple[str, ...], retry_rejects: Path | None, *, sync: bool, dry_run: bool, delete_anyway: bool
) -> None:
    """Raises UsageError for options that make no sense beside each other."""
    if not sources and retry_rejects is None:
        raise click.UsageError("Missing argument 'SOURCE...'.")
    if retry_rejects is not None and (sources or sync):
        raise click.UsageError("--retry-rejects reads the sources that its file names; leave SOURCE and --sync out")
    for name, is_set in (("--dry-run", dry_run), ("--delete-anyway", delete_anyway)):
        if is_set and not sync:
            raise click.UsageError(f"{name} says something about --sync; give both")


def dry_run_of(
    sources: tuple[str, ...],
    collection: str,
    store: StoreOptions,
    format_name: str | None,
    fields: SourceFields,
    payload_model: str | None,
    *,
    peers: tuple[str, ...],
    as_json: bool,
) -> int:
    """Print what a synchronisation would do."""
    from tasb_qdrant.cli.main import DONE, INCOMPLETE
    from tasb_qdrant.cli.progress import ProgressDisplay
    from tasb_qdrant.cli.render import print_json
    from tasb_qdrant.cli.render_verify import print_plan
    from tasb_qdrant.ingest import plan_sync

    with ProgressDisplay() as display:
        plan = plan_sync(
            list(sources),
            collection=collection,
            url=store.url,
            path=store.path,
            api_key=store.api_key,
            transport=store.transport,
            grpc_port=store.grpc_port,
            timeout=store.timeout,
            allow_plain_http_key=store.allow_plain_http_key,
            format=format_name,
            fields=fields,
            payload=model_named(payload_model),
            peers=peers,
            on_progress=display,
        )
    if as_json:
        print_json(plan.to_dict())
    else:
        print_plan(plan)
    return INCOMPLETE if plan.rejected else DONE
