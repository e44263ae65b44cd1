"""What the contestants that are this project share."""

from __future__ import annotations

import json
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

DIM = 768


def contract() -> Any:
    """A model contract, which a collection of ours can't do without."""
    return import_module("tasb_qdrant.records").ModelContract(
        model="benchmark",
        weights="0" * 64,
        pooling="cls",
        normalized=False,
        distance="Dot",
        dim=DIM,
        max_length=512,
        precision="fp32",
        query_prompt="",
        passage_prompt="",
        version="0",
    )


def read_passages(folder: str, count: int) -> tuple[list[Any], Any]:
    """Passages and their vectors, float32 (count, DIM)."""
    passage = import_module("tasb_qdrant.records").Passage
    with (Path(folder) / "payloads.jsonl").open(encoding="utf-8") as file:
        payloads = [json.loads(line) for line in islice(file, count)]
    passages = [passage(each.pop("passage_id"), each.pop("text"), each.pop("title"), each) for each in payloads]
    return passages, np.load(Path(folder) / "vectors.npy")[:count]
