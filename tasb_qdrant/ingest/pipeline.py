"""THE WRITE PATH: passages -> windows -> tokens -> vectors -> collection, each arrow a bounded queue."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.bm25 import Bm25Encoder
from tasb_qdrant.ingest.flow import Channel, Flow, T
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.read.replacing import ReplaceGuard
from tasb_qdrant.ingest.read.seen import SeenIds
from tasb_qdrant.ingest.read.sieve import ContentSieve, Sieve
from tasb_qdrant.ingest.read.windows import PassageReader, read_windows
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.resume.checkpoint import Counts
from tasb_qdrant.ingest.resume.journal import Journal
from tasb_qdrant.ingest.split.surplus import Surplus
from tasb_qdrant.ingest.upload.index_deferral import IndexDeferral
from tasb_qdrant.ingest.upload.uploader import Uploader, batches_of
from tasb_qdrant.ingest.window import Portion, TokenizedWindow, Window, windows_at_once
from tasb_qdrant.settings import IndexType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_READER_SECONDS: Final = 2.0
"""Seconds that a failed run waits for its reader, which may itself be waiting at a silent pipe."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the counters don't tell: the points that were there before, how many of them were replaced (None if
    that isn't known), the payload indexes that would suit, the indexed fields that no passage has, warnings of what
    documents had more, and notes of what was chosen on the way."""

    points_before: int
    replaced: int | None
    proposal: dict[str, IndexType]
    unseen: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def run_pipeline(
    source: PassageReader,
    *,
    encoder: Encoder,
    collection: Collection,
    rejects: RejectLog,
    counters: Counters,
    overwrite: bool,
    journal: Journal,
    indexes: Mapping[str, IndexType] | None = None,
    sieve: Sieve | None = None,
    guard: ReplaceGuard | None = None,
    seen: SeenIds | None = None,
    stopped: threading.Event | None = None,
    index_along: bool | None = False,
) -> Outcome:
    """Store the passages of `source`; returns when the collection has confirmed every one of them.

    Reading, tokenizing, encoding (in this thread) and uploading overlap. At most a dozen windows, and two dozen for
    each GPU, are under way, however long the source is. Without a `sieve`, passages that the collection holds already
    are left out (not with `overwrite`), and the `guard` is asked before a text is replaced; it is told before the first
    is stored. What any stage raises is raised here, once the others have ended; `stopped` is set then. Windows that the
    `journal` knows to be stored are skipped, and it is told which ones are stored now. Passages that don't fit the
    `indexes`, by default the collection's, are rejected. If the collection has BM25, sparse vectors are made, too. The
    ids that were read are in `seen`, if that is given; any thread must be able to use it. `index_along` says when the
    vector index is built: along with the load, after it (by the caller), or, None, as it turns out to be better.
    """
    points_before = collection.reads.count()
    deferral = IndexDeferral(collection, points_before=points_before, along=index_along, note=counters.note)
    if sieve is None and points_before and (not overwrite or guard is not None):
        sieve = ContentSieve(collection, counters, guard=guard, overwrite=overwrite)
    surplus = Surplus(collection) if points_before and collection.split is not None else None
    words = None if collection.bm25 is None else Bm25Encoder(collection.bm25)
    indexes = collection.indexes() if indexes is None else indexes
    proposal = IndexProposal(indexes)
    with journal.saved_at_the_end(), counters.loading(), Flow(stopped) as flow:
        windows: Channel[Window] = flow.channel(2)
        tokenized: Channel[TokenizedWindow] = flow.channel(2)
        uploader = Uploader(collection, flow, counters, on_stored=journal.acknowledged)
        reading = read_windows(
            source,
            keys=collection.keys,
            integer_ids=collection.integer_ids,
            indexes=indexes,
            rejects=rejects,
            counters=counters,
            proposal=proposal,
            seen=seen,
            still_wanted=flow.check,
        )
        flow.spawn("read", lambda: _feed(counters.timed("read", reading), windows), patience=_READER_SECONDS)
        to_do = _not_resumed(windows, collection, journal, counters)
        looked_at = to_do if surplus is None else _looked_at(to_do, surplus)
        flow.spawn("tokenize", lambda: _feed(_tokenize(looked_at, encoder, words, sieve, journal, counters), tokenized))
        flow.spawn("checkpoint", lambda: journal.keep(flow.check))
        for first in tokenized.items(waiting=counters.tell):
            at_once = windows_at_once(encoder.device)  # known by now: an encoder is loaded for the first tokens
            tokenized.widen(2 * at_once)
            if guard is not None:
                guard.begin(points_before=points_before)  # in this thread, which is the one that changes the settings
            deferral.begin()
            portion = Portion([first, *tokenized.ready(at_once - 1)])
            tokens = portion.tokens
            with counters.busy("encode"), counters.encoding(len(tokens), tokens.tokens) as on_progress:
                vectors = encoder.encode_tokens(tokens, on_progress=on_progress)
            for item, rows in portion.split(vectors):
                _send(item, rows, collection, journal, uploader, counters)
            deferral.stored(counters.snapshot().stored)
        uploader.batches.close(waiting=counters.tell)
        journal.end()
        flow.join(waiting=counters.tell)
    return Outcome(
        points_before=points_before,
        replaced=sieve.replaced if sieve is not None else (None if points_before else 0),
        proposal=proposal.indexes(),
        unseen=proposal.unseen,
        surplus=() if surplus is None else surplus.warnings,
        notes=deferral.notes,
    )


def _send(
    item: TokenizedWindow,
    vectors: NDArray[np.float32],
    collection: Collection,
    journal: Journal,
    uploader: Uploader,
    counters: Counters,
) -> None:
    """Hand a window's batches to the uploader; the ledger knows all of them before the first is sent."""
    limits = collection.limits.upsert
    batches = list(batches_of(item.window, vectors, dim=collection.contract.dim, sparse=item.sparse, limits=limits))
    journal.ledger.expect(item.window.number, batches)
    for batch in batches:
        journal.sending(batch)
        uploader.batches.put(batch, waiting=counters.tell)


def _not_resumed(
    windows: Iterable[Window], collection: Collection, journal: Journal, counters: Counters
) -> Iterator[Window]:
    """The windows but for those that the journal knows to be stored, and that are still there: their ids are looked at.

    Once one is missing, the windows from there on are all compared.
    """
    points = 0
    for window in windows:
        if window.number < journal.resumed.windows:
            with counters.busy("compare"):
                gone = collection.reads.missing(window.ids)
            if not gone:
                points += len(window.ids)
                counters.add(skipped=len(window.ids))
                continue
            journal.doubt(window.number, points=points, gone=len(gone))
        yield window


def _looked_at(windows: Iterable[Window], surplus: Surplus) -> Iterator[Window]:
    """The windows, once they were looked at for what documents had more."""
    for window in windows:
        surplus.look_at(window)
        yield window


def _tokenize(
    windows: Iterable[Window],
    encoder: Encoder,
    words: Bm25Encoder | None,
    sieve: Sieve | None,
    journal: Journal,
    counters: Counters,
) -> Generator[TokenizedWindow, None, None]:
    for window in windows:
        there = len(window.passages)
        wanted = window if sieve is None else sieve.sift(window)
        kept = len(wanted.passages)
        done = Counts(windows=1, points=there, stored=kept, skipped=there - kept)
        updated, contents = ((), ()) if sieve is None else sieve.updated
        changed = [*wanted.ids, *updated], [*wanted.contents, *contents]
        if not kept:
            journal.ledger.begin(window.number, done, changed)
            continue
        tokens, sparse = wanted.made.tokens, wanted.made.sparse
        if tokens is None:
            texts = [passage.encoder_text for passage in wanted.passages]
            with counters.busy("tokenize"):
                tokens = encoder.tokenize_passages(texts)
            if words is not None:
                with counters.busy("bm25"):
                    sparse = words.encode_passages(texts)
        counters.add(truncated=tokens.truncated)
        done = done.plus(Counts(tokens=tokens.tokens, truncated=tokens.truncated))
        journal.ledger.begin(window.number, done, changed)
        yield TokenizedWindow(wanted, tokens, sparse)


def _feed(items: Generator[T, None, None], channel: Channel[T]) -> None:
    # Closed here, in the thread that started it: what it holds (SQLite's connection) belongs to that thread.
    with closing(items):
        for item in items:
            channel.put(item)
        channel.close()
