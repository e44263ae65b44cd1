"""How many processes read a source, and what they need to know."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Final, Literal

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.cores import cores
from tasb_qdrant.encoder.lazy import LazyEncoder
from tasb_qdrant.encoder.protocol import Encoder, TokenBatch, TokenizesApart
from tasb_qdrant.ingest.read.blocks import BlockPassages, CheckedBlock, ReadingTask, StoredIn
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.split.reader import SplitPassages
from tasb_qdrant.processes.pool import WorkerPool
from tasb_qdrant.settings import IndexType, StoreSettings
from tasb_qdrant.settings.checks import whole
from tasb_qdrant.sources import SourceReader
from tasb_qdrant.sources.blocks import Block

Workers = int | Literal["auto"]

CORES_EACH: Final = 4
"""Cores for each process that reads: one of them for it, the others for encoding, sending, and the server."""

_MOST: Final = 4
"""Four keep up with a GPU that encodes 80,000 passages a second."""


_BY_ONE: Final = (
    "The source is read by one process: what can be divided are files of lines and Parquet, but no pipes, without "
    "--limit, --split or --payload-model."
)

_MAX_WORKERS: Final = 256


def check_workers(workers: Workers) -> Workers:
    """ "auto" or the whole number. Raises SettingsError."""
    return "auto" if workers == "auto" else whole("workers", workers, least=1, most=_MAX_WORKERS)


def processes_for(workers: Workers, encoder: Encoder | None) -> int:
    """How many processes are to read; 1 is this one.

    A CPU encodes no more than one process reads; what is stored already, though, is only read.
    """
    if workers != "auto":
        return workers
    if encoder is not None and encoder.device == "cpu" and not isinstance(encoder, LazyEncoder):
        return 1
    return min(_MOST, max(1, cores() // CORES_EACH))


def may_read_apart(workers: Workers, reader: object) -> bool:
    """Whether other processes may read it: it is made of files that can be read in blocks, and there are cores."""
    if workers == 1 or (workers == "auto" and cores() < 2 * CORES_EACH):
        return False
    return isinstance(reader, SourceReader) and bool(reader.block_formats)


def stored_in(collection: Collection, settings: StoreSettings) -> StoredIn | None:
    """Where other processes can compare what they read with the collection: one process alone has an embedded one."""
    return None if settings.path is not None else StoredIn(collection.name, settings)


@contextmanager
def read_by(
    workers: Workers,
    reader: PassageReader,
    collection: Collection,
    encoder: Encoder | None,
    *,
    indexes: Mapping[str, IndexType],
    tokenized: bool = False,
    stored: StoredIn | None = None,
    tell: Callable[[str], None],
) -> Iterator[PassageReader]:
    """The reader's passages, read by other processes where that pays, which tokenize them, too, if they are to be
    `tokenized`, and compare them with what is `stored` there. `tell` gets what was chosen, in a sentence."""
    if isinstance(reader, SplitPassages):
        reader = reader.itself
    processes = processes_for(workers, encoder)
    if processes == 1:
        yield reader
        return
    if not isinstance(reader, SourceReader) or not may_read_apart(workers, reader):
        if workers != "auto":
            tell(_BY_ONE)
        yield reader
        return
    tell(f"The source is read by {processes} processes.")
    tokenizer = _tokenizer_of(encoder, tell) if tokenized and encoder is not None else None
    task = ReadingTask(
        names=reader.names,
        formats=reader.block_formats or (),
        keys=collection.keys,
        integer_ids=collection.integer_ids,
        indexes=dict(indexes),
        tokenize=tokenizer,
        bm25=None if tokenizer is None else collection.bm25,
        entries=collection.payload_entries if encoder is not None else None,
        choice=reader.choice,
        stored=stored,
    )
    named = [("a reading worker", task)] * processes
    pool: WorkerPool[Block, CheckedBlock] = WorkerPool(named, fewer="--workers", elsewhere="ingest in one process")
    with closing(pool):
        yield BlockPassages(reader, pool, processes=processes)


def _tokenizer_of(encoder: Encoder, tell: Callable[[str], None]) -> Callable[[Sequence[str]], TokenBatch] | None:
    """Its tokenizer for other processes; None if it has none, or none that can be sent there."""
    if not isinstance(encoder, TokenizesApart):
        return None
    tokenizer = encoder.passage_tokenizer
    try:
        pickled = pickle.dumps(tokenizer)
    except Exception as error:  # whatever a person's own class raises
        tell(f"Texts are tokenized by one process: the encoder's tokenizer can't be sent to others ({error}).")
        return None
    if b"__main__" in pickled:
        tell("Texts are tokenized by one process: the encoder's tokenizer belongs to the program that was started.")
        return None
    return tokenizer
