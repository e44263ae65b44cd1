"""A passage's payload as content: in plain Python types, as bytes to compare, and compared with what is stored."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.records import Passage, encoder_text
from tasb_qdrant.records.verification import Difference
from tasb_qdrant.settings import PayloadKeys

# Stores parse JSON with serde_json, whose fast float parser is off by a unit in the last place for one float
# in a few: 1.5844572126090433e+32 comes back as …0432e+32. That doesn't make it another passage.
_FLOAT_ERROR: Final = 1e-15


def canonical(payload: Mapping[str, Any]) -> bytes:
    """The payload as JSON, whose bytes are equal exactly when the payloads are: 1, 1.0 and true differ."""
    # Copied, since orjson's own bytes keep the 4 KiB that they were written into, and thousands are under way.
    return memoryview(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)).tobytes()


def is_same(stored: Mapping[str, Any], content: bytes) -> bool:
    """Whether a stored payload is the canonical `content`, to the precision with which stores keep floats."""
    return canonical(stored) == content or _agree(stored, orjson.loads(content))


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored under some ids: payloads, and the ids of the points that lack a vector."""

    payloads: Mapping[PointId, Mapping[str, Any]]
    without_vectors: frozenset[PointId]

    @classmethod
    def under(cls, ids: Sequence[PointId], collection: Collection) -> Self:
        """As the collection holds them now. Raises CollectionError."""
        points = collection.reads.retrieve(ids)
        bare = collection.reads.without_vectors([point.id for point in points])
        return cls({point.id: point.payload or {} for point in points}, bare)

    def differences(
        self, passages: Iterable[Passage], ids: Iterable[PointId], contents: Iterable[bytes], keys: PayloadKeys
    ) -> list[Difference | None]:
        """The `difference` of each."""
        return [self.difference(*row, keys) for row in zip(passages, ids, contents, strict=True)]

    def difference(self, passage: Passage, point_id: PointId, content: bytes, keys: PayloadKeys) -> Difference | None:
        """How the stored point differs from the passage's, canonical `content`; None if it is the same."""
        if (payload := self.payloads.get(point_id)) is None:
            return Difference.MISSING
        same = is_same(payload, content)
        if not same and _encoder_text(payload, keys) != passage.encoder_text:
            return Difference.TEXT
        if point_id in self.without_vectors:
            return Difference.NO_VECTOR
        return None if same else Difference.PAYLOAD


def plain(value: Any) -> Any:
    """A copy of JSON in plain Python types: a payload may hold mappings, tuples and subclasses of them."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {(key if type(key) is str else str.__str__(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, float) else value


def _agree(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=_FLOAT_ERROR, abs_tol=sys.float_info.min)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_agree(item, other[key]) for key, item in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_agree, one, other))
    return bool(one == other)


def _encoder_text(stored: Mapping[str, Any], keys: PayloadKeys) -> str | None:
    """The text that the encoder read; None if another program stored something else there."""
    text, title = stored.get(keys.text), stored.get(keys.title)
    if not isinstance(text, str) or not isinstance(title, str | None):
        return None
    return encoder_text(title, text)
