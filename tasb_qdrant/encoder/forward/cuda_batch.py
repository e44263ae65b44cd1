"""A batch of texts in one array of integers, so that a single copy takes it to the GPU."""

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
    """How many texts and tokens a batch has, filling included, and an upper bound on the length of a text."""

    texts: int
    tokens: int
    longest: int

    @property
    def size(self) -> int:
        """The number of int32 values in a batch of this shape."""
        return self.tokens + self.texts + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Slices of one int32 tensor: `ids` (tokens,), and `bounds` (texts + 1,), where each text begins and the
    last one ends."""

    ids: Tensor
    bounds: Tensor
    longest: int

    @property
    def firsts(self) -> Tensor:
        """The indices of the first token of each text: int32 (texts,)."""
        return self.bounds[:-1]

    def positions(self) -> Tensor:
        """Each token's position in its text: (tokens,). Computed on the device."""
        tokens = len(self.ids)
        starts = torch.repeat_interleave(self.firsts, self.bounds.diff(), output_size=tokens)
        return torch.arange(tokens, dtype=torch.int32, device=self.ids.device) - starts


def shape_of(tokens: TokenBatch) -> Shape:
    """The shape of a batch of these texts, without filling."""
    return Shape(len(tokens), tokens.tokens, int(tokens.lengths.max()))


def lay_out(tokens: TokenBatch, shape: Shape, into: NDArray[np.int32]) -> None:
    """Write `tokens` into the `shape.size` integers of `into`. Tokens left over in `shape` become one more text,
    because attention leaves tokens that belong to no text undefined."""
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
    """What `lay_out` writes, int32 (shape.size,) on the host. If pinned, it may be dropped while it is still being
    copied to the GPU: torch keeps the memory until then."""
    flat = torch.empty(shape.size, dtype=torch.int32, pin_memory=pinned)
    lay_out(tokens, shape, flat.numpy())
    return flat
