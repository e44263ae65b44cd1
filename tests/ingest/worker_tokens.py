"""Work for processes that read: in a module of its own, since each of them imports what it is sent."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.errors import SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources.cursor import Cursor

MOST_WORDS = 16


def word_ids(text: str) -> NDArray[np.int32]:
    """A hash of each of the text's first words."""
    words = text.split()[:MOST_WORDS]
    digests = b"".join(hashlib.blake2b(word.encode(), digest_size=4).digest() for word in words)
    return np.frombuffer(digests, dtype=np.int32)


def stub_tokens(texts: Sequence[str]) -> TokenBatch:
    """Those of StubEncoder."""
    rows = [word_ids(text) for text in texts]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    longer = np.array([len(text.split()) > MOST_WORDS for text in texts], dtype=np.bool_)
    ids = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
    return TokenBatch(ids, offsets, int(longer.sum()), longer)


def unsaid(texts: Sequence[str]) -> TokenBatch:
    """The same, but not which texts were longer."""
    tokens = stub_tokens(texts)
    return TokenBatch(tokens.ids, tokens.offsets, tokens.truncated)


@dataclass(frozen=True)
class Killer:
    """Ends the process that tokenizes."""

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(texts)


@dataclass(frozen=True)
class FailingFormat:
    """Reads lines of which the one after the first `lines` can't be read, as if a file had been damaged there."""

    lines: int

    def passages(self, data: bytes, cursor: Cursor, *, before: int) -> Iterator[Passage]:
        for number in range(before, before + data.count(b"\n")):
            if number == self.lines:
                raise SourceError("a damaged part", source=cursor.source, line=number + 1)
            cursor.line = number + 1
            yield Passage(str(number), f"text {number}")
