"""The source that everyone is given: MS MARCO's format, passages as long as MS MARCO's, as many as are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_source(folder: Path, texts: Sequence[str], count: int) -> Path:
    """`count` passages with ids 0, 1, …; where there are fewer texts, they come again under other ids."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"passages-{count}.tsv"
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(f"{number}\t{' '.join(texts[number % len(texts)].split())}\n")
    return path
