"""The layout of a batch whose texts are concatenated without padding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

TILE: Final = 16
"""Batches are filled up to a multiple of this many rows, those of an AMX tile: oneDNN compiles a kernel for each
number of rows that it meets, which takes 0.6 ms or more, and caches 1024 of them."""

FEW: Final = 64
"""Up to this many rows, the step may be STEP instead: without AMX, a query of 8 tokens takes 1.25 times as long with 16
rows, and kernels for 16 numbers of rows are soon compiled."""

STEP: Final = 4


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive texts of equal length: `texts` and `tokens` say where they are in the batch.

    `reach` is `length` rounded up to whole steps: that many rows exist from the first row of any text on.
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
    (texts,), are the indices of each text's first token. All three are filled up to whole steps with values that belong
    to no text, whose results are discarded. `starts` is `firsts` without the filling. `single` is one text, whose
    filling may be treated as part of it.
    """

    ids: Tensor
    positions: Tensor
    firsts: Tensor
    starts: NDArray[np.int64]
    runs: tuple[Run, ...]
    single: bool


def pack(texts: list[NDArray[np.int32]], *, tiled: bool = False) -> Packing:
    """The packing of texts, given as the ids of each, sorted by length.

    If `tiled`, a text has the same reach in every batch, and its filling is never treated as part of it, so that
    attention gives the same to the last bit. Otherwise a small batch has less filling.
    """
    lengths = np.array([len(ids) for ids in texts], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    tokens = int(lengths.sum())
    step = TILE if tiled or tokens > FEW else STEP
    runs = _runs(lengths.tolist(), step=step)
    rows = max(run.tokens.stop - run.length + run.reach for run in runs)
    return Packing(
        ids=_filled(np.concatenate(texts), _whole(rows, step)),
        positions=_filled(np.arange(tokens) - np.repeat(starts, lengths), _whole(rows, step)),
        firsts=_filled(starts, _whole(len(starts), step)),
        starts=starts,
        runs=runs,
        single=len(texts) == 1 and not tiled,
    )


def _runs(lengths: list[int], *, step: int) -> tuple[Run, ...]:
    runs: list[Run] = []
    text = token = 0
    for length, equal in groupby(lengths):
        count = len(list(equal))
        texts, tokens = slice(text, text + count), slice(token, token + count * length)
        runs.append(Run(texts, tokens, count, length, reach=_whole(length, step)))
        text, token = texts.stop, tokens.stop
    return tuple(runs)


def _filled(values: NDArray[np.int32] | NDArray[np.int64], rows: int) -> Tensor:
    filled = np.zeros(rows, dtype=values.dtype)
    filled[: len(values)] = values
    return torch.from_numpy(filled)


def _whole(rows: int, step: int) -> int:
    return -(-rows // step) * step
