"""How many processes read a source, and what they need to know."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Final, Literal

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.encoder.lazy import LazyEncoder
from tasb_qdrant.encoder.protocol import Encoder, TokenizesApart
from tasb_qdrant.encoder.workers.pool import WorkerPool
from tasb_qdrant.ingest.read.blocks import BlockPassages, CheckedBlock, ReadingTask
from tasb_qdrant.settings import IndexType
from tasb_qdrant.settings.checks import whole
from tasb_qdrant.sources import SourceReader
from tasb_qdrant.sources.blocks import Block

Workers = int | Literal["auto"]

CORES_EACH: Final = 4
"""Cores for each process that reads: one of them for it, the others for encoding, sending, and the server."""

_MOST: Final = 4
"""Four keep up with a GPU that encodes 80,000 passages a second."""


_MAX_WORKERS: Final = 256


def check_workers(workers: Workers) -> Workers:
    """ "auto" or the whole number. Raises SettingsError."""
    return "auto" if workers == "auto" else whole("workers", workers, least=1, most=_MAX_WORKERS)


def processes_for(workers: Workers, encoder: Encoder) -> int:
    """How many processes are to read; 1 is this one.

    A CPU encodes no more than one process reads; what is stored already, though, is only read.
    """
    if workers != "auto":
        return workers
    if encoder.device == "cpu" and not isinstance(encoder, LazyEncoder):
        return 1
    return min(_MOST, max(1, cores() // CORES_EACH))


def may_read_apart(workers: Workers, reader: object) -> bool:
    """Whether other processes may read it: it is made of files that can be read in blocks, and there are cores."""
    if workers == 1 or (workers == "auto" and cores() < 2 * CORES_EACH):
        return False
    return isinstance(reader, SourceReader) and bool(reader.block_formats)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def read_by(
    processes: int,
    reader: SourceReader,
    collection: Collection,
    encoder: Encoder,
    *,
    indexes: Mapping[str, IndexType],
    tokenized: bool,
) -> Iterator[BlockPassages]:
    """The reader's passages, read by so many processes, which tokenize them, too, if they are to be `tokenized`."""
    tokenizer = encoder.passage_tokenizer if tokenized and isinstance(encoder, TokenizesApart) else None
    task = ReadingTask(
        names=reader.names,
        formats=reader.block_formats or (),
        keys=collection.keys,
        integer_ids=collection.integer_ids,
        indexes=dict(indexes),
        tokenize=tokenizer,
        bm25=None if tokenizer is None else collection.bm25,
        entries=collection.payload_entries,
        choice=reader.choice,
    )
    pool: WorkerPool[Block, CheckedBlock] = WorkerPool([("a reading worker", task)] * processes, fewer="--workers")
    with closing(pool):
        yield BlockPassages(reader, pool, processes=processes)
