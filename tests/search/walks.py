"""A small world full of ties, and what every walk through it gives by a plain computation."""

from __future__ import annotations

import math
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant import CollectionSettings, Passage
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.settings import Bm25Settings
from tests.ingest.fakes import StubEncoder

WORDS: Final = ("bee", "owl", "honey", "river", "stone", "light", "moon", "mouse")
SETTINGS: Final = CollectionSettings(
    indexes={"n": "integer", "few": "integer", "f": "float", "d": "datetime", "g": "keyword", "i": "integer"},
    bm25=Bm25Settings(),
)
ORDERS: Final = ("n", "few", "f", "d")

NANOSECONDS: Final = 1_768_907_445_451_174_113
BIG: Final = (
    lambda draw: NANOSECONDS + draw.randrange(40),
    lambda draw: (1_768_907_445_000 + draw.randrange(3) << 22) | draw.randrange(20),
    lambda draw: -(2**62) - draw.randrange(40),
    lambda draw: draw.choice([2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1, 2**53, 2**53 + 1, -(2**53) - 1]),
    lambda draw: draw.randrange(-5, 5),
)

Ranked = list[tuple[str, float]]


class Counting(StubEncoder):
    """Vectors of how often a text has each word: their products are whole numbers, and many are equal."""

    dim = len(WORDS)

    def encode_tokens(self, tokens: Any, *, on_progress: Any = None) -> Any:
        known = {int(self.tokenize_passages([word]).ids[0]): at for at, word in enumerate(WORDS)}
        vectors = np.zeros((len(tokens), len(WORDS)), dtype=np.float32)
        for row in range(len(tokens)):
            for token in tokens[row].tolist():
                if token in known:
                    vectors[row, known[token]] += 1
        return vectors


@dataclass(frozen=True, repr=False)
class World:
    """Passages, and the point ids that a collection gives them."""

    passages: list[Passage]
    points: dict[str, PointId] = field(default_factory=dict)

    def __repr__(self) -> str:  # Hypothesis shows it with every example
        return f"World of {len(self.passages)}"

    @classmethod
    def make(cls, seed: int, count: int) -> World:
        draw = random.Random(seed)
        ids = [
            f"{n}" if n % 3 == 0 else f"doc-{n}" if n % 3 == 1 else str(uuid.UUID(int=draw.getrandbits(128), version=4))
            for n in range(count)
        ]
        return cls([Passage(each, _text(draw), payload=_payload(draw, n)) for n, each in enumerate(ids)])

    def key(self, name: str) -> tuple[bool, int | str]:
        """The order of ids: numbers, then UUIDs."""
        point = self.points[name]
        return isinstance(point, str), point

    def ids(self, names: Iterable[str] | None = None) -> list[str]:
        """In the order of point ids."""
        return sorted((one.id for one in self.passages) if names is None else names, key=self.key)

    def in_order(self, name: str, *, descending: bool) -> list[str]:
        """By the least value of a field, or the greatest; without the passages that have none."""
        found = {}
        for one in self.passages:
            if values := [*_sortable(one.payload.get(name), name)]:
                found[one.id] = -max(values) if descending else min(values)
        return sorted(found, key=lambda each: (found[each], self.key(each)))

    def dense(self, vector: Sequence[float]) -> Ranked:
        """By products with the vector."""
        return self.ranked({one.id: float(np.dot(vector, _counts(one.text))) for one in self.passages})

    def ranked(self, scores: Mapping[str, float]) -> Ranked:
        """By score, then by id."""
        return sorted(scores.items(), key=lambda one: (-one[1], self.key(one[0])))

    def fused(self, lists: Sequence[Ranked], *, method: str, depth: int) -> list[str]:
        """The list of candidates of a depth, then what four times as many add, and so on."""
        listed: dict[str, None] = {}
        while True:
            cut = [ranked[:depth] for ranked in lists]
            parts = [_reciprocal(one) if method == "rrf" else _normalised(one) for one in cut]
            scores: dict[str, float] = {}
            for part in parts:
                for each, score in part.items():
                    scores[each] = scores.get(each, 0.0) + score
            listed |= dict.fromkeys(each for each, _ in self.ranked(scores))
            if all(len(one) < depth for one in cut):
                return [*listed]
            depth *= 4

    def diverse(self, vector: Sequence[float], *, diversity: float, depth: int) -> list[str]:
        """Maximal marginal relevance among the candidates of a depth, then among four times as many."""
        ranked, chosen = self.dense(vector), list[str]()
        vectors = {one.id: _counts(one.text) for one in self.passages}
        while len(chosen) < len(ranked):
            left = [one for one in ranked[:depth] if one[0] not in chosen]
            while left:
                gains = [
                    (1 - diversity) * score - diversity * max(float(vectors[each] @ vectors[one]) for one in chosen)
                    if chosen
                    else score
                    for each, score in left
                ]
                chosen.append(left.pop(int(np.argmax(gains)))[0])
            depth *= 4
        return chosen

    def firsts(self, listed: Iterable[str]) -> list[str]:
        """The first passage of each value of `g`, in this order."""
        return [members[0] for _, members in self.groups(listed, size=1)]

    def groups(self, listed: Iterable[str], *, size: int) -> list[tuple[str | int, list[str]]]:
        """The groups by `g` of passages in this order."""
        payloads = {one.id: one.payload for one in self.passages}
        groups: dict[str | int, list[str]] = {}
        for each in listed:
            given = payloads[each].get("g", [])
            for value in sorted(set(given if isinstance(given, list) else [given])):
                groups.setdefault(value, []).append(each)
        return [(value, members[:size]) for value, members in groups.items()]

    def facet(self, name: str) -> list[tuple[Any, int]]:
        """Values by their count, then in their order."""
        given = [one.payload[name] for one in self.passages if name in one.payload]
        counts = Counter(value for one in given for value in (set(one) if isinstance(one, list) else [one]))
        return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _text(draw: random.Random) -> str:
    return " ".join(draw.choice(WORDS[:5]) for _ in range(draw.randrange(1, 5)))


def _payload(draw: random.Random, number: int) -> dict[str, Any]:
    payload = {
        "n": _some(draw, draw.choice(BIG)),
        "few": _some(draw, lambda draw: draw.randrange(3)),
        "f": _some(draw, lambda draw: draw.choice([0.1 * draw.randrange(9), draw.gauss(0, 1e-9), 1e300, -2.5e17])),
        "d": _some(draw, _moment),
        "g": _some(draw, lambda draw: f"g{draw.randrange(30)}"),
        "i": number // 2,
    }
    return {name: value for name, value in payload.items() if value is not None}


def _some(draw: random.Random, one: Callable[[random.Random], Any]) -> Any:
    """A value, several, the same twice, or none."""
    kind = draw.randrange(8)
    if kind == 0:
        return None
    if kind == 1:
        return [one(draw) for _ in range(draw.randrange(4))]
    if kind == 2:
        return [value := one(draw), one(draw), value]
    return one(draw)


def _moment(draw: random.Random) -> str:
    moment = datetime(
        draw.choice([1601, 1969, 2024, 2300]), 2, 3, 4, 5, draw.randrange(2), draw.randrange(3), tzinfo=UTC
    )
    return moment.isoformat()


def _sortable(given: Any, name: str) -> Iterable[Any]:
    for value in given if isinstance(given, list) else [] if given is None else [given]:
        yield _microseconds(value) if name == "d" else value


def _microseconds(moment: str) -> int:
    since = datetime.fromisoformat(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _counts(text: str) -> NDArray[np.float32]:
    words = text.split()
    return np.array([words.count(word) for word in WORDS], dtype=np.float32)


def _reciprocal(ranked: Ranked) -> dict[str, float]:
    return {each: 1 / (2 + rank) for rank, (each, _) in enumerate(ranked)}


def _normalised(ranked: Ranked) -> dict[str, float]:
    scores = [score for _, score in ranked]
    mean = math.fsum(scores) / max(1, len(scores))
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / max(1, len(scores) - 1))
    if deviation == 0:
        return dict.fromkeys((each for each, _ in ranked), 0.5)
    return {each: (score - (mean - 3 * deviation)) / (6 * deviation) for each, score in ranked}
