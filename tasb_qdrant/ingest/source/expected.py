"""About how many passages a source has, as far as that is known before they are read."""

from __future__ import annotations

from collections.abc import Sized
from typing import Final

from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.ingest.source.ahead import Ahead
from tasb_qdrant.ingest.source.open import Source

PASSAGE_BYTES: Final = 350
"""Of a file for each passage, where none was read yet: those of MS MARCO."""


def expected_passages(source: Source, reader: PassageReader, estimate: int | None = None) -> int | None:
    """By what a program has, or by the size of files and their first passages, roughly; None if nothing tells.

    `estimate` is by the first passages, where another reader than this one has read them.
    """
    found = _expected(source, reader, estimate)
    return found if source.limit is None else min(source.limit, source.limit if found is None else found)


def _expected(source: Source, reader: PassageReader, estimate: int | None) -> int | None:
    if source.names is None:
        return len(source.given) if isinstance(source.given, Sized) else None
    if estimate is None and isinstance(reader, Ahead):
        estimate = reader.estimate
    if estimate is not None:
        return estimate
    return None if reader.bytes_total is None else reader.bytes_total // PASSAGE_BYTES
