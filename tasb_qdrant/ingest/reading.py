"""The first stage: passages from the source, checked, counted and cut into windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import orjson

from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.propose import IndexProposal
from tasb_qdrant.ingest.rejects import RejectLog
from tasb_qdrant.ingest.seen import Seen, SeenIds
from tasb_qdrant.ingest.typecheck import check_types
from tasb_qdrant.ingest.window import WINDOW_SIZE, Window
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.settings import IndexType, PayloadKeys


class PassageSource(Protocol):
    """Passages, with the place of the last one: a reader of files, or any iterable of passages."""

    @property
    def source(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def bytes_read(self) -> int: ...
    @property
    def bytes_total(self) -> int | None: ...

    def __iter__(self) -> Iterator[Passage]: ...


class PassagesInMemory:
    """An iterable of passages as a source: its `line` counts them."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._passages = passages
        self.source = "<passages>"
        self.line = 0
        self.bytes_read = 0
        self.bytes_total: int | None = None

    def __iter__(self) -> Iterator[Passage]:
        for passage in self._passages:
            self.line += 1
            yield passage


class _Draft:
    """A window in the making."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []
        self.places: list[tuple[str, int]] = []
        self.payloads: list[bytes] = []


def read_windows(
    source: PassageSource,
    *,
    keys: PayloadKeys,
    indexes: Mapping[str, IndexType],
    rejects: RejectLog,
    counters: Counters,
    proposal: IndexProposal,
) -> Iterator[Window]:
    """The passages that can be stored, in order, WINDOW_SIZE consecutive ones of the source at a time.

    A second passage with an id that was there before is skipped if it is the same to the letter, and
    rejected if it isn't.
    """
    seen = SeenIds()
    draft = _Draft()
    number = 0
    try:
        for passage in source:
            place = (source.source, source.line)
            try:
                payload = to_payload(passage, keys)
                check_types(payload, indexes)
            except InvalidPassageError as error:
                counters.add(read=1)
                rejects.add(Reject(source=place[0], line=place[1], reason=error.reason))
                continue
            proposal.look_at(passage.payload)
            draft.passages.append(passage)
            draft.places.append(place)
            draft.payloads.append(canonical(payload))
            if len(draft.passages) == WINDOW_SIZE:
                counters.position(source.bytes_read, source.bytes_total)
                yield _without_repeats(number, draft, seen, rejects, counters)
                draft, number = _Draft(), number + 1
        counters.position(source.bytes_read, source.bytes_total)
        if draft.passages:
            yield _without_repeats(number, draft, seen, rejects, counters)
    finally:
        seen.close()


def canonical(payload: Mapping[str, object]) -> bytes:
    """The payload as JSON whose bytes are equal just when the payloads are: 1, 1.0 and true differ."""
    return orjson.dumps(dict(payload), option=orjson.OPT_SORT_KEYS)


def _without_repeats(number: int, draft: _Draft, seen: SeenIds, rejects: RejectLog, counters: Counters) -> Window:
    counters.add(read=len(draft.passages))
    earlier = seen.add(
        [passage.point_id for passage in draft.passages], draft.payloads, [line for _, line in draft.places]
    )
    kept: list[int] = []
    repeats = 0
    for index, before in enumerate(earlier):
        if before is None:
            kept.append(index)
        elif before.same:
            repeats += 1
        else:
            source, line = draft.places[index]
            rejects.add(Reject(source=source, line=line, reason=_reason(draft.passages[index], before)))
    counters.add(skipped=repeats)
    return Window(
        number=number,
        passages=[draft.passages[index] for index in kept],
        contents=[draft.payloads[index] for index in kept],
    )


def _reason(passage: Passage, before: Seen) -> str:
    spelled = "" if str(passage.point_id) == passage.id else f" (point {passage.point_id})"
    return (
        f"id {passage.id!r}{spelled} was there already, in line {before.line}, with other content; ids must be unique"
    )
