"""The work of the worker processes of an encoder over several devices."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasb_qdrant.encoder.model.wishes import Wishes
from tasb_qdrant.encoder.protocol import Encoder, TokenBatch
from tasb_qdrant.errors import EncodingError
from tasb_qdrant.records import ModelContract

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker reports about the encoder that it has loaded."""

    contract: ModelContract
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some of the texts of a call; `rows`, int64, says which."""

    tokens: TokenBatch
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The vectors of a chunk, float32 (texts, dim), and the notes that worker number `worker` added since its start."""

    vectors: NDArray[np.float32]
    worker: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EncodingTask:
    """Load an encoder on one device. `threads` is the number of torch threads, 0 for torch's default; `name` the
    model's, where `folder` is only where it was found."""

    worker: int
    folder: Path
    device: str
    precision: str
    forward: str
    batch_tokens: int | None
    allow_pickle: bool
    threads: int
    wishes: Wishes | None = None
    name: str = ""

    def open(self) -> tuple[Opened, Callable[[Chunk], Encoded]]:
        import torch

        from tasb_qdrant.encoder.model.files import find_model
        from tasb_qdrant.encoder.single import load_single

        if self.threads:
            torch.set_num_threads(self.threads)
        if self.device.startswith("cuda"):
            torch.cuda.set_device(self.device)  # otherwise some of torch's queries would be about cuda:0
        encoder = load_single(
            find_model(self.folder, allow_pickle=self.allow_pickle, wishes=self.wishes, name=self.name),
            device=self.device,
            precision=self.precision,
            forward=self.forward,
            batch_tokens=self.batch_tokens,
        )
        opened = Opened(encoder.contract, encoder.notes)

        def encode(chunk: Chunk) -> Encoded:
            vectors = _encoded(encoder, chunk)
            return Encoded(vectors, self.worker, tuple(note for note in encoder.notes if note not in opened.notes))

        return opened, encode


def _encoded(encoder: Encoder, chunk: Chunk) -> NDArray[np.float32]:
    """The vectors of a chunk. Raises EncodingError with the text's position in the whole call."""
    try:
        return encoder.encode_tokens(chunk.tokens)
    except EncodingError as error:
        if error.index is None:
            raise
        row = int(chunk.rows[error.index])
        raise EncodingError(re.sub(rf"\btext {error.index}\b", f"text {row}", error.reason), index=row) from None
