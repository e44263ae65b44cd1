"""A verification from outside: everything is opened, compared, repaired, and reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final, Unpack

from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.schema import check_contract
from tasb_qdrant.collection.views import views_of
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.options import EncoderChoice, EncoderOptions
from tasb_qdrant.ingest.json_lines import JsonLines
from tasb_qdrant.ingest.progress import Counters, Progress
from tasb_qdrant.ingest.read.processes import Workers, check_workers
from tasb_qdrant.ingest.read.replacing import ReplaceGuard
from tasb_qdrant.ingest.showing import showing
from tasb_qdrant.ingest.source.open import Source, SourceLike, SourceOptions
from tasb_qdrant.ingest.source.recognised import Recognition, fields_of
from tasb_qdrant.ingest.split.splitter import Splitter
from tasb_qdrant.ingest.verify.check import SAMPLE, Check
from tasb_qdrant.ingest.verify.findings import FINDINGS
from tasb_qdrant.ingest.verify.reconcile import views_in
from tasb_qdrant.keywords import chosen, expanded_signature
from tasb_qdrant.records.verification import VerifyReport
from tasb_qdrant.settings import StoreOptions, StoreSettings, check_whole_number, store_settings

_UNKNOWN: Final = (
    "The store's files were not compared with checksums: the last to write was killed, or was another program, or a "
    "version without checksums; the next run that stores something writes them."
)


class VerifyOptions(StoreOptions, EncoderOptions, SourceOptions, total=False):
    """Where the collection lives, the encoder that its vectors are compared with, and how the source is read."""


@expanded_signature(StoreSettings, EncoderChoice, Source)
def verify(
    source: SourceLike,
    *,
    collection: str,
    sample: int = SAMPLE,
    repair: bool = False,
    peers: Sequence[str] = (),
    workers: Workers = "auto",
    report: str | Path | None = None,
    progress: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Unpack[VerifyOptions],
) -> VerifyReport:
    """Compare `collection` with `source`, which is what `ingest` takes: every id, every payload, on every replica.

    The vectors of `sample` passages are compared with new ones; 0 compares none, and needs no model unless the
    collection's texts are split. `peers` are the addresses of a cluster's other nodes, if they can't be derived; what
    can't be reached is in the report's `unchecked`. `workers` processes read the source, and of a server's collection
    what is stored; what is found is the same whatever their number ("auto": as the cores allow). Every finding goes to
    the file `report`, as a JSON line. With `repair`, what is missing or differs is ingested again (only the payload if
    only that differs), and all is compared once more; ids that the source doesn't have are named and left. Nothing else
    is ever changed; texts of another field than the collection's replace none (ReplaceRefusedError). `on_progress` is
    called in this thread, `progress` shows how far it is. The other options are `ingest`'s.

    All files of an embedded store are read, too, and compared with their checksums.

    Raises CollectionNotFoundError, ContractMismatchError, SourceError, and what the store and the encoder raise.
    """
    check_whole_number("sample", sample)
    workers = check_workers(workers)
    store = store_settings(**chosen(StoreOptions, options))
    choice = EncoderChoice(**chosen(EncoderOptions, options))
    with (
        showing(progress, on_progress) as tell,
        open_existing(collection, store, patient=True) as target,
        views_of(target, store, peers) as views,
    ):
        notes: list[str] = []
        recognition = Recognition(Counters(on_progress=tell).note)

        @cache
        def load() -> Encoder:
            Counters(on_progress=tell).phase("loading the model")
            loaded = choice.load(target.contract, collection=collection, location=target.location)
            check_contract(collection, target.contract, loaded.contract)
            notes.extend(loaded.notes)
            return loaded

        findings = None if report is None else JsonLines(Path(report), FINDINGS)
        given = Source(
            source,
            **chosen(SourceOptions, options),
            indexes=target.indexes(),
            ignored=None if findings is None else findings.own_path,
            opened=recognition,
        )
        given.split_by(None if target.split is None else Splitter(target.split, load()))
        if repair:
            given.check_repeatable("--repair")
        damaged = target.damaged()  # before a repair writes to them
        if damaged is None:
            notes.append(_UNKNOWN)
        guard = ReplaceGuard(target, lambda: fields_of(recognition.reader), allowed=False)
        check = Check(
            given,
            target,
            views_in(views),
            load,
            sample=sample,
            unchecked=views.unchecked,
            report=None if findings is None else findings.path,
            on_progress=tell,
            guard=guard,
            store=store,
            workers=workers,
        )
        found = check.run(repair=repair)
        return replace(
            found, damaged=tuple(damaged or ()), notes=(*found.notes, *notes, *recognition.notes, *guard.note)
        )
