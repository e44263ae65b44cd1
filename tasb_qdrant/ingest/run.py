"""An ingest run from outside: open everything, run the write path, build the index, report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasb_qdrant.records import IngestReport

if TYPE_CHECKING:
    from pydantic import BaseModel, SecretStr

    from tasb_qdrant.encoder import Encoder
    from tasb_qdrant.ingest.progress import Progress
    from tasb_qdrant.ingest.steps import Source
    from tasb_qdrant.settings import Bm25Settings, CollectionSettings, Transport
    from tasb_qdrant.sources import SourceFields


def ingest(
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
    model: str | Path = "tas-b",
    revision: str | None = None,
    allow_pickle: bool = False,
    device: str = "auto",
    precision: str = "auto",
    encoder: Encoder | None = None,
    format: str | None = None,  # noqa: A002  # the option's name everywhere
    fields: SourceFields | None = None,
    settings: CollectionSettings | None = None,
    bm25: bool | Bm25Settings = False,
    payload: type[BaseModel] | None = None,
    rejects: str | Path | None = None,
    max_rejects: int | None = None,
    overwrite: bool = False,
    state: str | Path | None = None,
    restart: bool = False,
    optimize: bool = True,
    sync: bool = False,
    delete_anyway: bool = False,
    verify: bool = False,
    peers: Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Encode the passages of `source` and store them in `collection`, made if it isn't there.

    `source` is a file, folder, glob or "-", several of them, or an iterable of `Passage`. Passages that
    are stored with the same content already are skipped (not with `overwrite`), so the same call twice
    changes nothing. For files, what is stored is also kept in checkpoints, in the folder `state` (by default in
    the embedded store's folder, or the user's folder for such things): a call that was killed goes on where it
    was, and `restart` begins anew. An input that can't be stored goes to the file `rejects`, or raises
    RejectedError; one more than `max_rejects` raises TooManyRejectsError. `RejectedLines(file)` as the source
    stands for the lines that such a file names.

    `payload` is a pydantic model: a passage whose payload is no instance of it is a reject, and the fields that it
    marks with `Indexed()` get their indexes. What is stored is what the source has.

    `bm25` gives each passage a sparse vector of its words beside the dense one, for a new collection; a collection
    that has them goes on having them, asked for or not. How long passages are on average is measured before the
    first is stored: the source is read once more for that, at most a million passages, and of what can be read
    only once the first 10,000 are read ahead, in this thread.

    `sync` deletes, when all the rest is stored, what the collection holds and the source doesn't; where that
    is likely to be a mistake DeletionRefusedError is raised before anything is changed, not with
    `delete_anyway`. `plan_sync` says beforehand what will be done. `verify` compares collection and source at
    the end. Both look at every replica of a cluster (`peers` as in `verify`), and read the source more than
    once, so that they take no stream. With an `encoder` given, `model`, `device` and the like are not used.
    `on_progress` is called in this thread, several times a second; an iterable of passages is read in
    another, once and lazily.

    Raises the kinds of TasbQdrantError; what was stored until then stays stored. A collection that this
    call made, and stored nothing in, is deleted then.
    """
    # Here and not above: `import tasb_qdrant` binds this function, and must not wait for what it needs.
    from tasb_qdrant.collection.open import no_leftover, open_for_writing, open_store_at
    from tasb_qdrant.encoder import load_encoder
    from tasb_qdrant.errors import SettingsError
    from tasb_qdrant.ingest.flow import sleep_until
    from tasb_qdrant.ingest.pipeline import run_pipeline
    from tasb_qdrant.ingest.progress import Counters
    from tasb_qdrant.ingest.rejects.lines import RejectedLines
    from tasb_qdrant.ingest.rejects.retried import reject_log
    from tasb_qdrant.ingest.source.average_length import average_length
    from tasb_qdrant.ingest.source.payload_model import with_indexes_of
    from tasb_qdrant.ingest.source.repeatable import Reopenable
    from tasb_qdrant.ingest.steps import build_index, closed_after, journal_of, open_source, report
    from tasb_qdrant.ingest.upload.index_deferral import check_limits
    from tasb_qdrant.ingest.verify.check import verified
    from tasb_qdrant.ingest.verify.sync import deletions
    from tasb_qdrant.settings import DEFAULT_AVG_LEN, Bm25Settings, CollectionSettings, store_settings

    settings = with_indexes_of(payload, settings or CollectionSettings())
    if bm25:
        words = (settings.bm25 or Bm25Settings()) if bm25 is True else bm25
        settings = settings.model_copy(update={"bm25": words})
    store_at = store_settings(
        url=url,
        path=path,
        api_key=api_key,
        transport=transport,
        grpc_port=grpc_port,
        timeout=timeout,
        allow_plain_http_key=allow_plain_http_key,
    )
    counters = Counters(on_progress=on_progress)
    log = reject_log(source, rejects, limit=max_rejects, on_reject=lambda: counters.add(rejected=1))
    again = Reopenable(source, format, fields, settings.indexes, None if rejects is None else Path(rejects), payload)
    if sync and isinstance(source, RejectedLines):
        raise SettingsError("sync would delete all but the rejects that are tried again; ingest their sources instead")
    if sync or verify:
        again.check_repeatable("sync" if sync else "verify")
    stopped = threading.Event()
    with (
        log,
        open_source(source, format, fields, settings, log, counters, stopped, payload) as passages,
        journal_of(
            source, passages, store_at, collection, format, fields, settings, overwrite, state, restart, payload
        ) as journal,
    ):
        counters.phase("connecting")
        sleep = sleep_until(stopped, waiting=counters.tell)
        with closed_after(open_store_at(store_at, sleep=sleep, watch=counters.watch)) as store:
            if encoder is None:
                counters.phase("loading the model")
                encoder = load_encoder(
                    model, device=device, precision=precision, revision=revision, allow_pickle=allow_pickle
                )
            counters.note(encoder.notes)
            journal.check_model(encoder.contract, collection_exists=lambda: store.exists(collection))
            average = None
            if settings.bm25 is not None and settings.bm25.avg_len is None and not store.exists(collection):
                average = average_length(passages, again, settings.bm25, counters)
                passages = average.source
            with (
                no_leftover(collection, store),
                closed_after(
                    open_for_writing(
                        collection,
                        store,
                        contract=encoder.contract,
                        settings=settings,
                        avg_len=DEFAULT_AVG_LEN if average is None else average.words,
                    )
                ) as target,
            ):
                limits = check_limits(target, passages, source)
                if average is not None:
                    limits = (average.note, *limits)
                counters.note((*target.notes, *limits))
                journal.begin(target, encoder.contract)
                counters.note(journal.notes)
                with deletions(
                    again, target, store_at, log, counters, peers=peers, wanted=sync, anyway=delete_anyway
                ) as delete:
                    outcome = run_pipeline(
                        passages,
                        encoder=encoder,
                        collection=target,
                        rejects=log,
                        counters=counters,
                        overwrite=overwrite,
                        journal=journal,
                        stopped=stopped,
                    )
                    log.complete(counters)
                    delete()
                if optimize:
                    build_index(target, counters)
                done = report(
                    target,
                    encoder,
                    outcome,
                    counters,
                    rejects_file=log.name,
                    resumed=journal.resumed,
                    in_source=journal.ledger.done.points,
                    notes=(*limits, *journal.notes),
                )
                journal.forget()
                if not verify:
                    return done
                alone = sync or not outcome.points_before
                return verified(
                    done, again, target, store_at, encoder, peers=peers, alone=alone, on_progress=on_progress
                )
