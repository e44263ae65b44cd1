"""`tasb-qdrant ingest`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def _copies(text: str) -> int | str:
    """A number, or "auto"."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"expected a number or auto, got {text!r}") from None


@click.command("ingest")
@click.argument("sources", metavar="SOURCE...", nargs=-1)
@collection_option
@store_options
@model_options(default="tas-b")
@source_options
@click.option(
    "--index",
    "indexes",
    multiple=True,
    metavar="FIELD:TYPE",
    help="Payload index, for filters: keyword, integer, float, bool, datetime, geo, text or uuid. Repeatable.",
)
@click.option(
    "--quantization",
    type=click.Choice(["none", "int8", "binary", "turbo4"]),
    default="none",
    show_default=True,
    help="Smaller vectors in memory, for a new collection; the real ones are kept beside, and score the hits.",
)
@click.option(
    "--vectors",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="How a new collection stores vectors: float16 takes half the room, and rounds each number to 3 digits.",
)
@click.option("--on-disk", is_flag=True, help="Keep the vectors on disk rather than in memory, for a new collection.")
@click.option(
    "--hnsw-m", type=int, default=16, show_default=True, help="Edges a vector has in a new collection's index."
)
@click.option("--hnsw-ef-construct", type=int, default=128, show_default=True, help="Care taken in building it.")
@click.option(
    "--shards",
    type=int,
    help="Parts of a new collection, which nodes share and load side by side. [default: one a node]",
)
@click.option(
    "--replicas",
    type=_copies,
    metavar="N|auto",
    help="Copies of each passage, on a cluster; auto is 3 on three nodes and more, two of which confirm each write.",
)
@click.option("--write-consistency", type=int, help="Copies that must confirm a write before it counts as stored.")
@click.option("--bm25", is_flag=True, help="A vector of each passage's words, too, for lexical and hybrid search.")
@click.option(
    "--bm25-language", metavar="NAME", help="Whose stopwords and endings --bm25 leaves out. [default: english]"
)
@click.option("--bm25-stemmer/--no-bm25-stemmer", default=None, help="Whether endings are left out. [default: yes]")
@click.option("--bm25-avg-len", type=float, metavar="WORDS", help="Average length of the passages. [default: measured]")
@payload_model_option
@click.option("--id-key", help="Payload name of the id. [default: passage_id]")
@click.option("--text-key", help="Payload name of the text. [default: text]")
@click.option("--title-key", help="Payload name of the title. [default: title]")
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep inputs that can't be stored in this file (JSONL), and go on. [default: stop at the first]",
)
@click.option(
    "--max-rejects", type=click.IntRange(min=0), metavar="N", help="Stop once more than N inputs were rejected."
)
@click.option(
    "--retry-rejects",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Instead of SOURCE: the lines that this file of rejects names. It keeps what is still rejected.",
)
@click.option("--sync", is_flag=True, help="Make the collection equal to SOURCE: delete what that doesn't have.")
@click.option("--dry-run", is_flag=True, help="Say what --sync would delete, encode and update, and change nothing.")
@click.option("--delete-anyway", is_flag=True, help="With --sync, delete also where that looks like a mistake.")
@peer_option
@click.option("--verify", is_flag=True, help="Compare the collection with SOURCE at the end.")
@click.option("--overwrite", is_flag=True, help="Encode and store again what is stored with the same content already.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for checkpoints, from which an interrupted run goes on. [default: in the embedded store, else the "
    "user's state folder]",
)
@click.option("--restart", is_flag=True, help="Forget the checkpoint of an interrupted run, and begin anew.")
@click.option("--no-optimize", is_flag=True, help="Leave the vector index to `collection optimize`.")
@json_option
def ingest_command(
    *,
    sources: tuple[str, ...],
    collection: str,
    store: StoreOptions,
    encoder: ModelOptions,
    format_name: str | None,
    id_field: str | None,
    text_field: str | None,
    title_field: str | None,
    payload_model: str | None,
    rejects: Path | None,
    max_rejects: int | None,
    retry_rejects: Path | None,
    sync: bool,
    dry_run: bool,
    delete_anyway: bool,
    peers: tuple[str, ...],
    verify: bool,
    overwrite: bool,
    state: Path | None,
    restart: bool,
    no_optimize: bool,
    as_json: bool,
    **collection_options: Any,
) -> int:
    """Encode the passages of SOURCE and store them.

    SOURCE is a file, a folder, a glob, or - for standard input: MS MARCO's collection.tsv, JSONL (BEIR's
    and others), CSV or TSV with a header, Parquet; plain, .gz or .zst. Passages that are stored already
    are skipped, so running the same again is safe, and goes on where a run was interrupted.

    \b
    Examples:
      tasb-qdrant ingest collection.tsv --collection msmarco --url http://localhost:6333
      tasb-qdrant ingest corpus.jsonl --collection docs --index year:integer --index lang:keyword
      tasb-qdrant ingest corpus.jsonl --collection docs --sync --dry-run
      zcat dump.jsonl.gz | tasb-qdrant ingest - --format jsonl --collection docs --rejects rejects.jsonl
    """
    from tasb_qdrant.cli.main import DONE, INCOMPLETE
    from tasb_qdrant.cli.progress import ProgressDisplay
    from tasb_qdrant.cli.render import note, print_json, print_report
    from tasb_qdrant.cli.render_verify import print_verification
    from tasb_qdrant.cli.sync import check_together, dry_run_of
    from tasb_qdrant.ingest import RejectedLines, ingest
    from tasb_qdrant.sources import SourceFields

    fields = SourceFields(id=id_field, text=text_field, title=title_field)
    check_together(sources, retry_rejects, sync=sync, dry_run=dry_run, delete_anyway=delete_anyway)
    if dry_run:
        return dry_run_of(sources, collection, store, format_name, fields, payload_model, peers=peers, as_json=as_json)
    with ProgressDisplay() as display, resumable():
        report = ingest(
            list(sources) if retry_rejects is None else RejectedLines(retry_rejects),
            collection=collection,
            url=store.url,
            path=store.path,
            api_key=store.api_key,
            transport=store.transport,
            grpc_port=store.grpc_port,
            timeout=store.timeout,
            allow_plain_http_key=store.allow_plain_http_key,
            model=encoder.model if encoder.model is not None else "tas-b",
            revision=encoder.revision,
            allow_pickle=encoder.allow_pickle,
            device=encoder.device,
            precision=encoder.precision,
            format=format_name,
            fields=fields,
            settings=_settings(**collection_options),
            payload=model_named(payload_model),
            rejects=rejects,
            max_rejects=max_rejects,
            sync=sync,
            delete_anyway=delete_anyway,
            verify=verify,
            peers=peers,
            overwrite=overwrite,
            state=state,
            restart=restart,
            optimize=not no_optimize,
            on_progress=display,
        )
    for sentence in display.untold(report.notes):
        note(sentence)
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(report)
        if report.verification is not None:
            print_verification(report.verification)
    return DONE if report.verified and not report.rejected else INCOMPLETE


@contextmanager
def resumable() -> Iterator[None]:
    """Ends the program after Ctrl-C or SIGTERM, in time, with what became of the passages."""
    from tasb_qdrant.cli.main import INTERRUPTED
    from tasb_qdrant.cli.signals import SAID, ending_in_time

    try:
        with ending_in_time():
            yield
    except KeyboardInterrupt as error:
        for sentence in getattr(error, "__notes__", ()):
            click.echo(sentence, err=True)
        click.echo(SAID, err=True)
        sys.exit(INTERRUPTED)


def _settings(
    *,
    indexes: tuple[str, ...],
    quantization: str,
    vectors: str,
    on_disk: bool,
    hnsw_m: int,
    hnsw_ef_construct: int,
    shards: int | None,
    replicas: Any,
    write_consistency: int | None,
    bm25: bool,
    bm25_language: str | None,
    bm25_stemmer: bool | None,
    bm25_avg_len: float | None,
    id_key: str | None,
    text_key: str | None,
    title_key: str | None,
) -> Any:
    from tasb_qdrant.settings import Bm25Settings, CollectionSettings, PayloadKeys, parse_indexes

    keys = {"id": id_key, "text": text_key, "title": title_key}
    wanted: dict[str, Any] = {"language": bm25_language, "stemmer": bm25_stemmer, "avg_len": bm25_avg_len}
    words = {option: value for option, value in wanted.items() if value is not None}
    if words and not bm25:
        raise click.UsageError(f"--bm25-{next(iter(words)).replace('_', '-')} is for --bm25; give that, too")
    named = {part: key for part, key in keys.items() if key is not None}
    return CollectionSettings(
        indexes=parse_indexes(indexes),
        quantization=quantization,  # type: ignore[arg-type]  # click.Choice has checked it
        vectors=vectors,  # type: ignore[arg-type]  # the same
        on_disk=on_disk,
        hnsw_m=hnsw_m,
        hnsw_ef_construct=hnsw_ef_construct,
        shards=shards,
        replicas=replicas,
        write_consistency=write_consistency,
        keys=PayloadKeys(**named) if named else None,
        bm25=Bm25Settings(**words) if bm25 else None,
    )
