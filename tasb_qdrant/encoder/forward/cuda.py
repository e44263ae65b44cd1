"""The forward pass of BERT and DistilBERT on an NVIDIA GPU: no padding, few kernels, and no waiting.

The tokens of a batch lie one text after the other, (tokens, dim), and flash attention keeps the texts
apart. What is computed for one batch doesn't wait for the vectors of the last one to be copied back.
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
from torch.nn.functional import embedding_bag, gelu, layer_norm, linear, normalize

from tasb_qdrant.encoder.batching import Forward
from tasb_qdrant.encoder.forward.cuda_attention import Spans, attention_on, why_no_attention
from tasb_qdrant.encoder.forward.cuda_batch import Batch, batch_in, shape_of, staged
from tasb_qdrant.encoder.forward.cuda_graphs import QueryGraphs
from tasb_qdrant.encoder.forward.cuda_norm import add_norm_on
from tasb_qdrant.encoder.forward.encoder_weights import Affine, EncoderWeights, Layer, Norm
from tasb_qdrant.encoder.forward.self_check import disagreement, first_line, trial_texts
from tasb_qdrant.encoder.model.layout import Pooling

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class UnfitForwardError(Exception):
    """The fast forward pass can't be used here; the message is a phrase that says why."""


def checked_cuda_forward(
    weights: EncoderWeights, reference: Forward, *, pooling: Pooling, normalized: bool, device: str, precision: str
) -> CudaForward:
    """A CudaForward that has been found to give the vectors of `reference`, which is of the same model and
    precision. Raises UnfitForwardError where there is none: whatever goes wrong, `reference` is at hand."""
    vocabulary, dim = weights.words.shape
    # On a CPU, attention is another one, which takes anything.
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
        """float32 (n, dim), in the order of the texts; waits for them. Raises RuntimeError if the device
        failed."""
        if self._copied is not None:
            self._copied.synchronize()
        vectors: NDArray[np.float32] = self._vectors.numpy()
        return vectors


class CudaForward:
    """Token ids to vectors. Not safe to call from several threads at once.

    `precision` is fp16 or bf16 on a GPU. On the device "cpu" it computes the same in any precision, slowly:
    there, FastForward is the fast one.
    """

    def __init__(
        self, weights: EncoderWeights, *, pooling: Pooling, normalized: bool, device: str, precision: str
    ) -> None:
        started = time.perf_counter()
        self._device = torch.device(device)
        self._pinned = self._device.type == "cuda"
        notes: list[str] = []
        with torch.inference_mode(), self._as_current():
            here = _moved(weights, self._device, _DTYPES[precision])
            self._model = _Model(here, pooling=pooling, normalized=normalized, notes=notes)
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
        return self.submit(texts).result()

    def submit(self, texts: Sequence[NDArray[np.int32]]) -> Pending:
        """The same vectors, not waited for. Raises torch.OutOfMemoryError."""
        with torch.inference_mode(), self._as_current():
            if self._graphs is not None and self._graphs.fit(texts):
                vectors = self._graphs(texts[0])
            else:
                shape = shape_of(texts)
                flat = staged(texts, shape, pinned=self._pinned).to(self._device, non_blocking=True)
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


class _Model:
    """A batch on a device to its vectors there: float32 (texts, dim), filling included."""

    def __init__(self, weights: EncoderWeights, *, pooling: Pooling, normalized: bool, notes: list[str]) -> None:
        self._weights = weights
        self._normalized = normalized
        self._whole = weights.layers[:-1] if pooling == "cls" else weights.layers
        self._last = weights.layers[-1] if pooling == "cls" else None
        self._attend = attention_on(weights.words.device)
        self._add_norm, note = add_norm_on(weights.norm)
        if note:
            notes.append(note)

    def __call__(self, batch: Batch) -> Tensor:
        weights = self._weights
        words = weights.words.index_select(0, batch.ids)
        hidden = words.add_(weights.positions.index_select(0, batch.positions))
        hidden = layer_norm(hidden, weights.norm.weight.shape, weights.norm.weight, weights.norm.bias, weights.norm.eps)
        for layer in self._whole:
            hidden = self._layer(layer, hidden, batch)
        pooled = _means(hidden, batch) if self._last is None else self._firsts(self._last, hidden, batch).float()
        return normalize(pooled, dim=1) if self._normalized else pooled

    def _layer(self, layer: Layer, hidden: Tensor, batch: Batch) -> Tensor:
        """(tokens, dim) to (tokens, dim)."""
        qkv = linear(hidden, layer.qkv.weight, layer.qkv.bias)
        queries, keys, values = qkv.view(len(hidden), 3, self._weights.heads, -1).unbind(1)
        spans = Spans(batch.bounds, batch.bounds, batch.longest, batch.longest)
        return self._after(layer, self._attend(queries, keys, values, spans), hidden)

    def _firsts(self, layer: Layer, hidden: Tensor, batch: Batch) -> Tensor:
        """(tokens, dim) to (texts, dim): the last layer for the first token of each text, which needs
        nothing but keys and values of the rest."""
        heads, dim = self._weights.heads, hidden.shape[1]
        weight, bias = layer.qkv.weight, layer.qkv.bias
        firsts = hidden.index_select(0, batch.firsts)
        queries = linear(firsts, weight[:dim], bias[:dim]).view(len(firsts), heads, -1)
        keys, values = linear(hidden, weight[dim:], bias[dim:]).view(len(hidden), 2, heads, -1).unbind(1)
        each = torch.arange(len(batch.bounds), dtype=torch.int32, device=hidden.device)
        spans = Spans(each, batch.bounds, 1, batch.longest)
        return self._after(layer, self._attend(queries, keys, values, spans), firsts)

    def _after(self, layer: Layer, attended: Tensor, hidden: Tensor) -> Tensor:
        """What a layer does to each token by itself, given what the token attends to."""
        out = linear(attended.flatten(1), layer.out.weight, layer.out.bias)
        hidden = self._add_norm(out, hidden, layer.attention_norm)
        # gelu is the one with erf, which BERT was trained with, unless an approximation is asked for.
        up = gelu(linear(hidden, layer.up.weight, layer.up.bias))
        return self._add_norm(linear(up, layer.down.weight, layer.down.bias), hidden, layer.output_norm)


def _means(hidden: Tensor, batch: Batch) -> Tensor:
    """float32 (texts, dim). Each sum is one thread's, so the result is the same every time; index_add and
    segments of a cumulative sum give neither that nor these digits."""
    tokens = torch.arange(len(hidden), dtype=torch.int32, device=hidden.device)
    return embedding_bag(tokens, hidden.float(), batch.bounds, mode="mean", include_last_offset=True)


def _moved(weights: EncoderWeights, device: torch.device, dtype: torch.dtype) -> EncoderWeights:
    def tensor(values: Tensor) -> Tensor:
        return values.to(device, dtype).contiguous()

    def affine(of: Affine) -> Affine:
        return Affine(tensor(of.weight), tensor(of.bias))

    def norm(of: Norm) -> Norm:
        return Norm(tensor(of.weight), tensor(of.bias), of.eps)

    layers = tuple(
        Layer(
            qkv=affine(layer.qkv),
            out=affine(layer.out),
            attention_norm=norm(layer.attention_norm),
            up=affine(layer.up),
            down=affine(layer.down),
            output_norm=norm(layer.output_norm),
        )
        for layer in weights.layers
    )
    return EncoderWeights(tensor(weights.words), tensor(weights.positions), norm(weights.norm), layers, weights.heads)
