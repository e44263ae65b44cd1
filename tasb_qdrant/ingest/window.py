"""What the stages of the write path hand on to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import Passage
from tasb_qdrant.records.sparse import SparseVectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_SIZE: Final = 512
"""Passages in a window. Fixed: what a window holds must not depend on batch size, workers or device."""

WINDOW_BYTES: Final = 8 * 2**20
"""Bytes of payload at which a window ends early: a dozen windows are in memory at once, and each of 512 passages
may have 16 MiB."""

_WINDOWS_OF_A_GPU: Final = 8


@dataclass(frozen=True, slots=True)
class Window:
    """A numbered run of consecutive passages of the source, without those that need no storing.

    Row for row: `ids` are the passages' point ids (most take a hash to make), and `contents` their
    payloads as canonical JSON.
    """

    number: int
    passages: Sequence[Passage]
    ids: Sequence[int | str]
    contents: Sequence[bytes]

    def only(self, rows: Sequence[int]) -> Window:
        """The window with only these rows; `rows` ascend."""
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
    """A window with its passages' tokens, row for row, and with BM25 their sparse vectors."""

    window: Window
    tokens: TokenBatch
    sparse: SparseVectors | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """Windows that are encoded in one call, at least one."""

    windows: Sequence[TokenizedWindow]

    @property
    def tokens(self) -> TokenBatch:
        return TokenBatch.joined([item.tokens for item in self.windows])

    def split(self, vectors: NDArray[np.float32]) -> Iterator[tuple[TokenizedWindow, NDArray[np.float32]]]:
        """Each window with its rows of `vectors`, those of `tokens`; the last one gets all that is left."""
        start = 0
        for item in self.windows[:-1]:
            yield item, vectors[start : start + len(item.tokens)]
            start += len(item.tokens)
        yield self.windows[-1], vectors[start:]


def windows_at_once(device: str) -> int:
    """How many windows to encode in one call on `device` (as the encoder names it), if so many are waiting.

    A GPU takes more texts in a batch than a window has, and finishes a window before the next one comes; a CPU
    needs seconds for a window, and its vectors are better stored meanwhile.
    """
    return sum(1 if name == "cpu" else _WINDOWS_OF_A_GPU for name in device.split(","))
