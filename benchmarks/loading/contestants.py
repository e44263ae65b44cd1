"""The contestants, one line each. A new one takes a file in `peers/`, pinned requirements, and a line here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.running.environments import python_in

REQUIREMENTS: Final = Path(__file__).parent / "requirements"
SCRIPTS: Final = Path(__file__).parent / "peers"


@dataclass(frozen=True, slots=True)
class Contestant:
    """`environment` names its requirements file, "" for the project's own, which has qdrant-client 1.20 too.

    `batches` and `parallel` are the values to try; a slow contestant gets only a `share` of the points.
    """

    name: str
    title: str
    script: str
    variant: str = ""
    environment: str = ""
    batches: tuple[int, ...] = (0,)
    parallel: tuple[int, ...] = (1,)
    share: float = 1.0

    def python(self, build: Path) -> Path:
        """Raises ContestantFailedError if its packages can't be installed."""
        return python_in(REQUIREMENTS / f"{self.environment}.txt", build) if self.environment else Path(sys.executable)


OURS: Final = "ours"
INGEST: Final = "ours-ingest"
NUMPY: Final = "qdrant-numpy"
LISTS: Final = "qdrant-lists"
LANGCHAIN: Final = "langchain"

_BATCHES: Final = (64, 256, 1024)
_PARALLEL: Final = (1, 2, 4)

EVERYONE: Final = (
    Contestant(OURS, "tasb-qdrant, its uploader", "by_uploader"),
    Contestant(INGEST, "tasb-qdrant, all of `ingest` with ready vectors", "by_ingest"),
    Contestant(NUMPY, "qdrant-client `upload_collection`, numpy", "by_qdrant_client", "numpy", "", _BATCHES, _PARALLEL),
    Contestant(LISTS, "qdrant-client `upload_collection`, lists", "by_qdrant_client", "lists", "", _BATCHES, _PARALLEL),
    Contestant(LANGCHAIN, "langchain-qdrant `add_texts`", "by_langchain", "", "langchain-qdrant", _BATCHES, (1,), 0.2),
)
CEILING: Final = Contestant("ceiling", "the same bytes, made beforehand", "by_replay")
