"""The products of a forward pass on a GPU: in the precision of the rest, or in fp8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch.nn.functional import gelu, linear

from tasb_qdrant.encoder.forward.cuda_kernels import Kernels, ProductGelu, Quantize, product_gelu, quantized
from tasb_qdrant.encoder.forward.encoder_weights import Affine

if TYPE_CHECKING:
    from torch import Tensor

Product = Callable[["Tensor"], "Tensor"]
"""Rows x to x Wᵀ + b of some weights."""

OLDEST_GPU_FOR_FP8: Final = (9, 0)
"""torch multiplies fp8 with a scale for each row on these and later ones."""

_MANY: Final = 4096
"""Rows from which on one kernel for a product and GELU is faster: it is made for tiles of 128 by 256."""

_TILE: Final = 256
"""Outputs of a product that it takes a multiple of."""

_STEP: Final = 16
"""fp8 products need rows whose lengths are multiples of this."""


@dataclass(frozen=True, slots=True)
class Products:
    """Puts weights onto the device, for products with them there."""

    fp8: bool
    device: torch.device
    dtype: torch.dtype
    kernels: Kernels

    def plain(self, affine: Affine) -> Product:
        if self.fp8:
            return Fp8Product(affine, device=self.device, dtype=self.dtype, quantize=self.kernels.quantize)
        return FloatProduct(affine, device=self.device, dtype=self.dtype)

    def with_gelu(self, affine: Affine) -> Product:
        """GELU of the product's result."""
        if not self.fp8:
            fused = product_gelu if len(affine.weight) % _TILE else self.kernels.product_gelu
            return GeluProduct(affine, device=self.device, dtype=self.dtype, fused=fused)
        product = self.plain(affine)
        return lambda inputs: gelu(product(inputs))


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


class GeluProduct:
    """In `dtype`, and its GELU; `fused` does both for many rows."""

    def __init__(self, affine: Affine, *, device: torch.device, dtype: torch.dtype, fused: ProductGelu) -> None:
        self._weight = affine.weight.to(device, dtype).contiguous()
        self._bias = affine.bias.to(device, dtype)
        self._fused = fused

    def __call__(self, inputs: Tensor) -> Tensor:
        run = self._fused if len(inputs) >= _MANY else product_gelu
        return run(inputs, self._weight, self._bias)


class Fp8Product:
    """With both sides in fp8 (e4m3), a scale for each row of each: a token's by its own largest value, so that
    its result doesn't depend on the tokens beside it. Sums and what comes out are of higher precision."""

    def __init__(
        self, affine: Affine, *, device: torch.device, dtype: torch.dtype, quantize: Quantize = quantized
    ) -> None:
        weight, scales = quantized(affine.weight.to(device, torch.float32))
        self._weight = weight.t()
        self._scales = scales.t()
        self._bias = affine.bias.to(device, dtype)
        self._dtype = dtype
        self._quantize = quantize

    def __call__(self, inputs: Tensor) -> Tensor:
        rows, scales = self._quantize(inputs)
        multiply = torch._scaled_mm if inputs.device.type != "cpu" else _scaled_mm_on_a_cpu
        product = multiply(rows, self._weight, scale_a=scales, scale_b=self._scales, out_dtype=torch.bfloat16)
        return product.to(self._dtype).add_(self._bias)


def _scaled_mm_on_a_cpu(
    rows: Tensor, weight: Tensor, *, scale_a: Tensor, scale_b: Tensor, out_dtype: torch.dtype
) -> Tensor:
    """The same: products of fp8 are exact in fp32. torch's own takes 100 times as long there."""
    return ((rows.float() @ weight.float()) * scale_a * scale_b).to(out_dtype)
