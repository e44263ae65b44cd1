"""A passage's payload as content: in plain Python types, as bytes to compare, and compared with what is stored."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tasb_qdrant.records import Passage, encoder_text
from tasb_qdrant.records.verification import Difference
from tasb_qdrant.settings import PayloadKeys

# Stores parse JSON with serde_json, whose fast float parser is off by a unit in the last place for one float
# in a few: 1.5844572126090433e+32 comes back as …0432e+32. That doesn't make it another passage.
_FLOAT_ERROR: Final = 1e-15


def canonical(payload: Mapping[str, Any]) -> bytes:
    """The payload as JSON, whose bytes are equal exactly when the payloads are: 1, 1.0 and true differ."""
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def is_same(stored: Mapping[str, Any], content: bytes) -> bool:
    """Whether a stored payload is the canonical `content`, to the precision with which stores keep floats."""
    return canonical(stored) == content or _agree(stored, orjson.loads(content))


def difference(
    passage: Passage, content: bytes, stored: Mapping[str, Any] | None, keys: PayloadKeys
) -> Difference | None:
    """How the stored payload (None if there is no such point) differs from the passage's, canonical `content`.

    None if they are the same.
    """
    if stored is None:
        return Difference.MISSING
    if is_same(stored, content):
        return None
    return Difference.PAYLOAD if _encoder_text(stored, keys) == passage.encoder_text else Difference.TEXT


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
