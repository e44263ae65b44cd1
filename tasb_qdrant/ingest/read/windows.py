"""The first stage: passages from the source, checked, counted and cut into windows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Protocol

from tasb_qdrant.collection.index_types import TypeCheck
from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.errors import InvalidPassageError, RejectedError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.content import canonical
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.read.seen import Seen, SeenIds
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.window import WINDOW_BYTES, WINDOW_SIZE, Window
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
) -> Generator[Window, None, None]:
    """The passages that can be stored, in the order of the source, in windows of consecutive ones.

    A passage whose id has occurred before is skipped if it is the same to the letter, and rejected if it isn't.
    The ids are kept in `seen` if that is given, which its owner closes.
    """
    own = seen is None
    seen = SeenIds() if seen is None else seen
    check = TypeCheck(indexes)
    draft = _Draft()
    number = 0
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
                yield _without_repeats(number, draft, integer_ids, seen, rejects, counters)
                draft, number = _Draft(), number + 1
        counters.position(source.bytes_read, source.bytes_total)
        if draft.passages:
            yield _without_repeats(number, draft, integer_ids, seen, rejects, counters)
    except RejectedError:
        _without_repeats(
            number, draft, integer_ids, seen, rejects, counters
        )  # a repeated id further up is the first reject
        raise
    finally:
        if own:
            seen.close()


def _without_repeats(
    number: int, draft: _Draft, integer_ids: IntegerIds, seen: SeenIds, rejects: RejectLog, counters: Counters
) -> Window:
    ids = [point_id(passage.id, integer_ids) for passage in draft.passages]
    earlier = seen.add(ids, draft.payloads, draft.places)
    unwanted = set(rejects.unwanted(draft.places))
    kept: list[int] = []
    repeats = 0
    seen.disown([ids[row] for row in unwanted if earlier[row] is None])
    for index, before in enumerate(earlier):
        if index in unwanted and (before is None or before.same or rejects.unwanted([(before.source, before.line)])):
            continue
        if before is None:
            kept.append(index)
        elif before.same:
            repeats += 1
        else:
            counters.add(read=1)
            source, line = draft.places[index]
            reason = repeated(draft.passages[index].id, ids[index], source, before)
            rejects.add(Reject(source=source, line=line, reason=reason))
    counters.add(read=len(kept) + repeats, skipped=repeats)
    return Window(number, draft.passages, ids, draft.payloads).only(kept)


def repeated(passage_id: str, point: int | str, source: str, before: Seen) -> str:
    """Why what has this id, in this source, can't be stored: the id occurred before, with other content."""
    spelled = "" if str(point) == passage_id else f" (point {point})"
    place = f"line {before.line}" if before.source == source else f"line {before.line} of {before.source}"
    return f"id {passage_id!r}{spelled} has already occurred in {place} with other content; ids must be unique"
