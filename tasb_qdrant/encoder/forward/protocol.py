"""What an encoder expects of a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder.protocol import TokenBatch

Forward = Callable[[Sequence[NDArray[np.int32]]], NDArray[np.float32]]
"""Token ids of a few texts of similar length to their vectors, float32 (n, dim), in the same order."""


class Pending(Protocol):
    """Vectors that a device may still be computing."""

    def result(self) -> NDArray[np.float32]:
        """Wait for the vectors."""


@runtime_checkable
class PipelinedForward(Protocol):
    """A forward pass without padding, whose next batch can be submitted before the previous one is finished."""

    def submit(self, tokens: TokenBatch) -> Pending:
        """Start computing the texts' vectors, in their order, without waiting."""
