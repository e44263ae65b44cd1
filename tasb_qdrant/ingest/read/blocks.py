"""Reading, checking and tokenizing in other processes, a block of the source at a time; here they are put in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tasb_qdrant.collection.index_types import TypeCheck
from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.encoder.bm25 import Bm25Encoder
from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.errors import EncodingError, InvalidPassageError, SourceError
from tasb_qdrant.ingest.read.content import Stored, canonical
from tasb_qdrant.ingest.read.idset import key_of
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.read.seen import digest_of
from tasb_qdrant.ingest.window import Made
from tasb_qdrant.processes.pool import Pending, WorkerPool
from tasb_qdrant.records import IntegerIds, Passage, Reject, encoder_text, point_id
from tasb_qdrant.settings import Bm25Settings, IndexType, PayloadKeys, StoreSettings
from tasb_qdrant.sources import SourceFile, SourceReader
from tasb_qdrant.sources.blocks import Block, BlockFormat
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.record.choice import Choice

AHEAD: Final = 3
"""Blocks under way for each process: the one that it reads, the next, and one that waits to be taken."""

_POLL_SECONDS: Final = 0.1


@dataclass(slots=True)
class CheckedBlock:
    """What a block holds that can be stored, row for row: the `lines` of the passages, their point `ids` with their
    `keys`, their `contents` with their `digests`, and what else was `made` of them. `rejects` are the others, each with
    the number of rows before it; `nulled` and the like are those of a Cursor. After a `failure` nothing was read.
    """

    lines: list[int] = field(default_factory=list)
    ids: list[int | str] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    made: Made = field(default_factory=Made)
    rejects: list[tuple[int, Reject]] = field(default_factory=list)
    nulled: int = 0
    whole_ids: int = 0
    converted: dict[str, int] = field(default_factory=dict)
    unseen_fields: tuple[str, ...] = ()
    unseen_indexes: tuple[str, ...] = ()
    failure: SourceError | None = None


@dataclass(frozen=True, slots=True)
class StoredIn:
    """A server's collection, which a process opens for itself to compare what it reads with."""

    collection: str
    settings: StoreSettings

    def open(self) -> Collection:
        """The collection; it is waited for as long as a load waits. Raises what opening it raises."""
        return open_existing(self.collection, self.settings, patient=True)


@dataclass(frozen=True, slots=True)
class ReadingTask:
    """Reads blocks in a process. `tokenize` and `bm25` are None where that is left for later, `entries` where payloads
    are sent as they are, and `stored` where nothing is to be compared."""

    names: tuple[str, ...]
    formats: tuple[BlockFormat, ...]
    keys: PayloadKeys
    integer_ids: IntegerIds
    indexes: Mapping[str, IndexType]
    tokenize: Callable[[list[str]], TokenBatch] | None = None
    bm25: Bm25Settings | None = None
    entries: Callable[[Passage], bytes] | None = None
    choice: Choice | None = None
    stored: StoredIn | None = None

    def open(self) -> tuple[None, Callable[[Block], CheckedBlock]]:
        """What reads a block. Raises what opening the collection raises."""
        words = None if self.bm25 is None else Bm25Encoder(self.bm25)
        check = TypeCheck(self.indexes)
        proposal = IndexProposal(self.indexes)
        collection = None if self.stored is None else self.stored.open()  # until the process ends
        return None, lambda block: self._read(block, check, proposal, words, collection)

    def _read(
        self,
        block: Block,
        check: TypeCheck,
        proposal: IndexProposal,
        words: Bm25Encoder | None,
        collection: Collection | None,
    ) -> CheckedBlock:
        found = CheckedBlock()
        cursor = Cursor(lambda reject: found.rejects.append((len(found.ids), reject)))
        cursor.source = self.names[block.source]
        passages: list[Passage] = []
        texts: list[str] = []
        entries: list[bytes] = []
        try:
            for passage in self.formats[block.source].passages(block.data, cursor, before=block.before):
                try:
                    payload = to_payload(passage, self.keys)
                    check(payload)
                except InvalidPassageError as error:
                    cursor.reject(cursor.line, error.reason)
                    continue
                proposal.see(payload)
                number = point_id(passage.id, self.integer_ids)
                content = canonical(payload)
                found.lines.append(cursor.line)
                found.ids.append(number)
                found.keys.append(key_of(number))
                found.contents.append(content)
                found.digests.append(digest_of(content))
                if self.tokenize is not None:
                    texts.append(encoder_text(passage.title, passage.text))
                if self.entries is not None:
                    entries.append(self.entries(passage))
                if collection is not None:
                    passages.append(passage)
        except SourceError as error:
            found.failure = error
        found.made = Made(
            self._tokens(texts),
            words.encode_passages(texts) if words is not None else None,
            entries if self.entries is not None else None,
            None
            if collection is None
            else Stored.under(found.ids, collection).differences(passages, found.ids, found.contents, self.keys),
        )
        found.nulled, found.whole_ids, found.converted = cursor.nulled, cursor.whole_ids, cursor.converted
        found.unseen_indexes = proposal.unseen
        found.unseen_fields = () if self.choice is None else tuple(self.choice.unseen)
        return found

    def _tokens(self, texts: list[str]) -> TokenBatch | None:
        """Those of the texts, if they are to be tokenized here."""
        if self.tokenize is None:
            return None
        tokens = self.tokenize(texts)
        if tokens.longer is None:
            raise EncodingError(
                "the encoder's passage_tokenizer doesn't say which texts are longer than the model reads; give its "
                "TokenBatch `longer`, or ingest with --workers 1"
            )
        return tokens


class BlockPassages:
    """A reader of files whose blocks are read by the processes of a pool, which its owner closes.

    Its passages come by `checked`, in the order of the source and whatever the number of processes.
    """

    def __init__(self, reader: SourceReader, pool: WorkerPool[Block, CheckedBlock], *, processes: int) -> None:
        self._reader = reader
        self._pool = pool
        self._ahead = AHEAD * processes
        self._bytes_read = 0

    @property
    def source(self) -> str:
        """Where the last block came from."""
        return self._reader.source

    @property
    def line(self) -> int:
        """Where the last block began."""
        return self._reader.line

    @property
    def bytes_total(self) -> int | None:
        """How long the source is, if known."""
        return self._reader.bytes_total

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """What it is read from."""
        return self._reader.files

    @property
    def bytes_read(self) -> int:
        """How far the source is read, as far as the blocks that came by `checked` are concerned."""
        return self._bytes_read

    def __iter__(self) -> Iterator[Passage]:
        raise TypeError("passages that are read in blocks come by checked()")

    def checked(self, still_wanted: Callable[[], None] = lambda: None) -> Generator[tuple[str, CheckedBlock]]:
        """What each block holds, with the name of its source; `still_wanted` is called while one is waited for, and
        may raise."""
        waiting: deque[tuple[Block, Pending[CheckedBlock]]] = deque()
        blocks = self._reader.blocks()
        failure: SourceError | None = None
        while failure is None:
            try:
                if (block := next(blocks, None)) is None:
                    break
            except SourceError as error:
                failure = error  # what was read before it comes first
                break
            waiting.append((block, self._pool.submit(block)))
            if len(waiting) == self._ahead:
                yield from self._taken(*waiting.popleft(), still_wanted)
        while waiting:
            yield from self._taken(*waiting.popleft(), still_wanted)
        if failure is not None:
            raise failure

    def _taken(
        self, block: Block, pending: Pending[CheckedBlock], still_wanted: Callable[[], None]
    ) -> Iterator[tuple[str, CheckedBlock]]:
        while (found := pending.result(_POLL_SECONDS)) is None:
            still_wanted()
        self._reader.read_elsewhere(
            nulled=found.nulled, whole_ids=found.whole_ids, converted=found.converted, unseen=found.unseen_fields
        )
        self._bytes_read = block.bytes_read
        yield self._reader.names[block.source], found
        if found.failure is not None:
            raise found.failure
