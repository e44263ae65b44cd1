"""Texts one after the other in one array of integers, so that a single copy brings a batch to the GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tasb_qdrant.encoder.protocol import TokenBatch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Shape:
    """How many texts and tokens a batch has, filling included, and no less than its longest text's tokens."""

    texts: int
    tokens: int
    longest: int

    @property
    def size(self) -> int:
        """How many int32 a batch of this shape takes."""
        return self.tokens + self.texts + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Parts of one int32 tensor: `ids` (tokens,), and `bounds` (texts + 1,), where each text begins and the
    last one ends."""

    ids: Tensor
    bounds: Tensor
    longest: int

    @property
    def firsts(self) -> Tensor:
        """Which tokens are the first of their text: int32 (texts,)."""
        return self.bounds[:-1]

    def positions(self) -> Tensor:
        """Of each token in its text: (tokens,). Computed on the device."""
        tokens = len(self.ids)
        starts = torch.repeat_interleave(self.firsts, self.bounds.diff(), output_size=tokens)
        return torch.arange(tokens, dtype=torch.int32, device=self.ids.device) - starts


def shape_of(tokens: TokenBatch) -> Shape:
    """The shape of a batch of these texts, without filling."""
    return Shape(len(tokens), tokens.tokens, int(tokens.lengths.max()))


def lay_out(tokens: TokenBatch, shape: Shape, into: NDArray[np.int32]) -> None:
    """Write `tokens` into the `shape.size` integers of `into`. Tokens that `shape` has left over become one
    more text, so that every token belongs to one: attention leaves what belongs to none undefined."""
    real, ends = tokens.tokens, len(tokens) + 1
    ids, bounds = into[: shape.tokens], into[shape.tokens :]
    ids[:real] = tokens.ids
    ids[real:] = 0
    bounds[:ends] = tokens.offsets
    bounds[ends:] = shape.tokens


def batch_in(flat: Tensor, shape: Shape) -> Batch:
    """What `lay_out` wrote, without copying it."""
    ids, bounds = torch.split(flat, [shape.tokens, shape.texts + 1])
    return Batch(ids, bounds, shape.longest)


def staged(tokens: TokenBatch, shape: Shape, *, pinned: bool) -> Tensor:
    """What `lay_out` writes, int32 (shape.size,) on the host. Pinned, it may be dropped while its copy to
    the GPU is still under way: torch keeps the memory until then."""
    flat = torch.empty(shape.size, dtype=torch.int32, pin_memory=pinned)
    lay_out(tokens, shape, flat.numpy())
    return flat
