"""The points, as finished requests in a file: what feeds the server then costs next to nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.loading.points import made_up_payloads
from benchmarks.searching.points import AROUND, scattered
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.server.upserts import UpsertWire
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import PayloadKeys

COLLECTION: Final = "indexed"
POINTS: Final = 512
"""In a request."""

_RANK: Final = 32
"""Directions in which the vectors differ: those of texts have far fewer than numbers, too."""


@dataclass(frozen=True, slots=True)
class Requests:
    """`count` points of `dim` numbers in requests of these sizes, one after another in `file`."""

    file: Path
    sizes: tuple[int, ...]
    count: int
    dim: int

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """The number of points, and the request, one at a time."""
        left = self.count
        with self.file.open("rb") as file:
            for size in self.sizes:
                yield min(POINTS, left), file.read(size)
                left -= POINTS


def ensure_requests(build: Path, count: int, dim: int) -> Requests:
    """Made if they aren't there; the same in every run."""
    place = build / f"requests-{count}x{dim}"
    sizes = place.with_suffix(".json")
    if not sizes.is_file():
        build.mkdir(parents=True, exist_ok=True)
        written = _write(place, count, dim)
        sizes.write_text(json.dumps(written))  # last, because it marks the file as complete
    return Requests(place, tuple(json.loads(sizes.read_text())), count, dim)


def _write(place: Path, count: int, dim: int) -> list[int]:
    rng = np.random.default_rng(7)
    directions = rng.standard_normal((_RANK, dim), dtype=np.float32)
    around = rng.standard_normal((max(2, count // AROUND), _RANK), dtype=np.float32) @ directions
    wire = UpsertWire(COLLECTION, dim=dim, keys=PayloadKeys())
    payloads = made_up_payloads(count)
    sizes = []
    with place.open("wb") as file:
        for start in range(0, count, POINTS):
            numbers = range(start, min(start + POINTS, count))
            passages = [
                Passage(str(number), made.pop("text"), made.pop("title"), payload=made)
                for number, made in zip(numbers, payloads, strict=False)
            ]
            batch = PointBatch(passages, scattered(around, len(passages), rng)).identified(int)
            sizes.append(file.write(wire.request(batch)))
    return sizes
