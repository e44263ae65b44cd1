"""The forward pass of BERT and DistilBERT on an NVIDIA GPU: no padding, few kernels, and no waiting.

The texts of a batch are concatenated, (tokens, dim), and attention keeps them apart. Computing a batch doesn't wait
until the vectors of the previous one have been copied back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tasb_qdrant.encoder.forward.cuda_attention import why_no_attention
from tasb_qdrant.encoder.forward.cuda_batch import batch_in, shape_of, staged
from tasb_qdrant.encoder.forward.cuda_graphs import QueryGraphs
from tasb_qdrant.encoder.forward.cuda_model import CudaModel
from tasb_qdrant.encoder.forward.encoder_weights import EncoderWeights
from tasb_qdrant.encoder.forward.protocol import Forward
from tasb_qdrant.encoder.forward.self_check import disagreement, first_line, trial_texts
from tasb_qdrant.encoder.model.layout import Pooling
from tasb_qdrant.encoder.protocol import TokenBatch

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class UnfitForwardError(Exception):
    """The fast forward pass can't be used here; the message is a phrase that says why."""


def checked_cuda_forward(
    weights: EncoderWeights, reference: Forward, *, pooling: Pooling, normalized: bool, device: str, precision: str
) -> CudaForward:
    """A CudaForward that has been checked against `reference`, which has the same model and precision.

    Raises UnfitForwardError if there is none: whatever goes wrong, there is still `reference`."""
    vocabulary, dim = weights.words.shape
    # The attention used on a CPU accepts anything.
    if device != "cpu":
        obstacle = why_no_attention(device=device, precision=precision, head_dim=dim // weights.heads)
        if obstacle:
            raise UnfitForwardError(obstacle)
    try:
        fast = CudaForward(weights, pooling=pooling, normalized=normalized, device=device, precision=precision)
    except Exception as error:
        raise UnfitForwardError(f"the fast one can't be set up ({first_line(error)})") from error
    texts = trial_texts(vocabulary=vocabulary, longest=len(weights.positions))
    obstacle = disagreement(fast, reference, texts=texts)
    if obstacle:
        raise UnfitForwardError(obstacle)
    return fast


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """Vectors that the device may still be computing."""

    _vectors: Tensor
    _copied: torch.cuda.Event | None

    def result(self) -> NDArray[np.float32]:
        """Wait for the vectors: float32 (n, dim), in text order. Raises RuntimeError if the device failed."""
        if self._copied is not None:
            self._copied.synchronize()
        vectors: NDArray[np.float32] = self._vectors.numpy()
        return vectors


class CudaForward:
    """Token ids to vectors. Not safe to call from several threads at once.

    `precision` is fp16 or bf16 on a GPU. On the device "cpu" it computes the same in any precision, but slowly:
    FastForward is the fast one there.
    """

    def __init__(
        self, weights: EncoderWeights, *, pooling: Pooling, normalized: bool, device: str, precision: str
    ) -> None:
        started = time.perf_counter()
        self._device = torch.device(device)
        self._pinned = self._device.type == "cuda"
        notes: list[str] = []
        with torch.inference_mode(), self._as_current():
            self._model = CudaModel(
                weights,
                device=self._device,
                dtype=_DTYPES[precision],
                pooling=pooling,
                normalized=normalized,
                notes=notes,
            )
            try:
                longest = len(weights.positions)
                self._graphs: QueryGraphs | None = QueryGraphs(self._model, device=self._device, longest=longest)
            except RuntimeError as error:
                self._graphs = None
                notes.append(f"Single queries run without CUDA graphs ({first_line(error)}).")
        seconds = time.perf_counter() - started
        self.notes = (*notes, f"The forward pass took {seconds:.1f} s to get ready for {device}.")

    def __call__(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """float32 (n, dim), pooled, in the order of `texts`: the ids of one text each."""
        return self.submit(TokenBatch.of(texts)).result()

    def submit(self, tokens: TokenBatch) -> Pending:
        """Start computing the vectors of the texts in `tokens`. Raises torch.OutOfMemoryError."""
        with torch.inference_mode(), self._as_current():
            if self._graphs is not None and self._graphs.fit(tokens):
                vectors = self._graphs(tokens)
            else:
                shape = shape_of(tokens)
                flat = staged(tokens, shape, pinned=self._pinned).to(self._device, non_blocking=True)
                vectors = self._model(batch_in(flat, shape))
            if not self._pinned:
                return Pending(vectors, None)
            host = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=True)
            host.copy_(vectors, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # has no annotations
            copied.record()
            return Pending(host, copied)

    def _as_current(self) -> AbstractContextManager[object]:
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()
