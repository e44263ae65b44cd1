"""The points that everyone searches, and the queries: `python -m benchmarks.searching.points FOLDER COUNT MODEL`.

Random vectors are harder for an index than those of texts, but a model with random weights puts all texts into a narrow
cone. So the points are the model's own vectors of texts, shifted by differences between such vectors and some noise,
all scaled to one length: a hundred around each text. A query is one of these texts with some words changed, so that its
nearest points are mostly those of its own text, as a real question is nearest to its passage.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from benchmarks.loading.points import made_up_payloads
from tasb_qdrant.records import ModelContract

DIM: Final = 768
AROUND: Final = 100
"""Points around each text, however many texts there are."""

QUESTIONS: Final = 2_000
CHANGED: Final = 3
"""How many of ten words differ between a text and its query."""

YEAR: Final = 2000
LANG: Final = "en"
"""The filter is `year >= YEAR and lang = LANG`, a fifth of the years and a third of the languages."""

ID_KEY: Final = "id"
TEXT_KEY: Final = "content"
"""Haystack's names, which the others can be told."""

_MOVED: Final = 1.0
_NOISE: Final = 0.3
_CHUNK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Points:
    """`count` points in `folder`, with ids 0, 1, …; `questions` are the queries, with their vectors by our encoder."""

    folder: Path
    count: int

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32 (count, DIM), read from the file as needed."""
        found: NDArray[np.float32] = np.load(self.folder / "vectors.npy", mmap_mode="r")
        return found

    @property
    def question_file(self) -> Path:
        return self.folder / "questions.npy"

    @property
    def questions(self) -> list[str]:
        texts: list[str] = json.loads((self.folder / "questions.json").read_text())
        return texts

    @property
    def matching(self) -> NDArray[np.bool_]:
        """Which points pass the filter."""
        return np.array([made["year"] >= YEAR and made["lang"] == LANG for made in made_up_payloads(self.count)])

    @property
    def contract(self) -> ModelContract:
        """Of the encoder that made them."""
        return TypeAdapter(ModelContract).validate_json((self.folder / "contract.json").read_bytes())

    @property
    def payload_bytes(self) -> float:
        """Of JSON, on average."""
        return (self.folder / "payloads.jsonl").stat().st_size / self.count


def ensure_points(build: Path, count: int, *, model: Path) -> Points:
    """Created if they don't exist yet, in a separate process, because the runner itself never imports torch."""
    points = Points(build / f"points-{count}", count)
    if not (points.folder / "contract.json").is_file():
        command = [sys.executable, "-m", "benchmarks.searching.points", str(points.folder), str(count), str(model)]
        subprocess.run(command, check=True)
    return points


def make_points(folder: Path, count: int, model: Path) -> None:
    from tokenizers import Tokenizer

    from benchmarks.encoding.texts import short_queries, whole_words
    from tasb_qdrant.encoder import load_encoder

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    encoder = load_encoder(model, device="cpu")
    texts = short_queries(tokenizer, max(2, count // AROUND), seed=5)
    asked = [texts[number % len(texts)] for number in range(QUESTIONS)]
    questions = changed(asked, whole_words(tokenizer)[:2_000])
    around = encoder.encode_queries(texts)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(count, DIM))
    rng = np.random.default_rng(7)
    for start in range(0, count, _CHUNK):
        vectors[start : start + _CHUNK] = scattered(around, min(_CHUNK, count - start), rng)
    vectors.flush()
    with (folder / "payloads.jsonl").open("w", encoding="utf-8") as file:
        for number, made in enumerate(made_up_payloads(count)):
            file.write(json.dumps({ID_KEY: str(number), TEXT_KEY: made.pop("text"), **made}) + "\n")
    (folder / "questions.json").write_text(json.dumps(questions))
    np.save(folder / "questions.npy", encoder.encode_queries(questions))
    (folder / "contract.json").write_text(
        json.dumps(asdict(encoder.contract))
    )  # last, because it marks the folder as complete


def changed(texts: Sequence[str], words: Sequence[str]) -> list[str]:
    """Each text with CHANGED of its words replaced."""
    rng = random.Random(3)
    questions = []
    for text in texts:
        own = text.split()
        for place in rng.sample(range(len(own)), CHANGED):
            own[place] = rng.choice(words)
        questions.append(" ".join(own))
    return questions


def scattered(around: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """`count` points around these, all of their mean length: float32 (count, dim)."""
    here, there, back = (rng.integers(0, len(around), count) for _ in range(3))
    moved = around[there] - around[back]
    points = around[here] + _MOVED * rng.random((count, 1), dtype=np.float32) * moved
    points += _NOISE * around.std(axis=0) * rng.standard_normal(points.shape, dtype=np.float32)
    length = np.linalg.norm(around, axis=1).mean()
    scaled: NDArray[np.float32] = points * (length / np.linalg.norm(points, axis=1))[:, np.newaxis]
    return scaled.astype(np.float32)


if __name__ == "__main__":
    make_points(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
