"""The forward pass of BERT and DistilBERT on a CPU: prepacked weights, and no padding anywhere.

The texts of a batch are concatenated, (tokens, dim), so that every linear layer multiplies real tokens only. Only
attention works text by text: texts of equal length share a call, without a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize, scaled_dot_product_attention

from tasb_qdrant.encoder.forward.encoder_weights import Affine, EncoderWeights, Layer, Norm
from tasb_qdrant.encoder.forward.packing import TILE, Packing, Run, pack
from tasb_qdrant.encoder.forward.thread_count import ThreadCount, openmp_setter
from tasb_qdrant.encoder.model.layout import Pooling

if TYPE_CHECKING:
    from torch import Tensor

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Linear(Protocol):
    """x Wᵀ + b for some weights, with a row of x per token."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """The product."""

    def plus(self, inputs: Tensor, other: Tensor) -> Tensor:
        """The product plus `other`."""


class Linears(Protocol):
    """Prepacks the weights that all tokens are multiplied by. It is asked for them in the order of use."""

    def linear(self, affine: Affine) -> Linear:
        """For one product."""

    def feed_forward(self, up: Affine, down: Affine) -> tuple[Linear, Linear]:
        """For two, with a GELU between them that is part of the first."""


class FastForward:
    """Token ids to vectors. Not safe to call from several threads at once."""

    def __init__(
        self,
        weights: EncoderWeights,
        *,
        pooling: Pooling,
        normalized: bool,
        precision: str,
        linears: Linears | None = None,
    ) -> None:
        dtype = DTYPES[precision]
        floats = FloatLinears(dtype)
        # Rounding to 8 bits makes a difference in the last bit of attention one in the third digit of the vector.
        self._tiled = linears is not None
        linears = linears or floats
        self._words = weights.words.to(dtype)
        self._positions = weights.positions.to(dtype)
        self._norm = _PackedNorm(weights.norm, dtype)
        self._normalized = normalized
        whole = weights.layers[:-1] if pooling == "cls" else weights.layers
        attention = _Attention(heads=weights.heads, longest=len(weights.positions), dtype=dtype)
        self._threads = ThreadCount(openmp_setter())
        look = self._threads.look
        self._layers = [_PackedLayer(layer, attention, linears, dtype, look) for layer in whole]
        last = weights.layers[-1] if pooling == "cls" else None
        self._last = None if last is None else _PackedClsLayer(last, attention, linears, floats, dtype, look)

    def __call__(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """float32 (n, dim), pooled, in the order of `texts`: the ids of one text each."""
        lengths = np.fromiter((len(ids) for ids in texts), dtype=np.int64, count=len(texts))
        order = np.argsort(-lengths, kind="stable")
        packing = pack([texts[index] for index in order.tolist()], tiled=self._tiled)
        with torch.inference_mode(), self._threads.suited(len(packing.ids)):
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


class FloatLinears:
    """Linears that compute in `dtype`."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def linear(self, affine: Affine) -> Linear:
        return _PackedLinear(affine, self._dtype)

    def feed_forward(self, up: Affine, down: Affine) -> tuple[Linear, Linear]:
        return _PackedLinear(up, self._dtype, gelu=True), _PackedLinear(down, self._dtype)


class _PackedLinear:
    """x Wᵀ + b, with W in the layout that oneDNN multiplies from. Packing it at each call, as
    torch.nn.functional.linear does, takes 10 times as long as multiplying a single query by it."""

    def __init__(self, affine: Affine, dtype: torch.dtype, *, gelu: bool = False) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(affine.weight.to(dtype).contiguous(), None)
        self._bias = affine.bias.to(dtype)
        # "none" means the exact GELU, by erf, which BERT was trained with, rather than an approximation.
        self._after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
        # Looked up once: a query's time is noticeably that of calls.
        self._product = torch.ops.mkldnn._linear_pointwise.default
        self._sum = torch.ops.mkldnn._linear_pointwise.binary

    def __call__(self, inputs: Tensor) -> Tensor:
        result: Tensor = self._product(inputs, self._weight, self._bias, *self._after)
        return result

    def plus(self, inputs: Tensor, other: Tensor) -> Tensor:
        """The same plus `other`, added before the result is rounded."""
        result: Tensor = self._sum(inputs, other, self._weight, self._bias, "add")
        return result


class _PackedNorm:
    def __init__(self, norm: Norm, dtype: torch.dtype) -> None:
        weight = norm.weight.to(dtype)
        self._settings = (tuple(weight.shape), weight, norm.bias.to(dtype), norm.eps)

    def __call__(self, inputs: Tensor) -> Tensor:
        return torch.layer_norm(inputs, *self._settings)


class _AfterAttention:
    """What a layer does to each token by itself, given the output of attention. It calls `look` between products."""

    def __init__(self, layer: Layer, linears: Linears, dtype: torch.dtype, look: Callable[[], None]) -> None:
        self._look = look
        self._out = linears.linear(layer.out)
        self._attention_norm = _PackedNorm(layer.attention_norm, dtype)
        self._up, self._down = linears.feed_forward(layer.up, layer.down)
        self._output_norm = _PackedNorm(layer.output_norm, dtype)

    def __call__(self, attended: Tensor, hidden: Tensor) -> Tensor:
        self._look()
        hidden = self._attention_norm(self._out.plus(attended, hidden))
        self._look()
        units = self._up(hidden)
        self._look()
        return self._output_norm(self._down.plus(units, hidden))


class _Attention:
    """Attention within each text; texts of equal length share a call.

    torch's kernel takes up to twice as long if the number of keys doesn't fill whole tiles, so it also gets the keys
    that follow a text in the batch, whichever text they belong to, with a mask.
    """

    def __init__(self, *, heads: int, longest: int, dtype: torch.dtype) -> None:
        self._heads = heads
        self._longest = longest
        self._edge = torch.zeros(longest + TILE, dtype=dtype)
        self._edge[longest:] = -torch.inf

    def of_all(self, rows: Tensor, packing: Packing) -> Tensor:
        """(tokens, dim) from `rows` of query, key and value side by side."""
        queries, keys, values = rows.chunk(3, dim=1)
        if packing.single:
            return self._of_one(queries, keys, values, packing.runs[0])
        attended = torch.empty(queries.shape, dtype=queries.dtype)
        for run in packing.runs:
            query, into = (self._split(part, run.tokens, run.count, run.length) for part in (queries, attended))
            into.copy_(self._attend(query, keys, values, run))
        attended[packing.runs[-1].tokens.stop :] = 0
        return attended

    def of_firsts(self, queries: Tensor, rows: Tensor, packing: Packing) -> Tensor:
        """(texts, dim) from one query per text, and a row of key and value side by side per token."""
        keys, values = rows.chunk(2, dim=1)
        if packing.single:
            return self._of_one(queries, keys, values, packing.runs[0])
        attended = torch.empty(queries.shape, dtype=queries.dtype)
        for run in packing.runs:
            query, into = (self._split(part, run.texts, run.count, 1) for part in (queries, attended))
            into.copy_(self._attend(query, keys, values, run))
        attended[len(packing.starts) :] = 0
        return attended

    def _of_one(self, queries: Tensor, keys: Tensor, values: Tensor, run: Run) -> Tensor:
        """(rows, dim) of a single text, whose filling may attend to it too: nothing is copied."""
        query = self._split(queries, slice(0, len(queries)), 1, len(queries))
        return self._attend(query, keys, values, run).transpose(1, 2).reshape(queries.shape)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, run: Run) -> Tensor:
        key, value = (self._split(part, run.tokens, run.count, run.length, run.reach) for part in (keys, values))
        return scaled_dot_product_attention(query, key, value, attn_mask=self._mask(run))

    def _split(self, rows: Tensor, where: slice, count: int, step: int, reach: int | None = None) -> Tensor:
        """(count, heads, reach, dim / heads), not copied: `reach` rows, or `step`, from every `step`th row on."""
        stride = rows.stride(0)
        size = rows.shape[1] // self._heads
        start = rows.storage_offset() + where.start * stride
        return rows.as_strided((count, self._heads, reach or step, size), (step * stride, size, stride, 1), start)

    def _mask(self, run: Run) -> Tensor | None:
        """What to add to a text's scores: 0 for its own keys, -inf for those after them."""
        if run.reach == run.length:
            return None
        start = self._longest - run.length
        return self._edge[start : start + run.reach].view(1, 1, 1, run.reach)


class _PackedLayer:
    def __init__(
        self, layer: Layer, attention: _Attention, linears: Linears, dtype: torch.dtype, look: Callable[[], None]
    ) -> None:
        self._qkv = linears.linear(layer.qkv)
        self._attention = attention
        self._after = _AfterAttention(layer, linears, dtype, look)
        self._look = look

    def __call__(self, hidden: Tensor, packing: Packing) -> Tensor:
        """(tokens, dim) to (tokens, dim)."""
        self._look()
        return self._after(self._attention.of_all(self._qkv(hidden), packing), hidden)


class _PackedClsLayer:
    """The last layer for the first token of each text, which needs only keys and values of the other tokens.

    Only those come from `linears`: for the few rows of the other products, `floats` are just as fast.
    """

    def __init__(
        self,
        layer: Layer,
        attention: _Attention,
        linears: Linears,
        floats: Linears,
        dtype: torch.dtype,
        look: Callable[[], None],
    ) -> None:
        dim = layer.qkv.weight.shape[1]
        weight, bias = layer.qkv.weight, layer.qkv.bias
        self._query = floats.linear(Affine(weight[:dim], bias[:dim]))
        self._key_value = linears.linear(Affine(weight[dim:], bias[dim:]))
        self._attention = attention
        self._after = _AfterAttention(layer, floats, dtype, look)

    def __call__(self, hidden: Tensor, packing: Packing) -> Tensor:
        """(tokens, dim) to (texts, dim)."""
        firsts = hidden.index_select(0, packing.firsts)
        attended = self._attention.of_firsts(self._query(firsts), self._key_value(hidden), packing)
        return self._after(attended, firsts)[: len(packing.starts)]


def _means(hidden: Tensor, packing: Packing) -> Tensor:
    """float32 (texts, dim), whatever the model's precision: sums lose too much in 8 bits of mantissa."""
    return torch.cat([hidden[run.tokens].view(run.count, run.length, -1).float().mean(dim=1) for run in packing.runs])
