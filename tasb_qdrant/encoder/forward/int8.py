"""The products of a forward pass on a CPU in int8: both factors in 256 steps, with exact sums.

The steps of the inputs are fixed when the model is loaded, from texts that come with the package, so that a text's
vector doesn't depend on the texts that it is encoded with. Everything but the products with weights (LayerNorm,
attention, additions) stays in bf16 or fp32.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tasb_qdrant.encoder.forward.calibration import Range, measure
from tasb_qdrant.encoder.forward.cpu import DTYPES, FastForward, Linear
from tasb_qdrant.encoder.forward.encoder_weights import Affine, EncoderWeights
from tasb_qdrant.encoder.model.layout import Pooling

if TYPE_CHECKING:
    from torch import Tensor

_GELU_LOWEST: Final = -0.17

_SPLITS: Final = 32
"""Units that may be added to a feed-forward layer to split those with far larger values than the others. One unit that
reaches 25 while the next reaches 6 would cost all of them 2 of their 8 bits: splitting it, the mean cosine with fp32 is
0.9988 instead of 0.9962. 8 to 32 do equally well, and oneDNN multiplies 3,104 as fast as 3,072."""

_UNITS_A_SPLIT: Final = 48
"""A layer with fewer units gets fewer splits, or all of its units would be split."""

_WORTHWHILE: Final = 0.7
"""Units are split if that brings the highest value below this fraction: a split is off by up to 0.17 at its edge."""

_TINY: Final = 1e-5

_ZERO: Final = 128
"""The byte for the center of an input's range. Bytes are unsigned: for signed ones, oneDNN has fast products on AMX
only, and elsewhere takes a second for what should take a millisecond."""


def int8_forward(
    weights: EncoderWeights,
    texts: Sequence[NDArray[np.int32]],
    *,
    pooling: Pooling,
    normalized: bool,
    precision: str,
) -> tuple[FastForward, tuple[str, ...]]:
    """The forward pass, with scales from `texts`, and a note on it; everything but products is in `precision`.

    If the last layer is for the first tokens only, just its keys and values are in int8. Raises CorruptModelError if
    the model's values aren't finite.
    """
    start = time.perf_counter()
    ranges = measure(weights, texts, pooling=pooling, precision=precision)
    linears = _Int8Linears(ranges, DTYPES[precision])
    forward = FastForward(weights, pooling=pooling, normalized=normalized, precision=precision, linears=linears)
    seconds = time.perf_counter() - start
    return forward, (f"Precision int8: scales were measured on {len(texts)} passages in {seconds:.1f} s.",)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Bytes q represent (q - zero) * size."""

    size: float
    zero: int


class _Int8Linears:
    """Linears in int8; each product that is asked for takes the next of `ranges`."""

    def __init__(self, ranges: Sequence[Range], dtype: torch.dtype) -> None:
        self._ranges = iter(ranges)
        self._dtype = dtype
        self._highest = _highest_weight()

    def linear(self, affine: Affine) -> Linear:
        return self._quantizing(affine, next(self._ranges), output=None)

    def feed_forward(self, up: Affine, down: Affine) -> tuple[Linear, Linear]:
        """The first product writes its results as bytes, and the second reads them as such."""
        inputs, between = next(self._ranges), next(self._ranges)
        top, units, edges = _splits(between.highest)
        size = (top - _GELU_LOWEST) / 255
        steps = _Steps(size, zero=round(-_GELU_LOWEST / size))
        up = Affine(torch.cat([up.weight, up.weight[units]]), torch.cat([up.bias, up.bias[units] - edges]))
        down = Affine(torch.cat([down.weight, down.weight[:, units]], dim=1), down.bias)
        # A unit's parts add up to it and have the same weights, so its mean can be attributed to the first part.
        mean = torch.cat([between.mean, torch.zeros(len(units))])
        second = _Int8Linear(down, mean, inputs=steps, output=None, dtype=self._dtype, highest=self._highest)
        return self._quantizing(up, inputs, output=steps), second

    def _quantizing(self, affine: Affine, inputs: Range, *, output: _Steps | None) -> Linear:
        quantize = _Quantizer(inputs, affine.weight, self._dtype)
        linear = _Int8Linear(
            Affine(affine.weight * quantize.sizes, affine.bias + affine.weight @ quantize.centers),
            (inputs.mean - quantize.centers) / quantize.sizes,
            inputs=_Steps(1.0, _ZERO),
            output=output,
            dtype=self._dtype,
            highest=self._highest,
        )
        return _QuantizingLinear(quantize, linear)


class _Quantizer:
    """Values to bytes q, with a step and a center for each input: x = (q - _ZERO) * size + center.

    A product with weights that are multiplied by `sizes` then needs neither. The step grows with the root of the
    input's range and shrinks with the root of its weights, so that the loss is balanced between the two factors.
    """

    def __init__(self, inputs: Range, weight: Tensor, dtype: torch.dtype) -> None:
        center = (inputs.highest + inputs.lowest) / 2
        reach = ((inputs.highest - inputs.lowest) / 2).clamp_min(_TINY)
        balanced = (reach / weight.abs().amax(0).clamp_min(_TINY)).sqrt()
        self._factors = (127 / (balanced * (reach / balanced).max())).to(dtype)
        self._offsets = (_ZERO - center * self._factors.float()).to(dtype)
        # The exact values that result from the rounded ones above.
        self.sizes = 1 / self._factors.float()
        self.centers = (_ZERO - self._offsets.float()) * self.sizes

    def __call__(self, inputs: Tensor) -> Tensor:
        scaled = torch.addcmul(self._offsets, inputs, self._factors)
        # oneDNN rounds and clamps to a byte in a fifth of the time that clamp, round and to take in sequence.
        quantized: Tensor = scaled.to_mkldnn(torch.uint8).to_dense()
        return quantized


class _Int8Linear:
    """A product of bytes, with a step for each row of the weights, followed by GELU if `output` is given.

    `mean` is that of the inputs: the average effect of rounding the weights is subtracted from the bias.
    """

    def __init__(
        self,
        affine: Affine,
        mean: Tensor,
        *,
        inputs: _Steps,
        output: _Steps | None,
        dtype: torch.dtype,
        highest: int,
    ) -> None:
        sizes = affine.weight.abs().amax(1).clamp_min(_TINY * _TINY) / highest
        rounded = (affine.weight / sizes[:, None]).round()
        bias = affine.bias + affine.weight @ mean - (rounded @ mean) * sizes
        weight = torch.ops.onednn.qlinear_prepack(rounded.to(torch.int8), None)
        zeros = torch.zeros(len(sizes), dtype=torch.int64)
        self._scaled_weight = (inputs.size, inputs.zero, weight, sizes, zeros)
        self._bias = bias
        self._dtype = dtype
        # "none" means the exact GELU, by erf, which BERT was trained with.
        self._after: tuple[object, ...] = (
            (output.size, output.zero, torch.uint8, "gelu", [], "none") if output else (1.0, 0, dtype, "none", [], "")
        )

    def __call__(self, inputs: Tensor) -> Tensor:
        result: Tensor = torch.ops.onednn.qlinear_pointwise(inputs, *self._scaled_weight, self._bias, *self._after)
        return result

    def plus(self, inputs: Tensor, other: Tensor) -> Tensor:
        """The same plus `other`, added before the result is rounded. There is no GELU."""
        after: tuple[object, ...] = (1.0, 0, self._dtype, 1.0, 0, "add", 1.0, "none", [], "")
        result: Tensor = torch.ops.onednn.qlinear_pointwise.binary(
            inputs, *self._scaled_weight, other, self._bias, *after
        )
        return result


class _QuantizingLinear:
    def __init__(self, quantize: _Quantizer, linear: _Int8Linear) -> None:
        self._quantize = quantize
        self._linear = linear

    def __call__(self, inputs: Tensor) -> Tensor:
        return self._linear(self._quantize(inputs))

    def plus(self, inputs: Tensor, other: Tensor) -> Tensor:
        return self._linear.plus(self._quantize(inputs), other)


def _splits(highest: Tensor) -> tuple[float, Tensor, Tensor]:
    """How far the bytes of a feed-forward layer reach, which of its units to repeat, and at which edges.

    A unit that exceeds `top` is cut off there; GELU of the same value minus `top` gives what was cut off, to within
    0.17 around the edge, and so on in steps of `top`.
    """
    most = max(float(highest.max()), _TINY)
    splits = min(_SPLITS, len(highest) // _UNITS_A_SPLIT)
    low, top = most / (splits + 1), most
    for _ in range(20):
        middle = (low + top) / 2
        low, top = (low, middle) if _parts(highest, middle).sum() <= splits else (middle, top)
    if top > _WORTHWHILE * most:
        return most, torch.zeros(0, dtype=torch.int64), torch.zeros(0)
    parts = _parts(highest, top)
    parts[highest.argmax()] += splits - parts.sum()  # the rest is headroom beyond what the texts had
    units = torch.repeat_interleave(torch.arange(len(parts)), parts)
    edges = torch.cat([torch.arange(1, count + 1) * top for count in parts.tolist()])
    return top, units, edges


def _parts(highest: Tensor, top: float) -> Tensor:
    """How many additional units it takes to reach `highest` in steps of `top`, int64."""
    return ((highest / top).ceil() - 1).clamp_min(0).long()


def _highest_weight() -> int:
    """127, or 63 if this CPU gets such a product wrong.

    Without VNNI instructions, oneDNN adds two products at a time in 16 bits, which can hold 2 * 255 * 63.
    """
    inputs, weight = torch.full((64, 512), 255, dtype=torch.uint8), torch.full((256, 512), 127, dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, None)
    sizes, zeros = torch.ones(256), torch.zeros(256, dtype=torch.int64)
    after: tuple[object, ...] = (1.0, 0, torch.float32, "none", [], "")
    product = torch.ops.onednn.qlinear_pointwise(inputs, 1.0, 0, packed, sizes, zeros, torch.zeros(256), *after)
    return 127 if bool((product == 255 * 127 * 512).all()) else 63
