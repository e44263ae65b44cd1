"""Recall: how many of the true best points were found. The truth comes from comparing every vector in NumPy, here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_CHUNK: Final = 20_000


def recall(
    found: Sequence[Sequence[int]],
    queries: NDArray[np.float32],
    points: NDArray[np.float32],
    *,
    limit: int,
    allowed: NDArray[np.bool_] | None = None,
) -> float:
    """The mean share of `limit` that was found; a point counts if it is `allowed` and its score is no lower than that
    of the last of the true best, as far as float32 can tell. `queries` is float32
    (n, dim), one for each row of `found`."""
    scores = np.concatenate(
        [queries @ points[start : start + _CHUNK].T for start in range(0, len(points), _CHUNK)], axis=1
    )
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    wanted = min(limit, len(points) if allowed is None else int(allowed.sum()))
    if not wanted or not len(found):
        raise ValueError("expected queries, and points that may be found; there are none")
    least = np.partition(scores, -wanted, axis=1)[:, -wanted]
    # Two products of `dim` float32 numbers, summed in any order, may be this far apart for equal true scores.
    longest = float(np.linalg.norm(points, axis=1).max())
    least -= np.finfo(np.float32).eps * points.shape[1] * longest * np.linalg.norm(queries, axis=1)
    shares = [
        min(wanted, sum(bool(row[point] >= bar) for point in set(ids))) / wanted
        for ids, row, bar in zip(found, scores, least, strict=True)
    ]
    return float(np.mean(shares))
