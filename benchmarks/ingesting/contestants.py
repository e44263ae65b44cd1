"""The contestants, one line each. A new one takes a file in `peers/`, pinned requirements, and a line here.

The environments are those of the search benchmark: a peer that searches has what it takes to store.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.running.environments import python_in
from benchmarks.searching.contestants import REQUIREMENTS

SCRIPTS: Final = Path(__file__).parent / "peers"
OURS: Final = "ours"
TITLE: Final = "tasb-qdrant `ingest`"


@dataclass(frozen=True, slots=True)
class Peer:
    """`environment` names its requirements file. `batch` is what `make bench` found to be its best for encoding,
    `parallel` the processes that upload. It gets a `share` of our passages, as the slow ones would take hours."""

    name: str
    title: str
    script: str
    variant: str
    environment: str
    batch: int
    parallel: int
    share: float

    def python(self, build: Path, *, installed: bool) -> Path:
        """With `installed`, this Python, whatever it has; else one of its own, made when it is first needed.

        Raises ContestantFailedError if its packages can't be installed."""
        if installed:
            return Path(sys.executable)
        return python_in(REQUIREMENTS / f"{self.environment}.txt", build)


def _st(name: str, precision: str, variant: str, batch: int, parallel: int, share: float) -> Peer:
    title = f"sentence-transformers {precision} + qdrant-client `upload_collection`"
    return Peer(name, title, "by_sentence_transformers", variant, "sentence-transformers", batch, parallel, share)


def _langchain(batch: int, share: float) -> Peer:
    return Peer("langchain", "LangChain `from_texts`", "by_langchain_texts", "", "langchain", batch, 1, share)


def cpu_peers(*, bf16: bool) -> tuple[Peer, ...]:
    """`bf16` says whether this CPU multiplies in it."""
    fast = [_st("st-bf16", "bf16", "bfloat16", 8, 1, 0.125)] if bf16 else []
    return (_st("st-fp32", "fp32", "float32", 8, 1, 0.125), *fast, _langchain(8, 0.125))


def cuda_peers() -> tuple[Peer, ...]:
    return (
        _st("st-fp16", "fp16", "float16", 512, 4, 1 / 6),
        _st("st-flash", "fp16 with flash attention", "flash", 512, 4, 1 / 6),
        _langchain(512, 1 / 16),
    )
