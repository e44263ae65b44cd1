"""Attention within each text in a Triton kernel, for texts as short as passages.

torch's flash attention takes 128 keys at a time, of which a passage of 75 tokens leaves half unused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, no_type_check

import torch
import triton  # type: ignore[import-not-found, unused-ignore]  # not everywhere
import triton.language as tl  # type: ignore[import-not-found, unused-ignore]  # not everywhere

from tasb_qdrant.encoder.forward.cuda_attention import Spans

if TYPE_CHECKING:
    from torch import Tensor

_ROWS: Final = 64
_KEYS: Final = 32
_LEAST: Final = 16
"""The minimum rows of a Triton product, used for single queries. Their keys come 64 at a time."""

_LOG2_E: Final = 1.4426950408889634


def triton_attention(queries: Tensor, keys: Tensor, values: Tensor, spans: Spans) -> Tensor:
    """An Attention for heads of 16, 32, 64 or 128 dimensions that are contiguous in each tensor."""
    outputs = torch.empty(queries.shape, dtype=queries.dtype, device=queries.device)
    _, heads, dim = queries.shape
    rows, at_once, stages = (_LEAST, 64, 2) if spans.most_queries == 1 else (_ROWS, _KEYS, 3)
    blocks = triton.cdiv(spans.most_queries, rows)
    grid = (blocks * heads * (len(spans.queries) - 1),)  # the other axes of a grid end at 65,535
    strides = (queries.stride(0), keys.stride(0), values.stride(0), outputs.stride(0))
    scale = _LOG2_E / dim**0.5
    tensors = (queries, keys, values, outputs, spans.queries, spans.keys)
    _attend[grid](
        *tensors, *strides, scale, heads, blocks, ROWS=rows, KEYS=at_once, DIM=dim, num_warps=4, num_stages=stages
    )
    return outputs


@triton.jit(do_not_specialize=["heads", "blocks"])
@no_type_check  # it is Triton's language in Python's syntax
def _attend(
    queries, keys, values, outputs, query_bounds, key_bounds, query_stride, key_stride, value_stride, output_stride,
    scale, heads, blocks, ROWS: tl.constexpr, KEYS: tl.constexpr, DIM: tl.constexpr,  # noqa: N803  # Triton's style
):  # fmt: skip
    block, head = tl.program_id(0) % blocks, tl.program_id(0) // blocks % heads
    text = tl.program_id(0) // (blocks * heads)
    first = tl.load(query_bounds + text)
    asked = tl.load(query_bounds + text + 1) - first
    if block * ROWS >= asked:
        return
    begin = tl.load(key_bounds + text)
    known = tl.load(key_bounds + text + 1) - begin
    row = block * ROWS + tl.arange(0, ROWS)
    dims = head * DIM + tl.arange(0, DIM)
    there = (row < asked)[:, None]
    query = tl.load(queries + (first + row).to(tl.int64)[:, None] * query_stride + dims[None, :], mask=there, other=0.0)
    highest = tl.full((ROWS,), -1e30, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    mixed = tl.zeros((ROWS, DIM), tl.float32)
    for start in range(0, known, KEYS):
        column = start + tl.arange(0, KEYS)
        inside = column < known
        at = (begin + column).to(tl.int64)[:, None]
        key = tl.load(keys + at * key_stride + dims[None, :], mask=inside[:, None], other=0.0)
        value = tl.load(values + at * value_stride + dims[None, :], mask=inside[:, None], other=0.0)
        scores = tl.where(inside[None, :], tl.dot(query, key.T) * scale, -1e30)
        higher = tl.maximum(highest, tl.max(scores, 1))
        shares = tl.exp2(scores - higher[:, None])
        kept = tl.exp2(highest - higher)
        total = total * kept + tl.sum(shares, 1)
        mixed = tl.dot(shares.to(value.dtype), value, mixed * kept[:, None])
        highest = higher
    result = (mixed / total[:, None]).to(outputs.dtype.element_ty)
    tl.store(outputs + (first + row).to(tl.int64)[:, None] * output_stride + dims[None, :], result, mask=there)
