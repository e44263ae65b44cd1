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
"""Bytes of payload at which a window of long passages ends earlier: a dozen windows are in memory at once,
and 512 passages may have 16 MiB each."""

_WINDOWS_OF_A_GPU: Final = 8


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
    """A window and its passages' tokens, row for row, and where they are wanted, the vectors of their words."""

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
        """Each window with its rows of `vectors`, which should be those of `tokens`; the last with all that is left."""
        start = 0
        for item in self.windows[:-1]:
            yield item, vectors[start : start + len(item.tokens)]
            start += len(item.tokens)
        yield self.windows[-1], vectors[start:]


def windows_at_once(device: str) -> int:
    """How many windows to encode in one call on `device`, as the encoder names it, where they are there.

    A GPU takes more texts in a batch than a window has, and is done with a window before the next one comes;
    a CPU is busy with a window for seconds, and its vectors had better be stored meanwhile.
    """
    return sum(1 if name == "cpu" else _WINDOWS_OF_A_GPU for name in device.split(","))
