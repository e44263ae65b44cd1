"""The forward pass of one short text as a CUDA graph, recorded once and replayed: one launch instead of sixty."""

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
"""Tokens of each recorded pass; a text is filled up to the next length with at least one token."""

_WARM_UPS: Final = 3
"""Warm-up passes before recording: the first ones choose algorithms and allocate workspaces, which must not happen
during recording."""


class QueryGraphs:
    """One text to its vector. Not safe to call from several threads at once.

    The constructor raises RuntimeError if the passes can't be recorded.
    """

    def __init__(self, encode: Callable[[Batch], Tensor], *, device: torch.device, longest: int) -> None:
        self._graphs = [_Graph(encode, length, device) for length in LENGTHS if length <= longest]

    def fit(self, tokens: TokenBatch) -> bool:
        return len(tokens) == 1 and bool(self._graphs) and tokens.tokens < self._graphs[-1].length

    def __call__(self, tokens: TokenBatch) -> Tensor:
        """float32 (1, dim) on the device, valid until the next call."""
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
            self._ended.synchronize()  # until then, the previous text may still have to be copied
        lay_out(tokens, self._shape, self._numbers)
        vector = self._replay()[:1]
        if self._ended is not None:
            self._ended.record()
        return vector


def _recorded(compute: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """A function that repeats what `compute` did, on the current contents of the same memory."""
    if device.type == "cpu":
        compute()  # so that errors show when this is constructed, as on a GPU
        return compute
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # has no annotations
    stream.wait_stream(torch.cuda.current_stream(device))
    # This context restores the current stream, which a failed recording leaves set to its own.
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            compute()
        graph = torch.cuda.CUDAGraph()
        # Other threads may allocate memory meanwhile, on which "global" would fail.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            outputs = compute()
    torch.cuda.current_stream(device).wait_stream(stream)

    def replay() -> Tensor:
        graph.replay()
        return outputs

    return replay
