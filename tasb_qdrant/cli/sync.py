"""What `ingest` says about a synchronisation before it does one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tasb_qdrant.ingest.options import RunOptions
    from tasb_qdrant.ingest.source.open import SourceOptions
    from tasb_qdrant.settings import StoreOptions


def check_together(sources: tuple[str, ...], retry_rejects: Path | None, run: RunOptions, *, dry_run: bool) -> None:
    """Raises UsageError for options that make no sense together."""
    if not sources and retry_rejects is None:
        raise click.UsageError("Missing argument 'SOURCE...'.")
    if retry_rejects is not None and (sources or run["sync"]):
        raise click.UsageError("--retry-rejects reads the sources that its file names; leave SOURCE and --sync out")
    for name, is_set in (("--dry-run", dry_run), ("--delete-anyway", run["delete_anyway"])):
        if is_set and not run["sync"]:
            raise click.UsageError(f"{name} goes with --sync; give both")


def dry_run_of(
    sources: tuple[str, ...],
    collection: str,
    store: StoreOptions,
    source: SourceOptions,
    *,
    peers: Sequence[str],
    as_json: bool,
) -> int:
    """Print what a synchronisation would do."""
    from tasb_qdrant.cli.logs import is_quiet
    from tasb_qdrant.cli.main import DONE, INCOMPLETE
    from tasb_qdrant.cli.render import print_json
    from tasb_qdrant.cli.render_verify import print_plan
    from tasb_qdrant.ingest import plan_sync
    from tasb_qdrant.ingest.display import ProgressDisplay

    with ProgressDisplay(quiet=is_quiet()) as display:
        plan = plan_sync(list(sources), collection=collection, peers=peers, on_progress=display, **store, **source)
    if as_json:
        print_json(plan.to_dict())
    else:
        print_plan(plan)
    return INCOMPLETE if plan.rejected else DONE
