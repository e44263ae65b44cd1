"""`tasb-qdrant collection verify`."""

from __future__ import annotations

from pathlib import Path

import click

from tasb_qdrant.cli.options import (
    ModelOptions,
    StoreOptions,
    collection_option,
    json_option,
    model_options,
    peer_option,
    source_options,
    store_options,
)
from tasb_qdrant.cli.payload_model import model_named, payload_model_option


@click.command("verify")
@collection_option
@click.option(
    "--source", "sources", multiple=True, required=True, metavar="SOURCE", help="What was ingested. Repeatable."
)
@source_options
@payload_model_option
@store_options
@model_options(default=None)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Passages that are encoded again to compare their vectors; 0 needs no model.",
)
@click.option("--repair", is_flag=True, help="Ingest again what is missing or differs, and verify once more.")
@peer_option
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
    format_name: str | None,
    id_field: str | None,
    text_field: str | None,
    title_field: str | None,
    payload_model: str | None,
    store: StoreOptions,
    encoder: ModelOptions,
    sample: int,
    repair: bool,
    peers: tuple[str, ...],
    report: Path | None,
    as_json: bool,
) -> int:
    """Compare a collection with its source: ids, payloads, and a sample of vectors.

    On a cluster every replica is looked at, each through its own node. Ends with status 0 where all is equal,
    and 3 where something differs, can't be stored, or couldn't be looked at.

    \b
    Examples:
      tasb-qdrant collection verify --collection docs --source corpus.jsonl
      tasb-qdrant collection verify --collection docs --source corpus.jsonl --repair --report differences.jsonl
    """
    from tasb_qdrant.cli.ingest import resumable
    from tasb_qdrant.cli.main import DONE, INCOMPLETE
    from tasb_qdrant.cli.progress import ProgressDisplay
    from tasb_qdrant.cli.render import note, print_json
    from tasb_qdrant.cli.render_verify import print_verification
    from tasb_qdrant.ingest.verify.run import verify
    from tasb_qdrant.sources import SourceFields

    with ProgressDisplay() as display, resumable():
        found = verify(
            list(sources),
            collection=collection,
            url=store.url,
            path=store.path,
            api_key=store.api_key,
            transport=store.transport,
            grpc_port=store.grpc_port,
            timeout=store.timeout,
            allow_plain_http_key=store.allow_plain_http_key,
            model=encoder.model,
            revision=encoder.revision,
            allow_pickle=encoder.allow_pickle,
            device=encoder.device,
            precision=encoder.precision,
            format=format_name,
            fields=SourceFields(id=id_field, text=text_field, title=title_field),
            payload=model_named(payload_model),
            sample=sample,
            repair=repair,
            peers=peers,
            report=report,
            on_progress=display,
        )
    for sentence in display.untold(found.notes):
        note(sentence)
    if as_json:
        print_json(found.to_dict())
    else:
        print_verification(found)
    return DONE if found.equal and not found.rejected else INCOMPLETE
