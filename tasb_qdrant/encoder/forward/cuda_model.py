"""A model's layers on a device: a packed batch to its vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import embedding_bag, normalize

from tasb_qdrant.encoder.forward.cuda_attention import Attention, Spans
from tasb_qdrant.encoder.forward.cuda_batch import Batch
from tasb_qdrant.encoder.forward.cuda_kernels import AddNorm, kernels_on
from tasb_qdrant.encoder.forward.cuda_product import Product, Products
from tasb_qdrant.encoder.forward.encoder_weights import Affine, EncoderWeights, Layer, Norm
from tasb_qdrant.encoder.model.layout import Pooling

if TYPE_CHECKING:
    from torch import Tensor


class CudaModel:
    """A batch on `device` to its vectors there: float32 (texts, dim), filling included.

    What couldn't be used of the device's best kernels is added to `notes`.
    """

    def __init__(
        self,
        weights: EncoderWeights,
        *,
        device: torch.device,
        dtype: torch.dtype,
        pooling: Pooling,
        normalized: bool,
        notes: list[str],
    ) -> None:
        def moved(values: Tensor) -> Tensor:
            return values.to(device, dtype).contiguous()

        self._words, self._positions = moved(weights.words), moved(weights.positions)
        self._norm = _norm_by(weights.norm, moved)
        self._normalized = normalized
        kernels = kernels_on(self._norm, heads=weights.heads, notes=notes)
        self._embed_norm = kernels.embed_norm
        products = Products(device=device, dtype=dtype, kernels=kernels)
        attention = _Attention(kernels.attend, weights.heads)
        make = products.plain

        def after(layer: Layer) -> _AfterAttention:
            norms = (_norm_by(norm, moved) for norm in (layer.attention_norm, layer.output_norm))
            up, down = products.with_gelu(layer.up), make(layer.down)
            return _AfterAttention(kernels.add_norm, make(layer.out), up, down, *norms)

        whole = weights.layers[:-1] if pooling == "cls" else weights.layers
        self._layers = [_WholeLayer(make(layer.qkv), attention, after(layer)) for layer in whole]
        self._last = None
        if pooling == "cls":
            last, dim = weights.layers[-1], weights.words.shape[1]
            query, key_value = (
                make(Affine(last.qkv.weight[rows], last.qkv.bias[rows])) for rows in (slice(dim), slice(dim, None))
            )
            self._last = _ClsLayer(query, key_value, attention, after(last))

    def __call__(self, batch: Batch) -> Tensor:
        hidden = self._embed_norm(batch, self._words, self._positions, self._norm)
        for layer in self._layers:
            hidden = layer(hidden, batch)
        pooled = _means(hidden, batch) if self._last is None else self._last(hidden, batch).float()
        return normalize(pooled, dim=1) if self._normalized else pooled


@dataclass(frozen=True, slots=True)
class _Attention:
    """Attention within each text."""

    attend: Attention
    heads: int

    def of_all(self, qkv: Tensor, batch: Batch) -> Tensor:
        """(tokens, dim) from query, key and value side by side."""
        queries, keys, values = qkv.view(len(qkv), 3, self.heads, -1).unbind(1)
        spans = Spans(batch.bounds, batch.bounds, batch.longest, batch.longest)
        return self.attend(queries, keys, values, spans).flatten(1)

    def of_firsts(self, queries: Tensor, key_value: Tensor, batch: Batch) -> Tensor:
        """(texts, dim) from one query per text, and key and value of each token side by side."""
        keys, values = key_value.view(len(key_value), 2, self.heads, -1).unbind(1)
        each = torch.arange(len(batch.bounds), dtype=torch.int32, device=queries.device)
        spans = Spans(each, batch.bounds, 1, batch.longest)
        return self.attend(queries.view(len(queries), self.heads, -1), keys, values, spans).flatten(1)


@dataclass(frozen=True, slots=True)
class _AfterAttention:
    """What a layer does to each token by itself, given the output of attention. GELU is part of `up`."""

    add_norm: AddNorm
    out: Product
    up: Product
    down: Product
    attention_norm: Norm
    output_norm: Norm

    def __call__(self, attended: Tensor, hidden: Tensor) -> Tensor:
        hidden = self.add_norm(self.out(attended), hidden, self.attention_norm)
        return self.add_norm(self.down(self.up(hidden)), hidden, self.output_norm)


@dataclass(frozen=True, slots=True)
class _WholeLayer:
    qkv: Product
    attention: _Attention
    after: _AfterAttention

    def __call__(self, hidden: Tensor, batch: Batch) -> Tensor:
        """(tokens, dim) to (tokens, dim)."""
        return self.after(self.attention.of_all(self.qkv(hidden), batch), hidden)


@dataclass(frozen=True, slots=True)
class _ClsLayer:
    """The last layer for the first token of each text, which needs only keys and values of the other tokens."""

    query: Product
    key_value: Product
    attention: _Attention
    after: _AfterAttention

    def __call__(self, hidden: Tensor, batch: Batch) -> Tensor:
        """(tokens, dim) to (texts, dim)."""
        firsts = hidden.index_select(0, batch.firsts)
        attended = self.attention.of_firsts(self.query(firsts), self.key_value(hidden), batch)
        return self.after(attended, firsts)


def _means(hidden: Tensor, batch: Batch) -> Tensor:
    """float32 (texts, dim). A single thread computes each sum, so the result is deterministic; index_add and
    segments of a cumulative sum are neither deterministic nor as precise."""
    tokens = torch.arange(len(hidden), dtype=torch.int32, device=hidden.device)
    return embedding_bag(tokens, hidden.float(), batch.bounds, mode="mean", include_last_offset=True)


def _norm_by(norm: Norm, moved: Callable[[Tensor], Tensor]) -> Norm:
    return Norm(moved(norm.weight), moved(norm.bias), norm.eps)
