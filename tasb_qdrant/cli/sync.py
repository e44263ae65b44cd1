"""What `ingest` says about a synchronisation before it does one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from tasb_qdrant.encoder.options import EncoderOptions
    from tasb_qdrant.ingest.options import RunOptions
    from tasb_qdrant.ingest.source.open import SourceOptions
    from tasb_qdrant.settings import StoreOptions


def check_together(sources: tuple[str, ...], retry_rejects: Path | None, run: RunOptions, *, dry_run: bool) -> None:
    """Raises UsageError for options that make no sense together."""
    if not sources and retry_rejects is None:
        raise click.UsageError("Missing argument 'SOURCE...'.")
    if retry_rejects is not None and (sources or run["sync"]):
        raise click.UsageError("--retry-rejects reads the sources that its file names; leave SOURCE and --sync out")
    if retry_rejects is not None and run["limit"] is not None:
        raise click.UsageError("--limit would drop the rejects after the first ones; leave it or --retry-rejects out")
    if run["sync"] and run["limit"] is not None:
        raise click.UsageError("--sync would delete all but the first passages; leave out one of --sync and --limit")
    if retry_rejects is not None and dry_run:
        raise click.UsageError("--dry-run looks at SOURCE; leave --retry-rejects out")
    if run["delete_anyway"] and not run["sync"]:
        raise click.UsageError("--delete-anyway goes with --sync; give both")


def dry_run_of(
    sources: tuple[str, ...],
    collection: str,
    store: StoreOptions,
    encoder: EncoderOptions,
    source: SourceOptions,
    *,
    peers: Sequence[str],
    replace: bool,
    workers: int | Literal["auto"],
    as_json: bool,
) -> int:
    """Print what a synchronisation would do."""
    from tasb_qdrant.cli.failures import DONE, INCOMPLETE
    from tasb_qdrant.cli.logs import is_quiet
    from tasb_qdrant.cli.render import note, print_json
    from tasb_qdrant.cli.render_verify import print_plan, warn_of_plan
    from tasb_qdrant.ingest import plan_sync
    from tasb_qdrant.ingest.display import ProgressDisplay

    with ProgressDisplay(quiet=is_quiet()) as display:
        plan = plan_sync(
            list(sources),
            collection=collection,
            peers=peers,
            replace=replace,
            workers=workers,
            on_progress=display,
            **store,
            **encoder,
            **source,
        )
    for sentence in display.untold(plan.notes):
        note(sentence)
    if not as_json:
        print_plan(plan)
    warn_of_plan(plan)
    if as_json:
        print_json(plan.to_dict())
    return INCOMPLETE if plan.rejected else DONE
