"""A passage beside what is stored under its id."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from tasb_qdrant.ingest.read.content import is_same
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import PayloadKeys


class Verdict(Enum):
    """What a passage needs. The vector depends on title and text alone, so that other fields don't cost encoding."""

    SAME = "same"
    MISSING = "missing"
    TEXT = "text"
    PAYLOAD = "payload"


def judge(passage: Passage, content: bytes, stored: Mapping[str, Any] | None, keys: PayloadKeys) -> Verdict:
    """How the stored payload (None where there is no such point) differs from the passage's, canonical `content`."""
    if stored is None:
        return Verdict.MISSING
    if is_same(stored, content):
        return Verdict.SAME
    return Verdict.PAYLOAD if _encoder_text(stored, keys) == passage.encoder_text else Verdict.TEXT


def _encoder_text(stored: Mapping[str, Any], keys: PayloadKeys) -> str | None:
    """What the encoder read of it; None where another program wrote something else there."""
    text, title = stored.get(keys.text), stored.get(keys.title)
    if not isinstance(text, str) or not isinstance(title, str | None):
        return None
    return f"{title} {text}" if title else text
