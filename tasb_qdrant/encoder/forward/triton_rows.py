"""Steps that read and write whole rows, one Triton kernel each. Triton comes only with torch for CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, no_type_check

import torch
import triton  # type: ignore[import-not-found, unused-ignore]  # not everywhere
import triton.language as tl  # type: ignore[import-not-found, unused-ignore]  # not everywhere

from tasb_qdrant.encoder.forward.cuda_batch import Batch
from tasb_qdrant.encoder.forward.encoder_weights import Norm

if TYPE_CHECKING:
    from torch import Tensor

_ROWS: Final = 4
"""Tokens of a text embedded by one Triton program."""


def triton_add_norm(inputs: Tensor, others: Tensor, norm: Norm) -> Tensor:
    """An AddNorm for contiguous tensors on a GPU; the sum is normalised without being rounded first."""
    outputs = torch.empty_like(inputs)
    rows, dim = inputs.shape
    width = triton.next_power_of_2(dim)
    _add_norm[(rows,)](inputs, others, norm.weight, norm.bias, outputs, dim, norm.eps, WIDTH=width)
    return outputs


def triton_embed_norm(batch: Batch, words: Tensor, positions: Tensor, norm: Norm) -> Tensor:
    """An EmbedNorm for contiguous tensors on a GPU. A token's position follows from the bounds of its text."""
    outputs = torch.empty((len(batch.ids), words.shape[1]), dtype=words.dtype, device=words.device)
    dim = words.shape[1]
    blocks = triton.cdiv(batch.longest, _ROWS)
    grid = (blocks * (len(batch.bounds) - 1),)  # the other axes of a grid end at 65,535
    width = triton.next_power_of_2(dim)
    tensors = (batch.ids, batch.bounds, words, positions, norm.weight, norm.bias, outputs)
    _embed_norm[grid](*tensors, dim, norm.eps, blocks, WIDTH=width, ROWS=_ROWS)
    return outputs


@triton.jit
@no_type_check  # it is Triton's language in Python's syntax
def _add_norm(inputs, others, weight, bias, outputs, dim, eps, WIDTH: tl.constexpr):  # noqa: N803  # Triton's style
    start = tl.program_id(0).to(tl.int64) * dim
    columns = tl.arange(0, WIDTH)
    inside = columns < dim
    total = tl.load(inputs + start + columns, mask=inside, other=0.0).to(tl.float32)
    total += tl.load(others + start + columns, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, total - tl.sum(total) / dim, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred) / dim + eps)
    factors = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    offsets = tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    result = centred * scale * factors + offsets
    tl.store(outputs + start + columns, result.to(outputs.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["blocks"])
@no_type_check  # it is Triton's language in Python's syntax
def _embed_norm(
    ids, bounds, words, positions, weight, bias, outputs, dim, eps, blocks,
    WIDTH: tl.constexpr, ROWS: tl.constexpr,  # noqa: N803  # Triton's style
):  # fmt: skip
    text, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    position = block * ROWS + tl.arange(0, ROWS)
    first = tl.load(bounds + text)
    last = tl.load(bounds + text + 1)
    if first + block * ROWS >= last:
        return
    there = first + position < last
    columns = tl.arange(0, WIDTH)
    inside = there[:, None] & (columns < dim)[None, :]
    word = tl.load(ids + first + position, mask=there, other=0).to(tl.int64)
    total = tl.load(words + word[:, None] * dim + columns[None, :], mask=inside, other=0.0).to(tl.float32)
    total += tl.load(positions + position[:, None] * dim + columns[None, :], mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, total - (tl.sum(total, 1) / dim)[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 1) / dim + eps)
    factors = tl.load(weight + columns, mask=columns < dim, other=0.0).to(tl.float32)
    offsets = tl.load(bias + columns, mask=columns < dim, other=0.0).to(tl.float32)
    result = centred * scale[:, None] * factors[None, :] + offsets[None, :]
    at = (first + position).to(tl.int64)[:, None] * dim + columns[None, :]
    tl.store(outputs + at, result.to(outputs.dtype.element_ty), mask=inside)
