"""Calibration for int8: the ranges of a model's activations on ordinary texts, which fix its 256 steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tasb_qdrant.encoder.forward.cpu import DTYPES, FastForward, FloatLinears, Linear
from tasb_qdrant.encoder.forward.encoder_weights import Affine, EncoderWeights
from tasb_qdrant.encoder.model.layout import Pooling
from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.errors import CorruptModelError

if TYPE_CHECKING:
    from torch import Tensor

_PASSAGES: Final = Path(__file__).parents[2] / "examples" / "passages.jsonl"

_EVERY: Final = 2
"""Every second passage is used: all of them, or longer pieces, gave vectors no closer to those of fp32."""

_LENGTHS: Final = (2, 3, 5, 8, 16, 32, 48)
"""Tokens kept of a passage, in turn. Very short texts, including queries, have values beyond those of longer ones."""

_AT_ONCE: Final = 24


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """float32 (inputs,) each: the lowest, highest and mean value of each input of a product."""

    lowest: Tensor
    highest: Tensor
    mean: Tensor


def calibration_texts(tokenization: Tokenization, *, prompt: str) -> list[NDArray[np.int32]]:
    """Token ids of passages that come with the package, cut short, the same every time.

    Random ids did worse (mean cosine with fp32 0.993 instead of 0.997, all else equal): in a trained model, the
    first and the last token and punctuation have the largest values.
    """
    lines = _PASSAGES.read_text(encoding="utf-8").splitlines()[::_EVERY]
    tokens = tokenization([json.loads(line)["text"] for line in lines], prompt=prompt)
    texts = [tokens[index] for index in range(len(tokens))]
    return [
        ids if len(ids) <= length else np.append(ids[: length - 1], ids[-1:])
        for ids, length in zip(texts, cycle(_LENGTHS), strict=False)
    ]


def measure(
    weights: EncoderWeights, texts: Sequence[NDArray[np.int32]], *, pooling: Pooling, precision: str
) -> list[Range]:
    """The input ranges of all products that FastForward asks its `linears` for, in that order.

    Raises CorruptModelError if one isn't finite.
    """
    watched = _WatchedLinears(FloatLinears(DTYPES[precision]))
    forward = FastForward(weights, pooling=pooling, normalized=False, precision=precision, linears=watched)
    for start in range(0, len(texts), _AT_ONCE):
        batch = texts[start : start + _AT_ONCE]
        watched.tokens = sum(len(ids) for ids in batch)
        forward(batch)
    ranges = [linear.range() for linear in watched.all]
    if not all(torch.isfinite(part).all() for found in ranges for part in (found.lowest, found.highest, found.mean)):
        raise CorruptModelError(
            "the model gives non-finite values for ordinary texts, so int8 has no scale for them; "
            "give --precision fp32, or get the model again"
        )
    return ranges


class _WatchedLinears:
    """Linears that record the ranges of their inputs; `all` is in the order in which they were asked for.

    Rows from `tokens` on fill up the batch and belong to no text.
    """

    def __init__(self, floats: FloatLinears) -> None:
        self._floats = floats
        self.tokens = 0
        self.all: list[_Watched] = []

    def linear(self, affine: Affine) -> Linear:
        return self._watched(self._floats.linear(affine), inputs=affine.weight.shape[1])

    def feed_forward(self, up: Affine, down: Affine) -> tuple[Linear, Linear]:
        first, second = self._floats.feed_forward(up, down)
        return (
            self._watched(first, inputs=up.weight.shape[1]),
            self._watched(second, inputs=down.weight.shape[1]),
        )

    def _watched(self, linear: Linear, *, inputs: int) -> _Watched:
        self.all.append(_Watched(self, linear, inputs=inputs))
        return self.all[-1]


class _Watched:
    def __init__(self, owner: _WatchedLinears, linear: Linear, *, inputs: int) -> None:
        self._owner = owner
        self._linear = linear
        self._lowest = torch.full((inputs,), torch.inf)
        self._highest = torch.full((inputs,), -torch.inf)
        self._sum = torch.zeros(inputs)
        self._rows = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        self._see(inputs[: self._owner.tokens])
        return self._linear(inputs)

    def plus(self, inputs: Tensor, other: Tensor) -> Tensor:
        self._see(inputs[: self._owner.tokens])
        return self._linear.plus(inputs, other)

    def range(self) -> Range:
        return Range(self._lowest, self._highest, self._sum / self._rows)

    def _see(self, inputs: Tensor) -> None:
        self._lowest = torch.minimum(self._lowest, inputs.amin(0).float())
        self._highest = torch.maximum(self._highest, inputs.amax(0).float())
        self._sum = self._sum + inputs.sum(0, dtype=torch.float32)
        self._rows += len(inputs)
