"""The layout of a batch whose texts are concatenated without padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

TILE: Final = 16
"""Batches are filled up to a multiple of this many rows, those of an AMX tile: oneDNN compiles a kernel for each
number of rows that it meets, which takes 0.6 ms or more, and caches 1024 of them."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive texts of equal length: `texts` and `tokens` say where they are in the batch.

    `reach` is `length` rounded up to whole tiles: that many rows exist from the first row of any text on.
    """

    texts: slice
    tokens: slice
    count: int
    length: int
    reach: int


@dataclass(frozen=True, slots=True)
class Packing:
    """A batch of texts sorted by length.

    `ids`, int32, and `positions`, int64, which count from 0 in each text, are (tokens,); `firsts`, int64
    (texts,), are the indices of each text's first token. All three are filled up to whole tiles with values that
    belong to no text, whose results are discarded. `starts` is `firsts` without the filling.
    """

    ids: Tensor
    positions: Tensor
    firsts: Tensor
    starts: NDArray[np.int64]
    runs: tuple[Run, ...]


def pack(texts: list[NDArray[np.int32]]) -> Packing:
    """The packing of texts, given as the ids of each, sorted by length."""
    lengths = np.array([len(ids) for ids in texts], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    runs = tuple(_runs(lengths))
    rows = max(run.tokens.stop - run.length + run.reach for run in runs)
    return Packing(
        ids=_filled(np.concatenate(texts), rows),
        positions=_filled(positions, rows),
        firsts=_filled(starts, len(starts)),
        starts=starts,
        runs=runs,
    )


def _runs(lengths: NDArray[np.int64]) -> list[Run]:
    runs: list[Run] = []
    token = 0
    starts = np.flatnonzero(np.diff(lengths, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(lengths)], strict=True):
        count, length = end - start, int(lengths[start])
        tokens = slice(token, token := token + count * length)
        runs.append(Run(slice(start, end), tokens, count, length, reach=_whole_tiles(length)))
    return runs


def _filled(values: NDArray[np.int32] | NDArray[np.int64], rows: int) -> Tensor:
    return torch.from_numpy(np.pad(values, (0, _whole_tiles(rows) - len(values))))


def _whole_tiles(rows: int) -> int:
    return -(-rows // TILE) * TILE
