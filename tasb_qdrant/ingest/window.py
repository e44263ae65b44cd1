"""What the stages of the write path hand on to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import Passage

WINDOW_SIZE: Final = 512
"""Passages in a window. Fixed: what a window holds must not depend on batch size, workers or device."""


@dataclass(frozen=True, slots=True)
class Window:
    """A numbered run of consecutive passages of the source, less those that need no storing.

    `contents` holds each passage's payload as canonical JSON, row for row.
    """

    number: int
    passages: Sequence[Passage]
    contents: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class TokenizedWindow:
    """A window and its passages' tokens, row for row."""

    window: Window
    tokens: TokenBatch
