"""What an ingest would read: its files, the fields taken, and the first passages. Needs no store and no model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Unpack

from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.rejects.counted import CountedRejects
from tasb_qdrant.ingest.source.open import Source, SourceLike, SourceOptions
from tasb_qdrant.ingest.source.recognised import Recognition
from tasb_qdrant.keywords import chosen, expanded_signature
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources import SourceReader

SHOWN: Final = 3
MOST: Final = 10_000
SECONDS: Final = 2.0
"""So many passages are read, for so long at most, to estimate how many there are."""


@dataclass(frozen=True, slots=True)
class PreviewedFile:
    """One input: its name, its format, its size in bytes (None for a stream), and which fields were taken for what."""

    name: str
    format: str
    size: int | None
    id: str | None = None
    text: str | None = None
    title: str | None = None
    payload: tuple[str, ...] = ()
    types: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What an ingest would read.

    `first` are the first passages; `read` and `rejected` count those that were looked at. `estimate` is how many
    there are in all, exactly if all were read (`complete`), and None where nothing tells. `proposed_indexes` would suit
    the fields, `notes` say how they were recognised.
    """

    files: tuple[PreviewedFile, ...]
    first: tuple[Passage, ...]
    read: int
    rejected: int
    first_reject: str | None
    complete: bool
    estimate: int | None
    proposed_indexes: Mapping[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return asdict(self)


@expanded_signature(Source)
def preview(
    source: SourceLike,
    *,
    limit: int = SHOWN,
    indexes: Mapping[str, IndexType] | None = None,
    **options: Unpack[SourceOptions],
) -> Preview:
    """The files of `source`, the fields taken, and its first `limit` passages; nothing is stored.

    `indexes` are those that the ingest would be given, whose types the columns of CSV take. Of a stream, what is read
    here is gone. Raises what `ingest` raises of a source; an input that can't be stored is counted.
    """
    rejects = CountedRejects()
    recognition = Recognition(lambda _: None)
    given = Source(source, **chosen(SourceOptions, options), indexes=indexes or {}, opened=recognition)
    proposal = IndexProposal()
    first: list[Passage] = []
    read = 0
    complete = True
    until = time.monotonic() + SECONDS
    with given.open(rejects, Counters()) as passages:
        for passage in passages:
            read += 1
            proposal.look_at(passage.payload)
            if len(first) < limit:
                first.append(passage)
            elif read >= MOST or time.monotonic() > until:
                complete = False
                break
        estimate = read if complete else _scaled(read, passages.bytes_read, passages.bytes_total)
    why = rejects.first
    return Preview(
        files=_files(recognition.reader),
        first=tuple(first),
        read=read,
        rejected=rejects.count,
        first_reject=None if why is None else f"{why.source}:{why.line}: {why.reason}",
        complete=complete,
        estimate=estimate,
        proposed_indexes=proposal.indexes(),
        notes=recognition.notes,
    )


def _scaled(read: int, bytes_read: int, bytes_total: int | None) -> int | None:
    """By the share of the bytes that were read, to two digits: more would promise too much."""
    if not bytes_total or not bytes_read:
        return None
    estimate = round(read * bytes_total / bytes_read)
    return max(read, round(estimate, 2 - len(str(estimate))))


def _files(reader: SourceReader | None) -> tuple[PreviewedFile, ...]:
    if reader is None:
        return ()
    taken = {one.source: one for one in reader.fields_taken}
    found: list[PreviewedFile] = []
    for name, kind, size in reader.inputs:
        if (one := taken.get(name)) is None:
            found.append(PreviewedFile(name, kind, size))
        else:
            found.append(
                PreviewedFile(name, one.format, size, one.id, one.text, one.title, one.payload, one.types or None)
            )
    return tuple(found)
