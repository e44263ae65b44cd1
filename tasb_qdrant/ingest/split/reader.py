"""Between a source and its windows: documents come in, and the passages that they are split into come out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.content import canonical, plain
from tasb_qdrant.ingest.read.seen import SeenIds
from tasb_qdrant.ingest.read.windows import PassageReader, repeated
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.split.splitter import Splitter
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.sources import SourceFile

_TOGETHER: Final = 64
_TOGETHER_CHARS: Final = 2**20
"""Documents that are tokenised together end with the one that reaches this."""

Place = tuple[str, int]


@dataclass(slots=True)
class Splitting:
    """What splits the documents of a source; None leaves them whole. Set once the collection is known: a source is
    opened before."""

    splitter: Splitter | None = None


class SplitPassages:
    """A PassageReader of the parts of another one's documents; each has the source and line of its document.

    A second document of an id that occurred before, with other content, is rejected as a whole: one by one, some of
    its parts would be taken for parts of the first. Without a splitter, the passages are the other reader's own.
    """

    def __init__(self, documents: PassageReader, splitting: Splitting, *, log: RejectLog, counters: Counters) -> None:
        self._documents = documents
        self._splitting = splitting
        self._log = log
        self._counters = counters
        self._place: Place | None = None

    @property
    def itself(self) -> PassageReader:
        """The other reader, if nothing is split: asking it directly for each place saves a microsecond a passage."""
        return self if self._splitting.splitter is not None else self._documents

    @property
    def source(self) -> str:
        """Where the last passage came from."""
        return self._documents.source if self._place is None else self._place[0]

    @property
    def line(self) -> int:
        """Its line."""
        return self._documents.line if self._place is None else self._place[1]

    @property
    def bytes_read(self) -> int:
        """How far the source is read."""
        return self._documents.bytes_read

    @property
    def bytes_total(self) -> int | None:
        """How long it is, if known."""
        return self._documents.bytes_total

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """What it is read from."""
        return self._documents.files

    def __iter__(self) -> Iterator[Passage]:
        splitter = self._splitting.splitter
        return iter(self._documents) if splitter is None else self._split(splitter)

    def _split(self, splitter: Splitter) -> Iterator[Passage]:
        # One thread may read a stream's beginning, and another one the rest.
        with closing(SeenIds(any_thread=True)) as seen:
            for documents, places in self._together():
                unique = self._unique(documents, places, seen)
                fitting = splitter.fitting([documents[row] for row in unique])
                for row, fits in zip(unique, fitting, strict=True):
                    yield from self._parts(documents[row], places[row], splitter, fits=fits)

    def _parts(self, document: Passage, place: Place, splitter: Splitter, *, fits: bool) -> Iterator[Passage]:
        self._place = place
        try:
            parts = splitter.parts(document, fits=fits)
        except InvalidPassageError as error:
            self._reject(place, error.reason)
            return
        first = next(parts)
        self._counters.add(documents=1, titles_split=document.title != first.title)
        yield first
        yield from parts

    def _together(self) -> Iterator[tuple[list[Passage], list[Place]]]:
        """Some documents at a time, and their places. Those before a failure come before it."""
        documents: list[Passage] = []
        places: list[Place] = []
        chars = 0
        failure: Exception | None = None
        reading = iter(self._documents)
        while True:
            try:
                document = next(reading)
            except StopIteration:
                break
            except Exception as error:  # whatever it is, it is raised after what was read before it
                failure = error
                break
            documents.append(document)
            places.append((self._documents.source, self._documents.line))
            chars += len(document.text)
            if len(documents) == _TOGETHER or chars >= _TOGETHER_CHARS:
                yield documents, places
                documents, places, chars = [], [], 0
        if documents:
            yield documents, places
        if failure is not None:
            raise failure

    def _unique(self, documents: list[Passage], places: list[Place], seen: SeenIds) -> list[int]:
        """The rows of those whose id is new, or whose content is the same; the others are rejected."""
        ids = [one.point_id for one in documents]
        contents = [
            canonical({"title": one.title, "text": one.text, "payload": plain(one.payload)}) for one in documents
        ]
        unwanted = set(self._log.unwanted(places))
        kept: list[int] = []
        for row, before in enumerate(seen.add(ids, contents, places)):
            if before is None or before.same:
                kept += [] if row in unwanted else [row]
            elif row not in unwanted or not self._log.unwanted([(before.source, before.line)]):
                self._counters.add(read=1)
                source, line = places[row]
                self._log.add(
                    Reject(
                        source=source, line=line, reason=repeated(documents[row].id, documents[row].id, source, before)
                    )
                )
        return kept

    def _reject(self, place: Place, reason: str) -> None:
        self._counters.add(read=1)
        self._log.add(Reject(source=place[0], line=place[1], reason=reason))
