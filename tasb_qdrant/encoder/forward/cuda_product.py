"""The products of a forward pass on a GPU: in the precision of the rest, or in fp8."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import torch
from torch.nn.functional import linear

from tasb_qdrant.encoder.forward.encoder_weights import Affine

if TYPE_CHECKING:
    from torch import Tensor

Product = Callable[["Tensor"], "Tensor"]
"""Rows x to x Wᵀ + b of some weights."""

_FP8: Final = torch.float8_e4m3fn
_HIGHEST: Final = torch.finfo(_FP8).max
_TINY: Final = 1e-12

OLDEST_GPU_FOR_FP8: Final = (9, 0)
"""torch multiplies fp8 with a scale for each row on these and later ones."""

_STEP: Final = 16
"""fp8 products need rows whose lengths are multiples of this."""


def product_maker(*, fp8: bool, device: torch.device, dtype: torch.dtype) -> Callable[[Affine], Product]:
    """What puts weights onto the device, and multiplies by them there."""

    def make(affine: Affine) -> Product:
        kind = Fp8Product if fp8 else FloatProduct
        return kind(affine, device=device, dtype=dtype)

    return make


def why_no_fp8(*, device: str, dims: tuple[int, ...]) -> str:
    """What keeps `device` from fp8 products of rows of these lengths, or ""."""
    if any(dim % _STEP for dim in dims):
        return f"fp8 needs layers of a multiple of {_STEP} units, and the model's have {', '.join(map(str, dims))}"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_GPU_FOR_FP8:
        return f"fp8 needs compute capability 9.0, and {device} has {'.'.join(map(str, capability))}"
    return ""


class FloatProduct:
    """In `dtype`."""

    def __init__(self, affine: Affine, *, device: torch.device, dtype: torch.dtype) -> None:
        self._weight = affine.weight.to(device, dtype).contiguous()
        self._bias = affine.bias.to(device, dtype)

    def __call__(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self._weight, self._bias)


class Fp8Product:
    """With both sides in fp8 (e4m3), a scale for each row of each: a token's by its own largest value, so that
    its result doesn't depend on the tokens beside it. Sums and what comes out are of higher precision."""

    def __init__(self, affine: Affine, *, device: torch.device, dtype: torch.dtype) -> None:
        weight, scales = _quantized(affine.weight.to(device, torch.float32))
        self._weight = weight.t()
        self._scales = scales.t()
        self._bias = affine.bias.to(device, dtype)
        self._dtype = dtype

    def __call__(self, inputs: Tensor) -> Tensor:
        quantized, scales = _quantized(inputs)
        multiply = torch._scaled_mm if inputs.device.type != "cpu" else _scaled_mm_on_a_cpu
        product = multiply(quantized, self._weight, scale_a=scales, scale_b=self._scales, out_dtype=torch.bfloat16)
        return product.to(self._dtype) + self._bias


def _scaled_mm_on_a_cpu(
    rows: Tensor, weight: Tensor, *, scale_a: Tensor, scale_b: Tensor, out_dtype: torch.dtype
) -> Tensor:
    """The same: products of fp8 are exact in fp32. torch's own takes 100 times as long there."""
    return ((rows.float() @ weight.float()) * scale_a * scale_b).to(out_dtype)


def _quantized(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(fp8 of the same shape, float32 (rows, 1)): the first times the second is `rows`."""
    scales = rows.abs().amax(1, keepdim=True).float().clamp_min(_TINY) / _HIGHEST
    return (rows / scales).to(_FP8), scales
