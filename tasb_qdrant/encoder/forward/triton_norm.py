"""Addition and LayerNorm in one kernel of Triton's, which comes with torch for CUDA and only with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, no_type_check

import torch
import triton  # type: ignore[import-not-found, unused-ignore]  # not everywhere
import triton.language as tl  # type: ignore[import-not-found, unused-ignore]  # not everywhere

from tasb_qdrant.encoder.forward.encoder_weights import Norm

if TYPE_CHECKING:
    from torch import Tensor


def triton_add_norm(inputs: Tensor, others: Tensor, norm: Norm) -> Tensor:
    """An AddNorm for contiguous tensors on a GPU; the sum is not rounded before it is normalised."""
    outputs = torch.empty_like(inputs)
    rows, dim = inputs.shape
    width = triton.next_power_of_2(dim)
    _kernel[(rows,)](inputs, others, norm.weight, norm.bias, outputs, dim, norm.eps, WIDTH=width)
    return outputs


@triton.jit
@no_type_check  # it is Triton's language in Python's syntax
def _kernel(inputs, others, weight, bias, outputs, dim, eps, WIDTH: tl.constexpr):  # noqa: N803  # Triton's style
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
