"""A sample of what a load has stored, by which it is seen later whether that is still there as it was.

A restored snapshot or backup takes back what was stored last, and so the sample always holds that; the rest of it is
drawn from all that the load has stored or given another payload.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest.read.content import canonical

LAST: Final = 512
"""Of what was stored last."""

DRAWN: Final = 512
"""Of all the rest, at random."""

_FLOAT: Final = re.compile(rb"\d[.eE][-+\d]")
"""Where there may be a float: few texts have such a place, and each of their payloads takes 30 µs more."""

_OF_A_WINDOW: Final = 8
_LONGEST: Final = 16 * 1024
"""Bytes of a payload: longer ones aren't kept for this."""


class StoredRow(BaseModel):
    """A point of a checkpoint's sample, and a digest of its payload."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int | str
    digest: str


class StoredSample:
    """Takes what was stored, window by window. `drawn` and `seen` are those of an earlier run that is gone on with."""

    def __init__(self, drawn: Sequence[StoredRow] = (), *, seen: int = 0) -> None:
        self._drawn: list[StoredRow] = list(drawn)[:DRAWN]
        self.seen = max(seen, len(self._drawn))
        self._last: deque[tuple[PointId, bytes]] = deque(maxlen=LAST)
        self._random = random.Random()  # noqa: S311  # a sample, not a secret

    def add(self, ids: Sequence[PointId], contents: Sequence[bytes]) -> None:
        """These were stored: their payloads as canonical JSON."""
        rows = [row for row, content in enumerate(contents) if len(content) <= _LONGEST]
        self._last.extend((ids[row], contents[row]) for row in rows[-LAST:])
        for row in self._random.sample(rows, min(_OF_A_WINDOW, len(rows))):
            self.seen += 1
            if len(self._drawn) < DRAWN:
                self._drawn.append(_row(ids[row], contents[row]))
            elif (place := self._random.randrange(self.seen)) < DRAWN:
                self._drawn[place] = _row(ids[row], contents[row])

    def rows(self) -> tuple[StoredRow, ...]:
        """All of it, each point once: those drawn first."""
        found = {row.id: row for row in self._drawn}
        for point_id, content in self._last:
            found[point_id] = _row(point_id, content)
        return tuple(found.values())


def altered(rows: Sequence[StoredRow], collection: Collection) -> int:
    """How many of these points aren't stored any more as they were."""
    stored = {row.id: row.digest for row in rows}
    if not stored:
        return 0
    reads = collection.reads
    found = reads.run(reads.steps.retrieve(list(stored)))
    return len(stored) - sum(digest(canonical(point.payload or {})) == stored[point.id] for point in found)


def digest(content: bytes) -> str:
    """Of a payload as canonical JSON, to the precision with which stores keep floats."""
    if _FLOAT.search(content):
        content = canonical({"": _rounded(orjson.loads(content))})
    return blake2b(content, digest_size=8).hexdigest()


def _row(point_id: PointId, content: bytes) -> StoredRow:
    return StoredRow.model_construct(id=point_id, digest=digest(content))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
