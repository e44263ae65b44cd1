"""Texts one after the other in one array of integers, so that a single copy brings a batch to the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

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
        return 2 * self.tokens + self.texts + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Parts of one int32 tensor: `ids` and `positions` (tokens,), and `bounds` (texts + 1,), where each
    text begins and the last one ends."""

    ids: Tensor
    positions: Tensor
    bounds: Tensor
    longest: int

    @property
    def firsts(self) -> Tensor:
        """Which tokens are the first of their text: int32 (texts,)."""
        return self.bounds[:-1]


def shape_of(texts: Sequence[NDArray[np.int32]]) -> Shape:
    """The shape of a batch of `texts`, the ids of one each, without filling."""
    lengths = [len(ids) for ids in texts]
    return Shape(len(lengths), sum(lengths), max(lengths))


def lay_out(texts: Sequence[NDArray[np.int32]], shape: Shape, into: NDArray[np.int32]) -> None:
    """Write `texts` into the `shape.size` integers of `into`. Tokens that `shape` has left over become one
    more text, so that every token belongs to one: attention leaves what belongs to none undefined."""
    lengths = np.fromiter((len(ids) for ids in texts), dtype=np.int64, count=len(texts))
    real = int(lengths.sum())
    if real < shape.tokens:
        lengths = np.append(lengths, shape.tokens - real)
    ends = np.cumsum(lengths)
    ids, positions, bounds = np.split(into, [shape.tokens, 2 * shape.tokens])
    np.concatenate(texts, out=ids[:real])
    ids[real:] = 0
    positions[:] = np.arange(shape.tokens) - np.repeat(ends - lengths, lengths)
    bounds[0] = 0
    bounds[1:] = ends


def batch_in(flat: Tensor, shape: Shape) -> Batch:
    """What `lay_out` wrote, without copying it."""
    ids, positions, bounds = torch.split(flat, [shape.tokens, shape.tokens, shape.texts + 1])
    return Batch(ids, positions, bounds, shape.longest)


def staged(texts: Sequence[NDArray[np.int32]], shape: Shape, *, pinned: bool) -> Tensor:
    """What `lay_out` writes, int32 (shape.size,) on the host. Pinned, it may be dropped while its copy to
    the GPU is still under way: torch keeps the memory until then."""
    flat = torch.empty(shape.size, dtype=torch.int32, pin_memory=pinned)
    lay_out(texts, shape, flat.numpy())
    return flat
