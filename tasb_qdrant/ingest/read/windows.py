"""The first stage: passages from the source, checked, counted and cut into windows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from itertools import accumulate
from typing import NamedTuple, Protocol

from tasb_qdrant.collection.index_types import TypeCheck
from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.errors import InvalidPassageError, RejectedError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.blocks import BlockPassages
from tasb_qdrant.ingest.read.content import canonical
from tasb_qdrant.ingest.read.idset import key_of
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.read.seen import Seen, SeenIds, digest_of
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.window import WINDOW_BYTES, WINDOW_SIZE, Made, StoredPassages, Window
from tasb_qdrant.records import IntegerIds, Passage, Reject, point_id
from tasb_qdrant.settings import IndexType, PayloadKeys
from tasb_qdrant.sources import SourceFile


class PassageReader(Protocol):
    """Passages, with the place of the last one: from files, or from any iterable of passages."""

    @property
    def source(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def bytes_read(self) -> int: ...
    @property
    def bytes_total(self) -> int | None: ...
    @property
    def files(self) -> tuple[SourceFile, ...]:
        """The files and "-" for standard input, in order; none for passages in memory."""
        ...

    def __iter__(self) -> Iterator[Passage]: ...


class _Draft:
    """A window in the making. `size` is the bytes of its payloads."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []
        self.places: list[tuple[str, int]] = []
        self.payloads: list[bytes] = []
        self.size = 0

    def add(self, passage: Passage, place: tuple[str, int], payload: bytes) -> None:
        self.passages.append(passage)
        self.places.append(place)
        self.payloads.append(payload)
        self.size += len(payload)

    @property
    def is_full(self) -> bool:
        return len(self.passages) == WINDOW_SIZE or self.size >= WINDOW_BYTES

    def checked(self, integer_ids: IntegerIds) -> _Checked:
        ids = [point_id(passage.id, integer_ids) for passage in self.passages]
        keys = [key_of(each) for each in ids]
        digests = [digest_of(content) for content in self.payloads]
        return _Checked(self.passages, self.places, ids, self.payloads, keys, digests, Made())


class _Checked(NamedTuple):
    """The rows of a window before repeats are taken out."""

    passages: Sequence[Passage]
    places: Sequence[tuple[str, int]]
    ids: Sequence[int | str]
    contents: Sequence[bytes]
    keys: Sequence[bytes]
    digests: Sequence[bytes]
    made: Made


class _Windows:
    """Numbers windows, and takes out of each what has occurred before."""

    def __init__(self, seen: SeenIds, rejects: RejectLog, counters: Counters) -> None:
        self._seen = seen
        self._rejects = rejects
        self._counters = counters
        self._number = 0

    def next(self, rows: _Checked) -> Window:
        """The next window. Raises RejectedError as the log does."""
        earlier = self._seen.add_keys(rows.keys, rows.digests, rows.places)
        rejects = self._rejects
        unwanted = set(rejects.unwanted(rows.places))
        kept: list[int] = []
        repeats = 0
        self._seen.disown([rows.ids[row] for row in unwanted if earlier[row] is None])
        for row, before in enumerate(earlier):
            if row in unwanted and (before is None or before.same or rejects.unwanted([(before.source, before.line)])):
                continue
            if before is None:
                kept.append(row)
            elif before.same:
                repeats += 1
            else:
                self._counters.add(read=1)
                source, line = rows.places[row]
                passage_id = rows.passages[row].id
                self._seen.repeats(rows.ids[row], passage_id, before)
                reason = repeated(passage_id, rows.ids[row], source, before)
                rejects.add(Reject(source=source, line=line, reason=reason))
        self._counters.add(read=len(kept) + repeats, skipped=repeats)
        number, self._number = self._number, self._number + 1
        return Window(number, rows.passages, rows.ids, rows.contents, rows.made).only(kept)


def read_windows(
    source: PassageReader,
    *,
    keys: PayloadKeys,
    integer_ids: IntegerIds,
    indexes: Mapping[str, IndexType],
    rejects: RejectLog,
    counters: Counters,
    proposal: IndexProposal,
    seen: SeenIds | None = None,
    still_wanted: Callable[[], None] = lambda: None,
) -> Generator[Window, None, None]:
    """The passages that can be stored, in the order of the source, in windows of consecutive ones.

    A passage whose id has occurred before is skipped if it is the same to the letter, and rejected if it isn't.
    The ids are kept in `seen` if that is given, which its owner closes. `still_wanted` is called while other processes
    are waited for, and may raise.
    """
    with nullcontext(seen) if seen is not None else closing(SeenIds()) as all_ids:
        windows = _Windows(all_ids, rejects, counters)
        if isinstance(source, BlockPassages):
            yield from _of_blocks(source, windows, keys, rejects, counters, proposal, still_wanted)
        else:
            yield from _one_by_one(source, windows, keys, integer_ids, indexes, rejects, counters, proposal)


def _one_by_one(
    source: PassageReader,
    windows: _Windows,
    keys: PayloadKeys,
    integer_ids: IntegerIds,
    indexes: Mapping[str, IndexType],
    rejects: RejectLog,
    counters: Counters,
    proposal: IndexProposal,
) -> Iterator[Window]:
    check = TypeCheck(indexes)
    draft = _Draft()
    refused: tuple[str, int] | None = None
    try:
        for passage in source:
            place = (source.source, source.line)
            try:
                payload = to_payload(passage, keys)
                check(payload)
            except InvalidPassageError as error:
                # The passages of a document that was split are all in its place, and are one reject.
                if place == refused or rejects.unwanted([place]):
                    continue
                refused = place
                counters.add(read=1)
                rejects.add(Reject(source=place[0], line=place[1], reason=error.reason))
                continue
            proposal.see(payload)
            proposal.look_at(passage.payload)
            draft.add(passage, place, canonical(payload))
            if draft.is_full:
                counters.position(source.bytes_read, source.bytes_total)
                full, draft = draft, _Draft()
                yield windows.next(full.checked(integer_ids))
        counters.position(source.bytes_read, source.bytes_total)
        if draft.passages:
            last, draft = draft, _Draft()
            yield windows.next(last.checked(integer_ids))
    except RejectedError:
        windows.next(draft.checked(integer_ids))  # a repeated id further up is the first reject
        raise


class _Rows:
    """Checked rows of blocks, until they fill a window."""

    def __init__(self, keys: PayloadKeys) -> None:
        self._keys = keys
        self._parts: list[_Checked] = []
        self._count = self._size = 0

    def __len__(self) -> int:
        return self._count

    def add(self, rows: _Checked) -> None:
        """Take all of these, which must fit: see `room`."""
        self._parts.append(rows)
        self._count += len(rows.ids)
        self._size += sum(map(len, rows.contents))

    def room(self, contents: Sequence[bytes]) -> int:
        """How many of the rows with these contents come into this window, the one that fills it included."""
        room = WINDOW_SIZE - self._count
        sizes = list(accumulate(map(len, contents[:room])))
        return bisect_left(sizes, WINDOW_BYTES - self._size) + 1 if sizes and self._is_full(sizes[-1]) else room

    @property
    def is_full(self) -> bool:
        return self._count == WINDOW_SIZE or self._is_full(0)

    def _is_full(self, more: int) -> bool:
        return self._size + more >= WINDOW_BYTES

    def taken(self) -> _Checked:
        """All of them, as one; there are none afterwards."""
        parts, self._parts = self._parts, []
        self._count = self._size = 0
        if len(parts) == 1:
            return parts[0]
        contents = [content for part in parts for content in part.contents]
        return _Checked(
            passages=StoredPassages(contents, self._keys),
            places=[place for part in parts for place in part.places],
            ids=[each for part in parts for each in part.ids],
            contents=contents,
            keys=[key for part in parts for key in part.keys],
            digests=[digest for part in parts for digest in part.digests],
            made=Made.joined([part.made for part in parts]) if parts else Made(),
        )


def _of_blocks(
    source: BlockPassages,
    windows: _Windows,
    keys: PayloadKeys,
    rejects: RejectLog,
    counters: Counters,
    proposal: IndexProposal,
    still_wanted: Callable[[], None],
) -> Iterator[Window]:
    """The same windows, of passages that other processes have read and checked."""
    rows = _Rows(keys)
    try:
        for name, block in source.checked(still_wanted):
            places = [(name, line) for line in block.lines]
            passages = StoredPassages(block.contents, keys)
            start = 0
            for end, reject in (*block.rejects, (len(block.ids), None)):
                while start < end:
                    stop = min(end, start + rows.room(block.contents[start:end]))
                    part = slice(start, stop)
                    while proposal.wants_more and start < stop:
                        proposal.look_at(passages[start].payload)
                        start += 1
                    rows.add(
                        _Checked(
                            StoredPassages(block.contents[part], keys),
                            places[part],
                            block.ids[part],
                            block.contents[part],
                            block.keys[part],
                            block.digests[part],
                            block.made.part(part.start, stop),
                        )
                    )
                    start = stop
                    if rows.is_full:
                        counters.position(source.bytes_read, source.bytes_total)
                        yield windows.next(rows.taken())
                if reject is not None:
                    counters.add(read=1)
                    rejects.add(reject)
            proposal.seen_elsewhere(block.unseen_indexes)
        counters.position(source.bytes_read, source.bytes_total)
        if len(rows):
            yield windows.next(rows.taken())
    except RejectedError:
        windows.next(rows.taken())  # a repeated id further up is the first reject
        raise


def repeated(passage_id: str, point: int | str, source: str, before: Seen) -> str:
    """Why what has this id, in this source, can't be stored: the id occurred before, with other content."""
    spelled = "" if str(point) == passage_id else f" (point {point})"
    place = f"line {before.line}" if before.source == source else f"line {before.line} of {before.source}"
    return f"id {passage_id!r}{spelled} has already occurred in {place} with other content; ids must be unique"
