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
    """`environment` names its requirements file, "" for the project's own. `batches` says that it takes many
    queries in one call, `embedded` that it has no server, `plain` that a peer is used as its documentation begins."""

    name: str
    title: str
    script: str
    variant: str = ""
    environment: str = ""
    batches: bool = False
    embedded: bool = False
    plain: bool = True

    def python(self, build: Path) -> Path:
        """Raises ContestantFailedError if its packages can't be installed."""
        return python_in(REQUIREMENTS / f"{self.environment}.txt", build) if self.environment else Path(sys.executable)


OURS: Final = "ours"
EMBEDDED: Final = "ours-embedded"
LOCAL: Final = "local"
CEILING: Final = "ceiling"

_ST: Final = "sentence-transformers"

EVERYONE: Final = (
    Contestant(OURS, "tasb-qdrant `Searcher`", "by_tasb_qdrant", batches=True),
    Contestant("st", "sentence-transformers + qdrant-client `query_points`", "by_qdrant_client", "fp32", _ST, True),
    Contestant(
        "st-bf16",
        "sentence-transformers in bf16 + qdrant-client `query_points`",
        "by_qdrant_client",
        "bf16",
        _ST,
        True,
        plain=False,
    ),
    Contestant("langchain", "langchain-qdrant `similarity_search_with_score`", "by_langchain", "", "langchain"),
    Contestant("haystack", "haystack `QdrantEmbeddingRetriever`", "by_haystack", "", "haystack"),
    Contestant(CEILING, "requests made beforehand, the bare gRPC stub", "by_stub"),
    Contestant(EMBEDDED, "tasb-qdrant, embedded", "by_embedded", embedded=True),
    Contestant(LOCAL, "qdrant-client's local mode", "by_local_mode", "", _ST, embedded=True),
)
