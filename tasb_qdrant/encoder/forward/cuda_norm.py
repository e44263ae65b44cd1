"""The sum of two tensors, and its LayerNorm: one kernel on a GPU where Triton can make it, else torch's two."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import torch
from torch.nn.functional import layer_norm

from tasb_qdrant.encoder.forward.encoder_weights import Norm
from tasb_qdrant.encoder.forward.self_check import first_line

if TYPE_CHECKING:
    from torch import Tensor

_TOLERANCE: Final = 0.05
"""Of the largest number: bf16, in which torch rounds the sum and Triton's kernel doesn't, differs by 0.02."""

AddNorm = Callable[["Tensor", "Tensor", Norm], "Tensor"]
"""Two tensors (rows, dim) to the LayerNorm of their sum, (rows, dim)."""


def add_norm(inputs: Tensor, others: Tensor, norm: Norm) -> Tensor:
    """torch's own: it writes the sum to memory and reads it again, which is most of its time on a GPU."""
    return layer_norm(inputs + others, norm.weight.shape, norm.weight, norm.bias, norm.eps)


def add_norm_on(norm: Norm) -> tuple[AddNorm, str]:
    """The fastest AddNorm for tensors like those of `norm`, tried out on a few rows, and "" or a note that
    says why it is torch's."""
    if norm.weight.device.type == "cpu":
        return add_norm, ""
    try:
        from tasb_qdrant.encoder.forward.triton_norm import triton_add_norm

        _try_out(triton_add_norm, norm)
    except Exception as error:  # no Triton, no C compiler, ...: its errors vary by version
        return add_norm, f"Addition and LayerNorm are two kernels, not Triton's one ({first_line(error)})."
    return triton_add_norm, ""


def _try_out(candidate: AddNorm, norm: Norm) -> None:
    rows = torch.linspace(-2, 2, 3 * norm.weight.numel(), device=norm.weight.device).sin()
    inputs = rows.view(3, -1).to(norm.weight.dtype)
    others = inputs.flip(1).contiguous() * 0.5
    ours, theirs = candidate(inputs, others, norm).float(), add_norm(inputs, others, norm).float()
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    if not difference < _TOLERANCE:  # which NaN isn't either
        raise RuntimeError(f"its result is off by {difference:.0%}")
