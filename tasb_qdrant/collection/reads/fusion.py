"""Points chosen out of lists of candidates, exactly as Qdrant does it (1.17.0 and the embedded 0.9 agree).

It is done here for every store. Servers before 1.17 ignore the weights of a rank fusion without a word, and
every store leaves points of equal score in any order, so that pages could overlap. A server whose collection
has several shards makes each shard's points diverse and then sorts all by score, which undoes it; and every
server cuts to the limit before it skips the offset of a diverse query.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import MAX_COUNT, Diverse, Fused, ScoredPoint

RRF_K: Final = 2
"""Qdrant's default k."""

_DEEPER: Final = 4
"""How many times as many candidates the next tier has."""


@dataclass(slots=True)
class Tiers:
    """The list of a fused or diverse query, made of as many candidates as it takes: first the points that its own
    number of candidates gives, then those that more of them add, and so on.

    So each part of the list is the same, however much of it is asked for, and each point comes once. `points` have no
    payload. `done` says that there are no more.
    """

    query: Fused | Diverse
    points: list[ScoredPoint] = field(default_factory=list)
    done: bool = False

    @property
    def depth(self) -> int:
        """Candidates of each of the query's lists."""
        return self.query.depth if isinstance(self.query, Fused) else self.query.candidates

    def add(self, lists: Sequence[Sequence[ScoredPoint]], *, least: float | None = None, most: int = MAX_COUNT) -> None:
        """Go on with what these lists of candidates add. A Diverse has one list, with vectors.

        `least` is the lowest score of a fused point, which no list has. What more candidates would bring is worse than
        what it leaves out. Points beyond the first `most` may be left out.
        """
        before = {point.id for point in self.points}
        if isinstance(self.query, Fused):
            fused = _fused(self.query, lists)
            above = fused if least is None else [point for point in fused if point.score >= least]
            self.done = len(above) < len(fused)
            added = [point for point in above if point.id not in before]
        else:
            added = _diverse(self.query, lists[0], before, most - len(before))
        self.done = self.done or self.depth >= MAX_COUNT or all(len(points) < self.depth for points in lists)
        self.points += added

    def deepen(self) -> None:
        """Of more candidates from now on."""
        depth = min(_DEEPER * self.depth, MAX_COUNT)
        if isinstance(self.query, Fused):
            self.query = replace(self.query, depth=depth)
        else:
            self.query = replace(self.query, candidates=depth)


def _fused(query: Fused, lists: Sequence[Sequence[ScoredPoint]]) -> list[ScoredPoint]:
    """Every point of the lists, best first, and in the order of ids where scores are equal."""
    scores: dict[PointId, float] = {}
    weights = query.weights or (1.0,) * len(lists)
    k = RRF_K if query.k is None else query.k
    for points, weight in zip(lists, weights, strict=True):
        ordered = sorted(points, key=by_score)
        parts = _reciprocal(len(ordered), k, weight) if query.method == "rrf" else _normalised(ordered)
        for point, part in zip(ordered, parts, strict=True):
            scores[point.id] = scores.get(point.id, 0.0) + part
    ranked = sorted(scores.items(), key=lambda scored: (-scored[1], id_order(scored[0])))
    return [ScoredPoint(each, score) for each, score in ranked]


def id_order(point_id: PointId) -> tuple[bool, int | str]:
    """Numbers first, then UUIDs, the order of pages in every store."""
    return isinstance(point_id, str), point_id


def by_score(point: ScoredPoint) -> tuple[float, tuple[bool, int | str]]:
    """The order of every list: the best score first, then the order of ids."""
    return -point.score, id_order(point.id)


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


def _diverse(query: Diverse, candidates: Sequence[ScoredPoint], before: Set[PointId], most: int) -> list[ScoredPoint]:
    """One by one, the point with the best score less its similarity to the most similar point chosen before it.

    The diversity weighs the two; each point keeps its own score. Those `before` were chosen already.
    """
    found = [point for point in candidates if point.vector is not None]  # else it was deleted just now
    points = sorted(found, key=by_score)
    vectors = np.array([point.vector for point in points])
    near = np.array([point.score for point in points]) * (1.0 - query.diversity)
    similarity = np.full(len(points), -np.inf)
    left = np.array([point.id not in before for point in points], dtype=bool)
    for row in np.flatnonzero(~left):
        similarity = np.maximum(similarity, vectors @ vectors[row])
    chosen: list[ScoredPoint] = []
    while len(chosen) < most and left.any():
        worth = near if similarity[0] == -np.inf else near - query.diversity * similarity
        best = int(np.argmax(np.where(left, worth, -np.inf)))
        chosen.append(ScoredPoint(points[best].id, points[best].score))
        left[best] = False
        similarity = np.maximum(similarity, vectors @ vectors[best])
    return chosen
