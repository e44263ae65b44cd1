"""Small models with the files that sentence-transformers writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Json = Mapping[str, Any]


def chained(folder: Path, *modules: tuple[str, Json | None], pooling: str = "mean", **settings: object) -> Path:
    """`folder` with a modules.json of Transformer, Pooling and `modules`, each (class name, config.json or None), and
    `settings` in config_sentence_transformers.json, as version 6 writes them."""
    chain: list[tuple[str, Json | None]] = [("Transformer", None), ("Pooling", {"pooling_mode": pooling}), *modules]
    listed = []
    for number, (kind, config) in enumerate(chain):
        path = f"{number}_{kind}" if number else ""
        listed.append(
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        )
        (folder / path).mkdir(exist_ok=True)
        if config is not None:
            (folder / path / "config.json").write_text(json.dumps(config))
    (folder / "modules.json").write_text(json.dumps(listed))
    written = {"prompts": {"query": "", "document": ""}, "default_prompt_name": None} | settings
    (folder / "config_sentence_transformers.json").write_text(json.dumps(written))
    return folder


def change(path: Path, **values: object) -> None:
    """Set entries of a JSON file, which need not exist."""
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(found | values))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same at length 1."""
    result: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


def least_cosine(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    return float((unit(ours) * unit(theirs)).sum(axis=1).min())
