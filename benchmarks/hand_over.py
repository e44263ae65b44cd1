"""What a load costs each process beside its encoder: µs of CPU a passage, with one process that reads and with several.

    python -m benchmarks.hand_over                            # 240,000 passages, a few minutes
    python -m benchmarks.hand_over --passages 60000 --workers 1,2

The encoder gives vectors that are there already, and is said to be a GPU's, so that all CPU is the write path's; texts
are tokenized as usual. CPU depends less on what else the machine does than time. The first load is into a new
collection of a real server, the second finds nothing new. What the main process needs is shown by its threads, too:
the hand-over is what "read" and "a reading worker" take there.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.ingesting.corpus import write_source
from benchmarks.loading.points import made_up_payloads
from tasb_qdrant import ingest
from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.encoder.model.config import read_config
from tasb_qdrant.encoder.model.layout import read_layout
from tasb_qdrant.encoder.tokenize.files import load_tokenizer
from tasb_qdrant.encoder.tokenize.tokens import PassageTokenizer, Tokenization
from tests.ingest.fakes import stub_contract
from tests.models import minilm_folder
from tests.qdrant_servers import QdrantServer

VERSION: Final = "1.17.0"
DIM: Final = 768
_VECTORS: Final = 4_096
"""As many as a GPU is given at once."""


class Instant:
    """An encoder that takes no time."""

    device = "cuda:0"
    contract = stub_contract(DIM)
    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        config = read_config(read_layout(minilm_folder()).transformer)
        self._tokenize = Tokenization(load_tokenizer(minilm_folder(), config).backend, max_length=256)
        self._vectors = np.random.default_rng(0).standard_normal((_VECTORS, DIM)).astype(np.float32)

    @property
    def passage_tokenizer(self) -> PassageTokenizer:
        """For other processes."""
        return PassageTokenizer(self._tokenize, "")

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        """As MiniLM does."""
        return self._tokenize(texts)

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Float32 (len(tokens), DIM)."""
        return np.resize(self._vectors, (len(tokens), DIM)) if len(tokens) > _VECTORS else self._vectors[: len(tokens)]


@contextmanager
def _by_thread() -> Iterator[dict[str, float]]:
    """The CPU seconds of each thread that ends meanwhile, by its name without the number."""
    spent: dict[str, float] = defaultdict(float)
    run = threading.Thread.run

    def timed(thread: threading.Thread) -> None:
        began = time.thread_time()
        try:
            run(thread)
        finally:
            spent[thread.name.rstrip("0123456789 ").removeprefix("tasb-qdrant ")] += time.thread_time() - began

    threading.Thread.run = timed  # type: ignore[method-assign,assignment]  # for this measurement
    try:
        yield spent
    finally:
        threading.Thread.run = run  # type: ignore[method-assign]


def measure(source: Path, count: int, workers: int, server: QdrantServer) -> None:
    """Print a line for the load, and one for the same again."""
    encoder: Any = Instant()
    where: dict[str, Any] = {"url": server.url, "grpc_port": server.grpc_port}
    for what in ("load", "again"):
        with _by_thread() as threads:
            before, began, main = os.times(), time.monotonic(), time.thread_time()
            ingest(source, collection=f"by-{workers}", encoder=encoder, workers=workers, optimize=False, **where)
            after, took, main = os.times(), time.monotonic() - began, time.thread_time() - main
        own = sum(after[:2]) - sum(before[:2])
        others = sum(after[2:4]) - sum(before[2:4])
        shown = [("main", main), *sorted(threads.items(), key=lambda one: -one[1])[:6]]
        stages = ", ".join(f"{name} {seconds / count * 1e6:.1f}" for name, seconds in shown)
        print(
            f"workers {workers:2d} {what:5s} {count / took:9,.0f}/s | main process {own / count * 1e6:5.1f} µs, "
            f"readers {others / count * 1e6:5.1f} µs | {stages}",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=240_000)
    parser.add_argument("--workers", default="1,2,4", help="numbers of processes that read, in turn")
    parser.add_argument("--texts", type=Path, help="a file with a passage a line [default: made-up passages]")
    options = parser.parse_args()
    texts = (
        options.texts.read_text().splitlines()
        if options.texts
        else [str(each["text"]) for each in made_up_payloads(options.passages)]
    )
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        folder = Path(name)
        source = write_source(folder / "source", texts, options.passages)
        with QdrantServer.start(VERSION, folder) as server:
            for workers in map(int, options.workers.split(",")):
                measure(source, options.passages, workers, server)


if __name__ == "__main__":
    main()
