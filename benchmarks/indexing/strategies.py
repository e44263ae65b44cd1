"""The ways to load and index, one line each: the collection's settings during the load, and what follows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Strategy:
    """`threshold_kb` is the size from which a segment is indexed during the load (0: never), `m` the edges a point then
    gets; afterwards everything is indexed with QDRANT_M edges. `optimizers` are other settings from the beginning."""

    name: str
    title: str
    threshold_kb: int
    m: int
    optimizers: dict[str, Any] = field(default_factory=dict)


QDRANT_M: Final = 16
END: Final = "end"

EVERYONE: Final = (
    Strategy(END, "at the end, as `ingest` does unasked", 0, QDRANT_M),
    Strategy("along", "along with the load, segments from 10 MB on, Qdrant's default", 10_000, QDRANT_M),
    Strategy("along-large", "along with the load, segments from 64 MB on", 64_000, QDRANT_M),
    Strategy("m0", "`m: 0` during the load, then built", 10_000, 0),
)
