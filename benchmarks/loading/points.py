"""The points that everyone loads: vectors in a NumPy file, payloads in a file of JSON lines."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

DIM: Final = 768
_CHUNK: Final = 10_000
_WORDS: Final = (
    *("the", "of", "and", "a", "to", "in", "is", "was", "for", "on", "that", "by", "with", "as", "passage"),
    *("retrieval", "science", "history", "water", "energy", "between", "which", "their", "about", "city"),
    *("system", "people", "century", "during", "government", "river", "language", "method", "different"),
)


@dataclass(frozen=True, slots=True)
class Points:
    """`count` points in `folder`: ids "0", "1", …, and the same for everybody and in every run."""

    folder: Path
    count: int
    payload_bytes: float


def ensure_points(folder: Path, count: int) -> Points:
    """Texts of 350 characters on average, a title, and three fields: a number, a keyword, a fraction."""
    place = folder / f"points-{count}"
    done = place / "bytes"
    if not done.is_file():
        place.mkdir(parents=True, exist_ok=True)
        _write_vectors(place / "vectors.npy", count)
        done.write_text(str(_write_payloads(place / "payloads.jsonl", count) / count))
    return Points(place, count, float(done.read_text()))


def _write_vectors(path: Path, count: int) -> None:
    rng = np.random.default_rng(7)
    vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, DIM))
    for start in range(0, count, _CHUNK):
        vectors[start : start + _CHUNK] = rng.standard_normal((min(_CHUNK, count - start), DIM), dtype=np.float32)
    vectors.flush()


def _write_payloads(path: Path, count: int) -> int:
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for number, made in enumerate(made_up_payloads(count)):
            written += file.write(json.dumps({"passage_id": str(number), **made}) + "\n")
    return written


def made_up_payloads(count: int) -> Iterator[dict[str, Any]]:
    """The vectors and payloads of `count` points, always the same."""
    rng = random.Random(7)
    for _ in range(count):
        yield {
            "text": _text(rng, rng.randint(200, 500)),
            "title": _text(rng, 30),
            "year": rng.randint(1900, 2025),
            "lang": rng.choice(["en", "de", "fr"]),
            "quality": rng.random(),
        }


def _text(rng: random.Random, characters: int) -> str:
    return " ".join(rng.choices(_WORDS, k=characters // 5))[:characters]
