"""`tasb-qdrant ingest`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tasb_qdrant.cli.complete import files
from tasb_qdrant.cli.new_collection import collection_options
from tasb_qdrant.cli.options import (
    encoder_options,
    grouped,
    json_option,
    optional_collection_option,
    peer_option,
    source_options,
    store_options,
    workers_option,
)

if TYPE_CHECKING:
    from tasb_qdrant.encoder.options import EncoderOptions
    from tasb_qdrant.ingest.options import RunOptions
    from tasb_qdrant.ingest.source.open import SourceOptions
    from tasb_qdrant.settings import CollectionSettings, StoreOptions


def _run_options(*, no_optimize: bool, **options: Any) -> RunOptions:
    return cast("RunOptions", {**options, "optimize": not no_optimize})


run_options = grouped(
    "run",
    _run_options,
    click.option(
        "--rejects",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write inputs that can't be stored to this file (JSONL), and go on. [default: stop at the first]",
    ),
    click.option(
        "--max-rejects", type=click.IntRange(min=0), metavar="N", help="Stop once more than N inputs were rejected."
    ),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Read only the first N passages: a trial."),
    workers_option,
    click.option("--sync", is_flag=True, help="Make the collection equal to SOURCE: delete what SOURCE doesn't have."),
    click.option("--delete-anyway", is_flag=True, help="With --sync: delete even if that looks like a mistake."),
    peer_option,
    click.option("--verify", is_flag=True, help="Compare the collection with SOURCE at the end."),
    click.option(
        "--overwrite",
        is_flag=True,
        help="Encode and store passages again even if they are stored with the same content.",
    ),
    click.option("--replace", is_flag=True, help="Let texts of another field replace those that the collection has."),
    click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for checkpoints, from which an interrupted run resumes. [default: in the embedded store, else "
        "the user's state folder]",
    ),
    click.option("--restart", is_flag=True, help="Forget the checkpoint of an interrupted run, and start over."),
    click.option(
        "--index-along/--index-at-end",
        default=None,
        help="Build the vector index along with the load, or after it. [default: after it, unless the load leaves "
        "cores idle]",
    ),
    click.option("--no-optimize", is_flag=True, help="Leave the vector index to `collection optimize`."),
)
"""--rejects, --sync, --state and the like, as `run: RunOptions`."""


@click.command("ingest")
@click.argument("sources", metavar="SOURCE...", nargs=-1, shell_complete=files)
@optional_collection_option
@store_options
@encoder_options(new="tas-b")
@source_options
@collection_options
@click.option(
    "--retry-rejects",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Instead of SOURCE: retry the lines named in this rejects file, which keeps what is still rejected.",
)
@run_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the files, the fields taken and the first passages, and store nothing; with --sync: say what it would "
    "delete, encode and update.",
)
@json_option
def ingest_command(
    *,
    sources: tuple[str, ...],
    collection: str | None,
    store: StoreOptions,
    encoder: EncoderOptions,
    source: SourceOptions,
    settings: CollectionSettings,
    retry_rejects: Path | None,
    run: RunOptions,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Encode the passages of SOURCE and store them.

    SOURCE is a file, a folder, a glob, or - for standard input: MS MARCO's collection.tsv, JSONL (BEIR's
    and others), CSV or TSV with a header, Parquet; plain, .gz or .zst. Passages that are already
    stored are skipped, so running the same command again is safe, and resumes a run that was interrupted.

    \b
    Examples:
      tasb-qdrant ingest collection.tsv --collection msmarco --url http://localhost:6333
      tasb-qdrant ingest corpus.jsonl --collection docs --index year:integer --index lang:keyword
      tasb-qdrant ingest corpus.csv --dry-run
      tasb-qdrant ingest corpus.jsonl --collection docs --sync --dry-run
      zcat dump.jsonl.gz | tasb-qdrant ingest - --format jsonl --collection docs --rejects rejects.jsonl
    """
    from tasb_qdrant.cli.failures import DONE, INCOMPLETE
    from tasb_qdrant.cli.logs import is_quiet
    from tasb_qdrant.cli.preview import preview_of
    from tasb_qdrant.cli.render import note, print_json, print_report, warn_of
    from tasb_qdrant.cli.render_verify import print_verification, warn_of_verification
    from tasb_qdrant.cli.sync import check_together, dry_run_of
    from tasb_qdrant.ingest import RejectedLines, ingest
    from tasb_qdrant.ingest.display import ProgressDisplay

    check_together(sources, retry_rejects, run, dry_run=dry_run)
    if dry_run and not run["sync"]:
        return preview_of(sources, source, settings, limit=run["limit"], as_json=as_json)
    if collection is None:
        raise click.MissingParameter(param_hint="'--collection'", param_type="option")
    if dry_run:
        more: Any = {name: run[name] for name in ("peers", "replace", "workers")}
        return dry_run_of(sources, collection, store, encoder, source, **more, as_json=as_json)
    with ProgressDisplay(quiet=is_quiet()) as display, resumable():
        run["settings"], run["on_progress"] = settings, display
        report = ingest(
            list(sources) if retry_rejects is None else RejectedLines(retry_rejects),
            collection=collection,
            **store,
            **encoder,
            **source,
            **run,
        )
    for sentence in display.untold(report.notes):
        note(sentence)
    if not as_json:
        print_report(report)
    warn_of(report)
    if report.verification is not None:
        if not as_json:
            print_verification(report.verification)
        warn_of_verification(report.verification)
    if as_json:
        print_json(report.to_dict())
    return DONE if report.verified and not report.rejected and not report.refused_indexes else INCOMPLETE


@contextmanager
def resumable() -> Iterator[None]:
    """End the program in time after Ctrl-C or SIGTERM, and say what became of the passages."""
    from tasb_qdrant.cli.failures import INTERRUPTED, answer
    from tasb_qdrant.cli.said import said
    from tasb_qdrant.cli.screen import say
    from tasb_qdrant.cli.signals import SAID, ending_in_time

    try:
        with ending_in_time():
            yield
    except KeyboardInterrupt as error:
        for sentence in getattr(error, "__notes__", ()):
            say(sentence, err=True)
        say(SAID, err=True)
        answer(said(), kind="interrupted", message=SAID, remedy="run the same again to go on")
        sys.exit(INTERRUPTED)
