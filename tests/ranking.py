"""Whether a list is a right answer to a search, where scores may be closer than float32 can tell.

The same product of two float32 vectors, summed in another order, differs in its last digits: NumPy, an engine
and a server may each be right and still put two such points in either order. Tests that compare ranks ask a
`Ranking`, which lets such points change places and no others.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Id = TypeVar("Id", bound=Hashable)


def float32_slack(query: NDArray[Any], vectors: NDArray[Any]) -> float:
    """How far apart two of the query's true products may be for float32 to put them in either order.

    A sum of `dim` float32 products is off by at most dim * eps/2 * |query| * |vector|, in whatever order it is
    summed, and both products may be off.
    """
    longest = float(np.linalg.norm(np.asarray(vectors, np.float64), axis=1).max(initial=0.0))
    length = float(np.linalg.norm(np.asarray(query, np.float64)))
    return len(query) * float(np.finfo(np.float32).eps) * length * longest


@dataclass(frozen=True)
class Ranking(Generic[Id]):
    """The true score of everything that may be found. Scores that differ by `slack` or less may come in any order."""

    scores: Mapping[Id, float]
    slack: float

    @classmethod
    def of(cls, ids: Sequence[Id], vectors: NDArray[np.float32], query: NDArray[np.float32]) -> Ranking[Id]:
        """By dot product; `vectors` are float32 (n, dim), rows of `ids`."""
        products = vectors.astype(np.float64) @ query.astype(np.float64)
        return cls(dict(zip(ids, products.tolist(), strict=True)), float32_slack(query, vectors))

    def among(self, ids: Iterable[Id]) -> Ranking[Id]:
        return Ranking({each: self.scores[each] for each in ids}, self.slack)

    def score_at(self, rank: int) -> float:
        """The true score of this rank; the best has rank 0."""
        return sorted(self.scores.values(), reverse=True)[rank]

    def between(self, rank: int) -> float:
        """A threshold that this rank passes and the next one doesn't. Fails where float32 can't tell them apart."""
        above, below = self.score_at(rank), self.score_at(rank + 1)
        assert above - below > 2 * self.slack, f"ranks {rank} and {rank + 1} are too close: choose another query"
        return (above + below) / 2

    def mistake(self, found: Sequence[Id], *, limit: int, offset: int = 0) -> str:
        """What is wrong with the list as the `limit` best after the first `offset`; nothing if it is right."""
        best = sorted(self.scores.values(), reverse=True)[offset : offset + limit]
        if unknown := [each for each in found if each not in self.scores]:
            return f"{unknown[0]!r} is not to be found"
        if len(set(found)) < len(found):
            return f"something comes twice: {found}"
        if len(found) != len(best):
            return f"expected {len(best)}, found {len(found)}: {found}"
        if not found:
            return ""
        scores = [self.scores[each] for each in found]
        for rank, (score, true) in enumerate(zip(scores, best, strict=True)):
            if abs(score - true) > self.slack:
                return f"{found[rank]!r} at rank {offset + rank} has the score {score}, that of the rank is {true}"
            if (above := min(scores[: rank + 1])) < score - self.slack:
                return f"{found[rank]!r} with {score} comes after one with {above}"
        higher = [each for each, score in self.scores.items() if score > min(scores) + self.slack]
        missed = set(higher) - set(found)
        return f"left out, though better: {missed}" if len(missed) > offset else ""


def difference(found: Sequence[tuple[Id, float]], expected: Sequence[tuple[Id, float]], *, tolerance: float) -> str:
    """What tells two ranked lists of ids and scores apart; nothing if only scores within `tolerance` do.

    Where neither list knows the true scores: neighbours that close may have changed places, also over the lists' end.
    """
    if len(found) != len(expected):
        return f"expected {len(expected)}, found {len(found)}"
    for rank, ((one, score), (other, wanted)) in enumerate(zip(found, expected, strict=True)):
        if abs(score - wanted) > tolerance:
            return f"at rank {rank}, {one!r} has {score}; expected {other!r} with {wanted}"
    ours, theirs = dict(found), dict(expected)
    if len(ours) != len(found) or len(theirs) != len(expected):
        return "something comes twice"
    last = expected[-1][1] if expected else 0.0
    for each, score in {**ours, **theirs}.items():
        if abs(ours.get(each, last) - theirs.get(each, last)) > tolerance:
            return f"{each!r} with {score} is in one list with another score, or not at all"
    return ""


def mistake_in_groups(
    ranking: Ranking[Id],
    values: Mapping[Id, Collection[str | int]],
    found: Sequence[tuple[Any, Sequence[Id]]],
    *,
    limit: int,
    size: int,
    offset: int = 0,
) -> str:
    """What is wrong with these as the `limit` best groups of `size` after the first `offset`, by their values.

    A group is as good as its best member; those that share it come in the order of their values, integers first.
    """
    members: dict[str | int, list[Id]] = {}
    for each in ranking.scores:
        for value in set(values[each]):
            members.setdefault(value, []).append(each)
    groups = {value: max(ranking.scores[each] for each in ids) for value, ids in members.items()}
    if wrong := Ranking(groups, ranking.slack).mistake([value for value, _ in found], limit=limit, offset=offset):
        return f"the groups: {wrong}"
    for value, ids in found:
        if wrong := ranking.among(members[value]).mistake(ids, limit=size):
            return f"in the group {value!r}: {wrong}"
    led: dict[Id, list[str | int]] = {}
    for value, ids in found:
        led.setdefault(ids[0], []).append(value)
    for best, shared in led.items():
        if shared != sorted(shared, key=lambda value: (isinstance(value, str), value)):
            return f"{shared}, all led by {best!r}, are not in their values' order"
    return ""
