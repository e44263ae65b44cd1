"""What every run of the faults stores: a small corpus, and encoders so small that a run takes a second."""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path
from typing import Any, Final

WINDOW: Final = 8
"""Passages of a window while faults are injected, instead of 512: a second's run has 50 of them."""

PASSAGES: Final = 400
"""50 windows, each a request of its own."""

DIM: Final = 32

_WORDS: Final = [
    "bee",
    "owl",
    "honey",
    "river",
    "stone",
    "light",
    "planet",
    "telescope",
    "discovery",
    "mouse",
    "winter",
    "island",
    "forest",
    "engine",
    "music",
    "paper",
    "copper",
    "thread",
    "garden",
    "bridge",
]


def write_source(path: Path, *, passages: int = PASSAGES, seed: int = 4, rejects: bool = False) -> Path:
    """A JSONL file of that many passages with ids of each kind; with `rejects`, some lines that can't be stored."""
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(passages):
            file.write(json.dumps(record(number, chance)) + "\n")
            if rejects and number % 40 == 7:
                file.write(json.dumps({"id": f"bad-{number}", "text": ""}) + "\n")
    return path


def record(number: int, chance: random.Random) -> dict[str, Any]:
    """One line of the source."""
    id_kinds = (str(number), f"doc-{number}", str(uuid.UUID(int=(7 << 120) + number)))
    made: dict[str, Any] = {
        "id": id_kinds[number % 3],
        "text": " ".join(chance.choices(_WORDS, k=chance.randint(3, 12))),
        "year": 1990 + number % 30,
        "tags": chance.sample(_WORDS, 2),
    }
    if number % 4 == 0:
        made["title"] = f"Über {chance.choice(_WORDS)} №{number}"
    return made


def make_model(folder: Path, *, seed: int = 0) -> Path:
    """A random DistilBERT of one layer with the words of the corpus as its vocabulary; it loads in 0.1 s."""
    from tests.models import make_tasb_like

    make_tasb_like(folder, seed=seed, layers=1, dim=DIM, heads=2, hidden=64)
    _shrink_vocabulary(folder)
    return folder


def _shrink_vocabulary(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file, save_file

    described = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    full: dict[str, int] = described["model"]["vocab"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    kept = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    kept += [word for word in (*_WORDS, *map(str, range(10))) if word in full]
    ids = {word: number for number, word in enumerate(kept)}
    described["model"]["vocab"] = ids
    for added in described["added_tokens"]:
        added["id"] = ids[added["content"]]
    for name, special in described["post_processor"]["special_tokens"].items():
        special["ids"] = [ids[name]]
    (folder / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in kept), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": len(kept)}))
    weights = load_file(folder / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    weights[name] = np.ascontiguousarray(weights[name][: len(kept)])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
