"""The forward pass of BERT and DistilBERT on a CPU: weights laid out once, and no padding anywhere.

The tokens of a batch lie one text after the other, (tokens, dim), so every linear layer multiplies real
tokens alone. Only attention looks at texts: those of equal length are one call of it, without a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import layer_norm, normalize, scaled_dot_product_attention

from tasb_qdrant.encoder.fast_weights import Affine, EncoderWeights, Layer, Norm
from tasb_qdrant.encoder.layout import Pooling
from tasb_qdrant.encoder.packing import Packing, pack

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


class FastForward:
    """Token ids to vectors. Not safe to call from several threads at once."""

    def __init__(self, weights: EncoderWeights, *, pooling: Pooling, normalized: bool, precision: str) -> None:
        dtype = _DTYPES[precision]
        self._words = weights.words.to(dtype)
        self._positions = weights.positions.to(dtype)
        self._norm = _PackedNorm(weights.norm, dtype)
        self._normalized = normalized
        whole = weights.layers[:-1] if pooling == "cls" else weights.layers
        self._layers = [_PackedLayer(layer, heads=weights.heads, dtype=dtype) for layer in whole]
        last = weights.layers[-1] if pooling == "cls" else None
        self._last = None if last is None else _PackedClsLayer(last, heads=weights.heads, dtype=dtype)

    def __call__(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """float32 (n, dim), pooled, in the order of `texts`: the ids of one text each."""
        lengths = np.fromiter((len(ids) for ids in texts), dtype=np.int64, count=len(texts))
        order = np.argsort(-lengths, kind="stable")
        packing = pack([texts[index] for index in order.tolist()])
        with torch.inference_mode():
            words = self._words.index_select(0, packing.ids)
            hidden = self._norm(words.add_(self._positions.index_select(0, packing.positions)))
            for layer in self._layers:
                hidden = layer(hidden, packing)
            pooled = self._last(hidden, packing).float() if self._last else _means(hidden, packing)
            if self._normalized:
                pooled = normalize(pooled, dim=1)
            vectors = np.empty(pooled.shape, dtype=np.float32)
            vectors[order] = pooled.numpy()
        return vectors


class _PackedLinear:
    """x Wᵀ + b, with W in the layout that oneDNN multiplies from; laying it out at each call, as
    torch.nn.functional.linear does, takes 10 times as long as multiplying a single query by it."""

    def __init__(self, affine: Affine, dtype: torch.dtype, *, gelu: bool = False) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(affine.weight.to(dtype).contiguous(), None)
        self._bias = affine.bias.to(dtype)
        # "none" is the algorithm of erf, which BERT was trained with, not an approximation of it.
        self._after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")

    def __call__(self, inputs: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self._weight, self._bias, *self._after)
        return result

    def plus(self, inputs: Tensor, other: Tensor) -> Tensor:
        """The same, plus `other`, which is added before the result is rounded."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(inputs, other, self._weight, self._bias, "add")
        return result


class _PackedNorm:
    def __init__(self, norm: Norm, dtype: torch.dtype) -> None:
        self._weight, self._bias, self._eps = norm.weight.to(dtype), norm.bias.to(dtype), norm.eps

    def __call__(self, inputs: Tensor) -> Tensor:
        return layer_norm(inputs, self._weight.shape, self._weight, self._bias, self._eps)


class _AfterAttention:
    """What a layer does to each token by itself, given what the token attends to."""

    def __init__(self, layer: Layer, dtype: torch.dtype) -> None:
        self._out = _PackedLinear(layer.out, dtype)
        self._attention_norm = _PackedNorm(layer.attention_norm, dtype)
        self._up = _PackedLinear(layer.up, dtype, gelu=True)
        self._down = _PackedLinear(layer.down, dtype)
        self._output_norm = _PackedNorm(layer.output_norm, dtype)

    def __call__(self, attended: Tensor, hidden: Tensor) -> Tensor:
        hidden = self._attention_norm(self._out.plus(attended, hidden))
        return self._output_norm(self._down.plus(self._up(hidden), hidden))


class _PackedLayer:
    def __init__(self, layer: Layer, *, heads: int, dtype: torch.dtype) -> None:
        self._heads = heads
        self._qkv = _PackedLinear(layer.qkv, dtype)
        self._after = _AfterAttention(layer, dtype)

    def __call__(self, hidden: Tensor, packing: Packing) -> Tensor:
        """(tokens, dim) to (tokens, dim)."""
        qkv = self._qkv(hidden)
        attended = torch.zeros_like(hidden)
        for run in packing.runs:
            split = qkv[run.tokens].view(run.count, run.length, 3, self._heads, -1)
            query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
            into = attended[run.tokens].view(run.count, run.length, self._heads, -1)
            into.copy_(scaled_dot_product_attention(query, key, value).transpose(1, 2))
        return self._after(attended, hidden)


class _PackedClsLayer:
    """The last layer for the first token of each text: keys and values are all that it needs of the rest."""

    def __init__(self, layer: Layer, *, heads: int, dtype: torch.dtype) -> None:
        self._heads = heads
        dim = layer.qkv.weight.shape[1]
        weight, bias = layer.qkv.weight, layer.qkv.bias
        self._query = _PackedLinear(Affine(weight[:dim], bias[:dim]), dtype)
        self._key_value = _PackedLinear(Affine(weight[dim:], bias[dim:]), dtype)
        self._after = _AfterAttention(layer, dtype)

    def __call__(self, hidden: Tensor, packing: Packing) -> Tensor:
        """(tokens, dim) to (texts, dim)."""
        firsts = hidden.index_select(0, packing.firsts)
        queries = self._query(firsts)
        keys_values = self._key_value(hidden)
        attended = torch.zeros_like(firsts)
        for run in packing.runs:
            query = queries[run.texts].view(run.count, self._heads, 1, -1)
            split = keys_values[run.tokens].view(run.count, run.length, 2, self._heads, -1)
            key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
            into = attended[run.texts].view(run.count, self._heads, 1, -1)
            into.copy_(scaled_dot_product_attention(query, key, value))
        return self._after(attended, firsts)[: len(packing.starts)]


def _means(hidden: Tensor, packing: Packing) -> Tensor:
    """float32 (texts, dim), whatever the model's precision: sums lose too much in 8 bits of mantissa."""
    return torch.cat([hidden[run.tokens].view(run.count, run.length, -1).float().mean(dim=1) for run in packing.runs])
