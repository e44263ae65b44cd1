"""Points chosen out of lists of candidates, exactly as Qdrant does it (1.17.0 and the embedded 0.9 agree).

It is done here for every store. Servers before 1.17 ignore the weights of a rank fusion without a word, and
every store leaves points of equal score in any order, so that pages could overlap. A server whose collection
has several shards makes each shard's points diverse and then sorts all by score, which undoes it; and every
server cuts to the limit before it skips the offset of a diverse query.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import Diverse, Fused, ScoredPoint

RRF_K: Final = 2
"""Qdrant's default k."""


def combine(
    query: Fused | Diverse, lists: Sequence[Sequence[ScoredPoint]], *, most: int | None = None
) -> list[ScoredPoint]:
    """The points of these lists as the query wants them, without payload. A Diverse has one list, with vectors.

    At least the first `most` of them, where it is given.
    """
    if isinstance(query, Fused):
        return _fused(query, lists)
    return _diverse(query, lists[0], len(lists[0]) if most is None else most)


def _fused(query: Fused, lists: Sequence[Sequence[ScoredPoint]]) -> list[ScoredPoint]:
    """Every point of the lists, best first, and in the order of ids where scores are equal."""
    scores: dict[PointId, float] = {}
    weights = query.weights or (1.0,) * len(lists)
    k = RRF_K if query.k is None else query.k
    for points, weight in zip(lists, weights, strict=True):
        ordered = sorted(points, key=lambda point: (-point.score, id_order(point.id)))
        parts = _reciprocal(len(ordered), k, weight) if query.method == "rrf" else _normalised(ordered)
        for point, part in zip(ordered, parts, strict=True):
            scores[point.id] = scores.get(point.id, 0.0) + part
    ranked = sorted(scores.items(), key=lambda scored: (-scored[1], id_order(scored[0])))
    return [ScoredPoint(each, score) for each, score in ranked]


def id_order(point_id: PointId) -> tuple[bool, int | str]:
    """Numbers first, then UUIDs, the order of pages in every store."""
    return isinstance(point_id, str), point_id


def _reciprocal(count: int, k: int, weight: float) -> list[float]:
    """1 / (k + rank), the first rank 0; a weight w stretches the ranks: 1 / (k - 1 + (rank + 1) / w)."""
    if weight <= 0:
        return [0.0] * count
    return [1.0 / (k - 1 + (rank + 1) / weight) for rank in range(count)]


def _normalised(points: Sequence[ScoredPoint]) -> list[float]:
    """Scores from three standard deviations below the mean, 0, to three above, 1."""
    if len(points) < 2:
        return [0.5] * len(points)
    scores = [point.score for point in points]
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1))
    if deviation == 0:
        return [0.5] * len(points)
    low, width = mean - 3 * deviation, 6 * deviation
    return [(score - low) / width for score in scores]


def _diverse(query: Diverse, candidates: Sequence[ScoredPoint], most: int) -> list[ScoredPoint]:
    """One by one, the point with the best score less its similarity to the most similar point chosen before it.

    The diversity weighs the two; each point keeps its own score.
    """
    found = [point for point in candidates if point.vector is not None]  # else it was deleted just now
    points = sorted(found, key=lambda point: (-point.score, id_order(point.id)))
    vectors = np.array([point.vector for point in points])
    near = np.array([point.score for point in points]) * (1.0 - query.diversity)
    similarity = np.full(len(points), -np.inf)
    left = np.ones(len(points), dtype=bool)
    chosen: list[ScoredPoint] = []
    best = 0
    while len(chosen) < min(most, len(points)):
        chosen.append(ScoredPoint(points[best].id, points[best].score))
        left[best] = False
        similarity = np.maximum(similarity, vectors @ vectors[best])
        best = int(np.argmax(np.where(left, near - query.diversity * similarity, -np.inf)))
    return chosen
