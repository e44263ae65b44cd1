"""What the stages of the write path hand on to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import Passage

WINDOW_SIZE: Final = 512
"""Passages in a window. Fixed: what a window holds must not depend on batch size, workers or device."""

WINDOW_BYTES: Final = 8 * 2**20
"""Bytes of payload at which a window of long passages ends earlier: a dozen windows are in memory at once,
and 512 passages may have 16 MiB each."""


@dataclass(frozen=True, slots=True)
class Window:
    """A numbered run of consecutive passages of the source, less those that need no storing.

    Row for row: `ids` are the passages' point ids (most take a hash to make), and `contents` their
    payloads as canonical JSON.
    """

    number: int
    passages: Sequence[Passage]
    ids: Sequence[int | str]
    contents: Sequence[bytes]

    def only(self, rows: Sequence[int]) -> Window:
        """The window with these rows alone; `rows` ascend."""
        if len(rows) == len(self.passages):
            return self
        return Window(
            self.number,
            [self.passages[row] for row in rows],
            [self.ids[row] for row in rows],
            [self.contents[row] for row in rows],
        )


@dataclass(frozen=True, slots=True)
class TokenizedWindow:
    """A window and its passages' tokens, row for row."""

    window: Window
    tokens: TokenBatch
