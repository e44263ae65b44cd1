"""The steps of a forward pass other than plain products: torch's kernels, or Triton's if they give the same results.

Each Triton kernel is first tried on a few numbers and compared with torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import torch
from torch.nn.functional import gelu, layer_norm, linear

from tasb_qdrant.encoder.forward.cuda_attention import Attention, Spans, attention_on
from tasb_qdrant.encoder.forward.cuda_batch import Batch
from tasb_qdrant.encoder.forward.encoder_weights import Norm
from tasb_qdrant.encoder.forward.self_check import first_line

if TYPE_CHECKING:
    from torch import Tensor

_TOLERANCE: Final = 0.05
"""Relative to the largest number: in bf16, where torch rounds what Triton's kernels don't, they differ by 0.02."""

_HEADS: Final = (16, 32, 64, 128)
_TMA: Final = (9, 0)
"""The first compute capability with a Tensor Memory Accelerator, which reads memory in tiles."""

_STEP: Final = 8
"""Rows read that way must begin at multiples of 16 bytes: 8 numbers of 2."""

AddNorm = Callable[["Tensor", "Tensor", Norm], "Tensor"]
"""Two tensors (rows, dim) to the LayerNorm of their sum, (rows, dim)."""

EmbedNorm = Callable[[Batch, "Tensor", "Tensor", Norm], "Tensor"]
"""A batch, the word and position embeddings, to the LayerNorm of each token's sum, (tokens, dim)."""

ProductGelu = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
"""Rows x, W, b to GELU of x Wᵀ + b."""

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels that a forward pass calls. `product_gelu` is for many rows."""

    add_norm: AddNorm
    embed_norm: EmbedNorm
    attend: Attention
    product_gelu: ProductGelu


def add_norm(inputs: Tensor, others: Tensor, norm: Norm) -> Tensor:
    """torch's own: it writes the sum to memory and reads it back, which is most of its time on a GPU."""
    return layer_norm(inputs + others, norm.weight.shape, norm.weight, norm.bias, norm.eps)


def embed_norm(batch: Batch, words: Tensor, positions: Tensor, norm: Norm) -> Tensor:
    hidden = words.index_select(0, batch.ids).add_(positions.index_select(0, batch.positions()))
    return layer_norm(hidden, norm.weight.shape, norm.weight, norm.bias, norm.eps)


def product_gelu(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    # By default gelu is exact, by erf, which BERT was trained with.
    return gelu(linear(inputs, weight, bias))


def kernels_on(norm: Norm, *, heads: int, notes: list[str]) -> Kernels:
    """The fastest kernels for tensors like those of `norm`. What Triton can't do here is added to `notes`."""
    like = norm.weight
    plain = Kernels(add_norm, embed_norm, attention_on(like.device), product_gelu)
    if like.device.type == "cpu":
        return plain
    try:
        from tasb_qdrant.encoder.forward import triton_attention, triton_product, triton_rows
    except Exception as error:  # no Triton, or an incompatible one: its errors vary by version
        notes.append(f"Only torch's kernels are used, not Triton's ({first_line(error)}).")
        return plain
    attend, fused = plain.attend, plain.product_gelu
    if len(like) // heads in _HEADS:
        attend = _tried("attention", triton_attention.triton_attention, attend, _on_texts(like, heads), notes)
    if torch.cuda.get_device_capability(like.device) >= _TMA and len(like) % _STEP == 0:
        fused = _tried("a product with GELU", triton_product.triton_product_gelu, fused, _on_rows(like), notes)
    return Kernels(
        _tried("addition with LayerNorm", triton_rows.triton_add_norm, add_norm, _on_sums(norm), notes),
        _tried("embedding with LayerNorm", triton_rows.triton_embed_norm, embed_norm, _on_words(norm), notes),
        attend,
        fused,
    )


def _tried(name: str, candidate: K, plain: K, run: Callable[[K], Tensor], notes: list[str]) -> K:
    """`candidate` if `run` gives the same with it as with `plain`, else `plain` and a note."""
    try:
        ours, theirs = run(candidate).float(), run(plain).float()
        difference = float((ours - theirs).abs().max() / theirs.abs().max())
        if not difference < _TOLERANCE:  # true for NaN as well
            raise RuntimeError(f"its result is off by {difference:.0%}")
    except Exception as error:  # no C compiler, too little shared memory, ...: its errors vary by version
        notes.append(f"For {name}, torch's kernels are used instead of Triton's ({first_line(error)}).")
        return plain
    return candidate


def _numbers(like: Tensor, *shape: int) -> Tensor:
    """Numbers between -1 and 1, irregular enough, and the same each time."""
    count = torch.arange(math.prod(shape), device=like.device, dtype=torch.float32)
    return (count * 12.9898).sin().view(shape).to(like.dtype)


def _on_sums(norm: Norm) -> Callable[[AddNorm], Tensor]:
    inputs = _numbers(norm.weight, 3, len(norm.weight))
    others = inputs.flip(1).contiguous() * 0.5
    return lambda run: run(inputs, others, norm)


def _on_words(norm: Norm) -> Callable[[EmbedNorm], Tensor]:
    batch, dim = _batch(norm.weight), len(norm.weight)
    words, positions = _numbers(norm.weight, 9, dim), _numbers(norm.weight, batch.longest, dim).flip(0).contiguous()
    return lambda run: run(batch, words, positions, norm)


def _on_texts(like: Tensor, heads: int) -> Callable[[Attention], Tensor]:
    """Attention from all tokens of a text, and from its first token, to all of them."""
    batch, dim = _batch(like), len(like)
    parts = _numbers(like, len(batch.ids), 3 * dim).view(len(batch.ids), 3, heads, -1)
    queries, keys, values = (3 * parts).unbind(1)
    each = torch.arange(len(batch.bounds), dtype=torch.int32, device=like.device)
    firsts = queries.index_select(0, batch.firsts)
    among = Spans(batch.bounds, batch.bounds, batch.longest, batch.longest)
    alone = Spans(each, batch.bounds, 1, batch.longest)
    return lambda run: torch.cat([run(queries, keys, values, among), run(firsts, keys, values, alone)])


def _on_rows(like: Tensor) -> Callable[[ProductGelu], Tensor]:
    """With a number of rows that doesn't fill a tile."""
    dim = len(like)
    inputs, weight, bias = _numbers(like, 200, dim), _numbers(like, 512, dim), _numbers(like, 512)
    return lambda run: run(inputs, weight * 0.1, bias)


def _batch(like: Tensor) -> Batch:
    bounds = torch.tensor([0, 5, 6, 70, 200], dtype=torch.int32, device=like.device)
    return Batch(torch.arange(200, dtype=torch.int32, device=like.device) % 9, bounds, 130)
