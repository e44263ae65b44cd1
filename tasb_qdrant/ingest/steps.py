"""The steps of an ingest run around the write path: opening the source, building the index, reporting."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from tasb_qdrant.collection.protocol import Collection, Store
from tasb_qdrant.collection.schema import check_name
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.ingest.pipeline import Outcome
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.windows import PassagesInMemory, PassageSource
from tasb_qdrant.ingest.rejects.lines import RejectedLines
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.resume.checkpoint import Counts
from tasb_qdrant.ingest.resume.journal import Journal, open_journal
from tasb_qdrant.ingest.source.payload_model import checked_by, named
from tasb_qdrant.ingest.source.stdin import patient_stdin
from tasb_qdrant.records import IngestReport, Passage, Reject
from tasb_qdrant.records.path import parse_path
from tasb_qdrant.settings import CollectionSettings, IndexType, StoreSettings
from tasb_qdrant.sources import SourceFields, open_sources

if TYPE_CHECKING:
    from pydantic import BaseModel

Source = str | Path | Sequence[str | Path] | Iterable[Passage] | RejectedLines

C = TypeVar("C", bound=Collection | Store)


def open_source(
    source: Source,
    format_name: str | None,
    fields: SourceFields | None,
    settings: CollectionSettings,
    log: RejectLog,
    counters: Counters,
    stopped: threading.Event,
    payload: type[BaseModel] | None = None,
) -> AbstractContextManager[PassageSource]:
    """Files are looked at before anything slow is begun; passages in memory are taken as they come.

    Passages whose payload is no instance of the model `payload` are rejects. Once `stopped` is set, nobody waits for
    standard input any more.
    """
    counters.phase("opening the source")

    def reject(reject: Reject) -> None:
        if log.unwanted([(reject.source, reject.line)]):
            return
        counters.add(read=1)
        log.add(reject)

    names = names_of(source)
    if not names:  # a rejects file may name none
        log.open()
        given = () if names is not None else cast("Iterable[Passage]", source)
        return checked_by(nullcontext(PassagesInMemory(given, on_reject=reject)), payload, reject)
    reader = open_sources(
        names,
        format=format_name,
        fields=fields or SourceFields(),
        column_types=_of_columns(settings.indexes),
        on_reject=reject,
        stdin=patient_stdin(stopped),
        excluded=() if log.earlier is None else (log.earlier,),
    )
    try:
        log.open(sources=reader.files)
    except BaseException:
        reader.close()
        raise
    return checked_by(reader, payload, reject)


def journal_of(
    source: Source,
    passages: PassageSource,
    store: StoreSettings,
    collection: str,
    format_name: str | None,
    fields: SourceFields | None,
    settings: CollectionSettings,
    overwrite: bool,
    state: str | Path | None,
    restart: bool,
    payload: type[BaseModel] | None,
) -> AbstractContextManager[Journal]:
    """The run's journal: an interrupted run goes on only if these options are the same."""
    fields = fields or SourceFields()
    options = {
        "--format": format_name or "not given",
        **{f"--{part}-field": getattr(fields, part) or "not given" for part in ("id", "text", "title")},
        "--index": " ".join(sorted(f"{field}:{kind}" for field, kind in settings.indexes.items())) or "not given",
        "--overwrite": "given" if overwrite else "not given",
        **({} if payload is None else {"--payload-model": named(payload)}),
    }
    return open_journal(
        passages,
        # Rejects that are tried again have no windows of their own to go on from.
        [] if isinstance(source, RejectedLines) else names_of(source) or [],
        store,
        collection=check_name(collection),
        options=options,
        state=state,
        restart=restart,
    )


def _of_columns(indexes: Mapping[str, IndexType]) -> dict[str, IndexType]:
    """The types of plain columns, by their names: an index is named by a path, which may quote them."""
    paths = {parse_path(field): kind for field, kind in indexes.items()}
    return {path[0].name: kind for path, kind in paths.items() if len(path) == 1 and not path[0].elements}


def names_of(source: Source) -> list[str | Path] | None:
    """The names of files, or None where `source` isn't made of names."""
    if isinstance(source, RejectedLines):
        return list(source.sources)
    if isinstance(source, str | Path):
        return [source]
    if isinstance(source, Sequence) and source and all(isinstance(item, str | Path) for item in source):
        return list(cast("Sequence[str | Path]", source))
    return None


@contextmanager
def closed_after(resource: C) -> Iterator[C]:
    """The resource, closed at the end. A failure to close it never hides the failure of what was done."""
    try:
        yield resource
    except BaseException as error:
        try:
            resource.close()
        except Exception as second:
            error.add_note(f"closing failed, too: {second}")
        raise
    resource.close()


def build_index(collection: Collection, counters: Counters) -> None:
    """Have the index as the collection's settings want it, which costs one look where nothing was stored."""
    counters.phase("building the vector index")
    collection.flush()
    collection.settle_index(
        changed=counters.snapshot().stored > 0,
        on_progress=lambda index: counters.phase("building the vector index", index),
    )


def report(
    collection: Collection,
    encoder: Encoder,
    outcome: Outcome,
    counters: Counters,
    *,
    rejects_file: str | None,
    resumed: Counts,
    in_source: int,
    notes: Sequence[str],
) -> IngestReport:
    collection.flush()
    points = collection.reads.count()
    warnings: list[str] = []
    if (stored := collection.contract.precision) != encoder.contract.precision:
        warnings.append(
            f"the collection was begun in {stored}, this run encoded in {encoder.contract.precision}; "
            f"the vectors agree to a cosine of 0.999, say --precision {stored} for the same ones"
        )
    now = counters.finish()
    expected = None if outcome.replaced is None else outcome.points_before + now.stored - outcome.replaced - now.deleted
    if points < in_source:  # another program deletes while this one loads, or did so before it was resumed
        expected = max(expected or 0, in_source)
    return IngestReport(
        collection=collection.name,
        location=collection.location,
        model=encoder.contract.model,
        device=encoder.device,
        precision=encoder.contract.precision,
        read=now.read,
        stored=now.stored,
        updated=now.updated,
        deleted=now.deleted,
        skipped=now.skipped,
        rejected=now.rejected,
        truncated=now.truncated + resumed.truncated,
        tokens=now.tokens,
        points=points,
        points_expected=expected,
        seconds=round(now.seconds, 3),
        loading_seconds=round(now.loading_seconds, 3),
        stages={stage: round(seconds, 3) for stage, seconds in counters.stages.items()},
        rejects_file=rejects_file,
        notes=(*encoder.notes, *collection.notes, *notes),
        warnings=tuple(warnings),
        proposed_indexes={} if collection.indexes() else outcome.proposal,
        resumed=resumed.model_dump() if resumed.windows else {},
    )
