"""Work for real worker processes that needs no torch, so that a process starts in a fraction of a second."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder.model.config import read_config
from tasb_qdrant.encoder.model.layout import read_layout
from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.encoder.tokenize.files import load_tokenizer
from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.encoder.workers.encoder import ParallelEncoder
from tasb_qdrant.encoder.workers.tasks import Chunk, Encoded, Opened
from tasb_qdrant.encoder.workers.tokenizing import SharedTokenization
from tasb_qdrant.errors import CorruptModelError
from tasb_qdrant.processes.serve import Task
from tasb_qdrant.records import ModelContract
from tests.models import minilm_folder

DIM = 16
NOTED, STUCK = 30_000, 30_001
"""Ids that a worker of BagTask makes a note of, and never comes back from."""

CONTRACT = ModelContract(
    model="folder",
    weights="0" * 64,
    pooling="cls",
    normalized=False,
    distance="Dot",
    dim=DIM,
    max_length=512,
    precision="fp32",
    query_prompt="",
    passage_prompt="",
    version="0",
)


def bags(tokens: TokenBatch) -> NDArray[np.float32]:
    """Vectors that cost nothing and tell texts apart."""
    vectors = np.zeros((len(tokens), DIM), dtype=np.float32)
    for row in range(len(tokens)):
        np.add.at(vectors[row], tokens[row] % DIM, np.arange(1, len(tokens[row]) + 1, dtype=np.float32))
    return vectors


@dataclass(frozen=True, slots=True)
class BagTask:
    """An EncodingTask's stand-in. `weights` goes into its contract."""

    worker: int
    weights: str = CONTRACT.weights

    def open(self) -> tuple[Opened, Callable[[Chunk], Encoded]]:
        def encode(chunk: Chunk) -> Encoded:
            if STUCK in chunk.tokens.ids:
                threading.Event().wait()
            notes = (f"Worker {self.worker} noted it.",) if NOTED in chunk.tokens.ids else ()
            return Encoded(bags(chunk.tokens), self.worker, notes)

        return Opened(replace(CONTRACT, weights=self.weights), ("Loaded.",)), encode


def minilm_tokenization() -> Tokenization:
    """Without nanotoken, which needs no processes."""
    config = read_config(read_layout(minilm_folder()).transformer)
    return Tokenization(load_tokenizer(minilm_folder(), config).backend, max_length=config.positions, use_nano=False)


def around(*tasks: Task, tokenization: Tokenization, smallest_chunk: int = 64) -> ParallelEncoder:
    """An encoder with a worker for each task, which tokenises in this process."""
    return ParallelEncoder(
        tasks=[("cpu", task) for task in tasks],
        tokenization=lambda: SharedTokenization(tokenization, processes=0),
        notes=("First.",),
        model="name",
        revision="1",
        smallest_chunk=smallest_chunk,
    )


@dataclass(frozen=True, slots=True)
class Refusing:
    """A task that can't be opened, for a reason that has a name."""

    def open(self) -> tuple[None, Callable[[object], object]]:
        raise CorruptModelError("the weights don't fit")


@dataclass(frozen=True, slots=True)
class Broken:
    """A task that can't be opened, for a reason that has none."""

    def open(self) -> tuple[None, Callable[[object], object]]:
        raise RuntimeError("CUDA error: out of luck")


@dataclass(frozen=True, slots=True)
class Obeying:
    """Answers work with what it is told to do, by name."""

    def open(self) -> tuple[str, Callable[[object], object]]:
        served: list[object] = []

        def obey(work: object) -> object:
            if work == "wait for the gate":
                GATE.wait()
            elif work == "raise":
                raise RuntimeError("device-side assert")
            elif work == "refuse":
                raise CorruptModelError("no such work")
            elif work == "exit":
                print("what libraries print doesn't disturb the pipe")
                print("a driver's last words\n", file=sys.stderr, flush=True)
                os._exit(3)
            elif isinstance(work, signal.Signals):
                os.kill(os.getpid(), work)
            served.append(work)
            return list(served)

        return "open", obey


GATE = threading.Event()


class Opener:
    """Opens the gate of the worker in which it arrives, before anything is done with it."""

    def __reduce__(self) -> tuple[Callable[[], str], tuple[()]]:
        return _open_gate, ()


def _open_gate() -> str:
    GATE.set()
    return "opener"
