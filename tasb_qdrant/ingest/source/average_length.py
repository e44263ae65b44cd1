"""How long a source's passages are on average, in words: BM25 needs to know before the first one is stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.encoder.bm25 import Bm25Encoder
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.rejects.counted import CountedRejects
from tasb_qdrant.ingest.source.ahead import Ahead
from tasb_qdrant.ingest.source.open import Source
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import DEFAULT_AVG_LEN, Bm25Settings

MOST: Final = 1_000_000
"""The most passages that are read, of a source that can be read again. An average that is off by a tenth changes
hardly any ranking: reading on for minutes would gain nothing."""

EACH: Final = 20_000
EVERY: Final = 20
"""The words of the first EACH passages are counted, and then those of one passage in EVERY."""

SECONDS: Final = 30.0
"""The longest that this may take if passages are long or slow to read."""

AHEAD: Final = 10_000
AHEAD_BYTES: Final = 32 * 2**20
AHEAD_SECONDS: Final = 10.0
"""How far a stream is read ahead of the run; what was read is kept for it."""


@dataclass(frozen=True, slots=True)
class Average:
    """The average length in words of so many `passages`. `source` has all that the reader had before."""

    words: float
    passages: int
    source: PassageReader

    @property
    def note(self) -> str:
        """For people."""
        if not self.passages:
            return f"BM25: there are no passages to measure, so avg_len is {self.words:g}."
        return f"BM25: avg_len is {self.words:g} words, the average of {self.passages:,} passages."


def average_length(
    source: PassageReader,
    again: Source,
    bm25: Bm25Settings,
    counters: Counters,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Average:
    """Measured on the source, read `again` if it can be, else on its beginning. Nothing is rejected here: the run
    itself will report what can't be stored. Raises SourceError."""
    counters.phase("measuring the passages' length")
    length = _Length(Bm25Encoder(bm25))
    started = clock()
    if again.is_repeatable:
        with again.open(CountedRejects(), Counters()) as passages:
            for passage in passages:
                length.look_at(passage)
                counters.tell()
                if length.seen == MOST or clock() - started >= SECONDS:
                    break
        return Average(length.average, length.seen, source)
    ahead = Ahead(source)
    for passage in ahead.read():
        length.look_at(passage)
        counters.tell()
        if length.seen == AHEAD or ahead.size >= AHEAD_BYTES or clock() - started >= AHEAD_SECONDS:
            break
    return Average(length.average, length.seen, ahead)


class _Length:
    """The average over all passages seen; those whose words weren't counted are taken to be like the others."""

    def __init__(self, encoder: Bm25Encoder) -> None:
        self._encoder = encoder
        self._words = self._weight = 0
        self.seen = 0

    def look_at(self, passage: Passage) -> None:
        weight = 1 if self.seen < EACH else EVERY
        if self.seen % weight == 0:
            self._words += weight * self._encoder.words(passage.encoder_text)
            self._weight += weight
        self.seen += 1

    @property
    def average(self) -> float:
        """To a tenth of a word; Qdrant's default if there are no words."""
        return round(self._words / self._weight, 1) or DEFAULT_AVG_LEN if self._weight else DEFAULT_AVG_LEN
