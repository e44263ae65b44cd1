"""`tasb-qdrant collection verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tasb_qdrant.cli.complete import files
from tasb_qdrant.cli.options import (
    collection_option,
    encoder_options,
    json_option,
    peer_option,
    source_options,
    store_options,
    workers_option,
)

if TYPE_CHECKING:
    from tasb_qdrant.encoder.options import EncoderOptions
    from tasb_qdrant.ingest.source.open import SourceOptions
    from tasb_qdrant.settings import StoreOptions


@click.command("verify")
@collection_option
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    metavar="SOURCE",
    shell_complete=files,
    help="What was ingested. Repeatable.",
)
@source_options
@store_options
@encoder_options()
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Passages to encode again, to compare their vectors; 0 needs no model.",
)
@click.option("--repair", is_flag=True, help="Ingest again what is missing or differs, and verify once more.")
@peer_option
@workers_option
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Name every id that differs in this file (JSONL).",
)
@json_option
def verify_command(
    *,
    collection: str,
    sources: tuple[str, ...],
    source: SourceOptions,
    store: StoreOptions,
    encoder: EncoderOptions,
    sample: int,
    repair: bool,
    peers: tuple[str, ...],
    workers: int | Literal["auto"],
    report: Path | None,
    as_json: bool,
) -> int:
    """Compare a collection with its source: ids, payloads, and a sample of vectors.

    On a cluster every replica is checked, each through its own node. The exit status is 0 if all is equal, and
    3 if something differs, can't be stored, or couldn't be checked.

    \b
    Examples:
      tasb-qdrant collection verify --collection docs --source corpus.jsonl
      tasb-qdrant collection verify --collection docs --source corpus.jsonl --repair --report differences.jsonl
    """
    from tasb_qdrant.cli.failures import DONE, INCOMPLETE
    from tasb_qdrant.cli.ingest import resumable
    from tasb_qdrant.cli.logs import is_quiet
    from tasb_qdrant.cli.render import note, print_json
    from tasb_qdrant.cli.render_verify import print_verification, warn_of_verification
    from tasb_qdrant.ingest.display import ProgressDisplay
    from tasb_qdrant.ingest.verify.run import verify

    with ProgressDisplay(quiet=is_quiet()) as display, resumable():
        found = verify(
            list(sources),
            collection=collection,
            sample=sample,
            repair=repair,
            peers=peers,
            workers=workers,
            report=report,
            on_progress=display,
            **store,
            **encoder,
            **source,
        )
    for sentence in display.untold(found.notes):
        note(sentence)
    if not as_json:
        print_verification(found)
    warn_of_verification(found)
    if as_json:
        print_json(found.to_dict())
    return DONE if found.equal and not found.rejected else INCOMPLETE
