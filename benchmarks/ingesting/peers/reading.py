"""The source for peers: MS MARCO's format, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice


def parts(source: str, count: int, size: int) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """The first `count` passages, ids and texts, at most `size` at a time; and the number of each part's first."""
    with open(source, encoding="utf-8") as file:
        for start in range(0, count, size):
            lines = islice(file, min(size, count - start))
            yield start, [(name, text) for name, text in (line.rstrip("\n").split("\t") for line in lines)]
