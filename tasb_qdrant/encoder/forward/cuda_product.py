"""The products of a forward pass on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch.nn.functional import linear

from tasb_qdrant.encoder.forward.cuda_kernels import Kernels, ProductGelu, product_gelu
from tasb_qdrant.encoder.forward.encoder_weights import Affine

if TYPE_CHECKING:
    from torch import Tensor

Product = Callable[["Tensor"], "Tensor"]
"""Rows x to x Wᵀ + b for some weights."""

_MANY: Final = 4096
"""The number of rows from which one kernel for a product and GELU is faster: it works in tiles of 128 by 256."""

_TILE: Final = 256
"""The number of outputs must be a multiple of this."""


@dataclass(frozen=True, slots=True)
class Products:
    """Moves weights to the device, and makes products with them there."""

    device: torch.device
    dtype: torch.dtype
    kernels: Kernels

    def plain(self, affine: Affine) -> Product:
        return FloatProduct(affine, device=self.device, dtype=self.dtype)

    def with_gelu(self, affine: Affine) -> Product:
        """A product followed by GELU."""
        fused = product_gelu if len(affine.weight) % _TILE else self.kernels.product_gelu
        return GeluProduct(affine, device=self.device, dtype=self.dtype, fused=fused)


class FloatProduct:
    """In `dtype`."""

    def __init__(self, affine: Affine, *, device: torch.device, dtype: torch.dtype) -> None:
        self._weight = affine.weight.to(device, dtype).contiguous()
        self._bias = affine.bias.to(device, dtype)

    def __call__(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self._weight, self._bias)


class GeluProduct:
    """In `dtype`, followed by GELU; for many rows, `fused` does both."""

    def __init__(self, affine: Affine, *, device: torch.device, dtype: torch.dtype, fused: ProductGelu) -> None:
        self._weight = affine.weight.to(device, dtype).contiguous()
        self._bias = affine.bias.to(device, dtype)
        self._fused = fused

    def __call__(self, inputs: Tensor) -> Tensor:
        run = self._fused if len(inputs) >= _MANY else product_gelu
        return run(inputs, self._weight, self._bias)
