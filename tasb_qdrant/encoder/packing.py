"""Where the tokens of a batch are: one text after the other for what looks at tokens alone, and spread out
to a few lengths for attention, which looks at texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T", int, NDArray[np.int64])

_STEP: Final = 16
"""Rows of an AMX tile. oneDNN compiles a kernel for each number of rows (0.6 ms and more, and it keeps 1024),
so batches are filled up to whole tiles; and torch's attention in bf16 takes half the time for texts of 80
tokens that it takes for 75."""


_AT_ONCE: Final = 320
"""Rows of one call of attention: torch lays out all its keys and values anew, which then stay in the cache."""


@dataclass(frozen=True, slots=True)
class Group:
    """Texts spread out to the same length: `texts` and `rows` say where. `mask`, (count, 1, 1, length), is
    -inf where a text has no token, or None if all of them are full."""

    texts: slice
    rows: slice
    count: int
    length: int
    mask: Tensor | None


@dataclass(frozen=True, slots=True)
class Packing:
    """A batch of texts, sorted by length. `tokens` counts their tokens, filled up to whole tiles.

    `spread` is the token in each spread-out row and `gather` the row of each token, int64; both are None
    where the two orders are the same. `positions`, int64 (tokens,), counts from 0 in each text; `firsts`,
    filled up to whole tiles too, is the first token of each text. All filling points at token 0.
    """

    tokens: int
    positions: Tensor
    starts: NDArray[np.int64]
    firsts: Tensor
    spread: Tensor | None
    gather: Tensor | None
    groups: tuple[Group, ...]


def pack(lengths: NDArray[np.int64], dtype: torch.dtype) -> Packing:
    """The packing of texts of these `lengths`, longest first; masks are of `dtype`."""
    starts = np.cumsum(lengths) - lengths
    count = int(lengths.sum())
    tokens = _filled(count)
    positions = np.zeros(tokens, dtype=np.int64)
    positions[:count] = np.arange(count) - np.repeat(starts, lengths)
    firsts = np.zeros(_filled(len(lengths)), dtype=np.int64)
    firsts[: len(lengths)] = starts
    # A single query, or texts of one length that is good already: nothing to move.
    as_is = len(lengths) == 1 or (lengths[0] == lengths[-1] and lengths[0] % _STEP == 0)
    spread_lengths = lengths if as_is else _filled(lengths)
    spread = gather = None
    if not as_is:
        spread_starts = np.cumsum(spread_lengths) - spread_lengths
        row = np.arange(int(spread_lengths.sum())) - np.repeat(spread_starts, spread_lengths)
        real = row < np.repeat(lengths, spread_lengths)
        spread = torch.from_numpy(np.where(real, row + np.repeat(starts, spread_lengths), 0))
        rows = np.zeros(tokens, dtype=np.int64)
        rows[:count] = np.flatnonzero(real)
        gather = torch.from_numpy(rows)
    return Packing(
        tokens=tokens,
        positions=torch.from_numpy(positions),
        starts=starts,
        firsts=torch.from_numpy(firsts),
        spread=spread,
        gather=gather,
        groups=tuple(_groups(lengths, spread_lengths, dtype)),
    )


def _groups(lengths: NDArray[np.int64], spread_lengths: NDArray[np.int64], dtype: torch.dtype) -> list[Group]:
    groups: list[Group] = []
    row = 0
    start = 0
    while start < len(lengths):
        length = int(spread_lengths[start])
        count = int(np.count_nonzero(spread_lengths[start : start + max(1, _AT_ONCE // length)] == length))
        texts, rows = slice(start, start + count), slice(row, row + count * length)
        groups.append(Group(texts, rows, count, length, _mask(lengths[texts], length, dtype)))
        start, row = texts.stop, rows.stop
    return groups


def _mask(lengths: NDArray[np.int64], length: int, dtype: torch.dtype) -> Tensor | None:
    if lengths[-1] == length:
        return None
    missing = torch.from_numpy(np.arange(length) >= lengths[:, None])
    mask = torch.zeros(missing.shape, dtype=dtype).masked_fill_(missing, float("-inf"))
    return mask.view(len(lengths), 1, 1, length)


def _filled(count: T) -> T:
    return -(-count // _STEP) * _STEP
