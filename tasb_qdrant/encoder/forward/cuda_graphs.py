"""The forward pass of one short text, recorded once and replayed: a query costs one launch, not sixty."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from tasb_qdrant.encoder.forward.cuda_batch import Batch, Shape, batch_in, lay_out
from tasb_qdrant.encoder.protocol import TokenBatch

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

    def fit(self, tokens: TokenBatch) -> bool:
        return len(tokens) == 1 and bool(self._graphs) and tokens.tokens < self._graphs[-1].length

    def __call__(self, tokens: TokenBatch) -> Tensor:
        """float32 (1, dim) on the device, good until the next call."""
        return next(graph for graph in self._graphs if tokens.tokens < graph.length)(tokens)


class _Graph:
    def __init__(self, encode: Callable[[Batch], Tensor], length: int, device: torch.device) -> None:
        self.length = length
        self._shape = Shape(texts=2, tokens=length, longest=length)
        on_gpu = device.type == "cuda"
        self._host = torch.zeros(self._shape.size, dtype=torch.int32, pin_memory=on_gpu)
        self._numbers = self._host.numpy()
        self._ended = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]  # has no annotations
        inputs = self._host.to(device)
        batch = batch_in(inputs, self._shape)
        lay_out(
            TokenBatch(np.zeros(length - 1, dtype=np.int32), np.array([0, length - 1]), 0), self._shape, self._numbers
        )

        def compute() -> Tensor:
            inputs.copy_(self._host, non_blocking=True)
            return encode(batch)

        self._replay = _recorded(compute, device)

    def __call__(self, tokens: TokenBatch) -> Tensor:
        if self._ended is not None:
            self._ended.synchronize()  # until then, the last text may still be to be copied
        lay_out(tokens, self._shape, self._numbers)
        vector = self._replay()[:1]
        if self._ended is not None:
            self._ended.record()
        return vector


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
