"""The forward pass of one short text, recorded once and replayed: a query costs one launch, not sixty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tasb_qdrant.encoder.forward.cuda_batch import Batch, Shape, batch_in, staged

if TYPE_CHECKING:
    from torch import Tensor

LENGTHS: Final = (16, 32, 64)
"""Tokens of each recorded pass; a shorter text is filled up to the next, with one token at least."""

_WARM_UPS: Final = 3
"""Passes before the recording: the first ones choose algorithms and allocate workspaces, which a recording
must not do."""


class QueryGraphs:
    """One text to its vector. Not safe to call from several threads at once.

    Raises RuntimeError when it is made and the passes can't be recorded.
    """

    def __init__(self, encode: Callable[[Batch], Tensor], *, device: torch.device, longest: int) -> None:
        self._graphs = [_Graph(encode, length, device) for length in LENGTHS if length <= longest]

    def fit(self, texts: Sequence[NDArray[np.int32]]) -> bool:
        return len(texts) == 1 and bool(self._graphs) and len(texts[0]) < self._graphs[-1].length

    def __call__(self, ids: NDArray[np.int32]) -> Tensor:
        """float32 (1, dim) on the device, good until the next call."""
        return next(graph for graph in self._graphs if len(ids) < graph.length)(ids)


class _Graph:
    def __init__(self, encode: Callable[[Batch], Tensor], length: int, device: torch.device) -> None:
        self.length = length
        self._shape = Shape(texts=2, tokens=length, longest=length)
        self._pinned = device.type == "cuda"
        self._inputs = torch.empty(self._shape.size, dtype=torch.int32, device=device)
        self._write(np.zeros(length - 1, dtype=np.int32))
        batch = batch_in(self._inputs, self._shape)
        self._replay = _recorded(lambda: encode(batch), device)

    def __call__(self, ids: NDArray[np.int32]) -> Tensor:
        self._write(ids)
        return self._replay()[:1]

    def _write(self, ids: NDArray[np.int32]) -> None:
        self._inputs.copy_(staged([ids], self._shape, pinned=self._pinned), non_blocking=True)


def _recorded(compute: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """A function that does what `compute` did, on what is in the same memory by then."""
    if device.type == "cpu":
        compute()  # what can't be recorded shows when this is made, as on a GPU
        return compute
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # has no annotations
    stream.wait_stream(torch.cuda.current_stream(device))
    # This context outlives a failed recording, which leaves its own stream set as the current one.
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            compute()
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may allocate memory meanwhile; "global" would fail on that.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            outputs = compute()
    torch.cuda.current_stream(device).wait_stream(stream)

    def replay() -> Tensor:
        graph.replay()
        return outputs

    return replay
