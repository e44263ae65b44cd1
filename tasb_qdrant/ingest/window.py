"""What the stages of the write path hand on to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, overload

import orjson

from tasb_qdrant.collection.payload import to_passage
from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import Passage
from tasb_qdrant.records.sparse import SparseVectors
from tasb_qdrant.records.verification import Difference
from tasb_qdrant.settings import PayloadKeys

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_SIZE: Final = 512
"""Passages in a window. Fixed: what a window holds must not depend on batch size, workers or device."""

WINDOW_BYTES: Final = 8 * 2**20
"""Bytes of payload at which a window ends early: a dozen windows are in memory at once, and each of 512 passages
may have 16 MiB."""

_WINDOWS_OF_A_GPU: Final = 8


class StoredPassages(Sequence[Passage]):
    """Passages that are made of their payloads, canonical JSON, when they are asked for: often nobody does."""

    def __init__(self, contents: Sequence[bytes], keys: PayloadKeys) -> None:
        self._contents = contents
        self._keys = keys

    def of(self, contents: Sequence[bytes]) -> StoredPassages:
        """Others of the same collection."""
        return StoredPassages(contents, self._keys)

    def __len__(self) -> int:
        return len(self._contents)

    @overload
    def __getitem__(self, row: int) -> Passage: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Passage]: ...
    def __getitem__(self, row: int | slice) -> Passage | Sequence[Passage]:
        if isinstance(row, slice):
            return self.of(self._contents[row])
        return to_passage(orjson.loads(self._contents[row]), self._keys)


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of passages where they were read, row for row: their tokens, the vectors of their words, the
    `entries` of their payloads as a request has them, and their `differences` from what is stored. Each is None where
    it is still to be made."""

    tokens: TokenBatch | None = None
    sparse: SparseVectors | None = None
    entries: Sequence[bytes] | None = None
    differences: Sequence[Difference | None] | None = None

    def only(self, rows: Sequence[int]) -> Made:
        """That of these rows."""
        return Made(
            None if self.tokens is None else self.tokens.only(rows),
            None if self.sparse is None else self.sparse.only(rows),
            None if self.entries is None else [self.entries[row] for row in rows],
            None if self.differences is None else [self.differences[row] for row in rows],
        )

    def part(self, start: int, end: int) -> Made:
        """That of the rows from `start` to before `end`."""
        return Made(
            None if self.tokens is None else self.tokens.cut(start, end),
            None if self.sparse is None else self.sparse.part(start, end),
            None if self.entries is None else self.entries[start:end],
            None if self.differences is None else self.differences[start:end],
        )

    @classmethod
    def joined(cls, several: Sequence[Made]) -> Made:
        """That of all rows of `several`, in their order; they have the same parts."""
        if len(several) == 1:
            return several[0]
        tokens = [each.tokens for each in several if each.tokens is not None]
        sparse = [each.sparse for each in several if each.sparse is not None]
        entries = [each.entries for each in several if each.entries is not None]
        differences = [each.differences for each in several if each.differences is not None]
        return cls(
            TokenBatch.joined(tokens) if tokens else None,
            SparseVectors.joined(sparse) if sparse else None,
            [entry for each in entries for entry in each] if entries else None,
            [one for each in differences for one in each] if differences else None,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A numbered run of consecutive passages of the source, without those that need no storing.

    Row for row: `ids` are the passages' point ids (most take a hash to make), and `contents` their
    payloads as canonical JSON. `made` is what else was made of them where they were read, if anything was.
    """

    number: int
    passages: Sequence[Passage]
    ids: Sequence[int | str]
    contents: Sequence[bytes]
    made: Made = Made()

    def only(self, rows: Sequence[int]) -> Window:
        """The window with only these rows; `rows` ascend."""
        if len(rows) == len(self.passages):
            return self
        contents = [self.contents[row] for row in rows]
        passages = self.passages
        return Window(
            self.number,
            passages.of(contents) if isinstance(passages, StoredPassages) else [passages[row] for row in rows],
            [self.ids[row] for row in rows],
            contents,
            self.made.only(rows),
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
