"""The model that everyone runs: random weights in TAS-B's configuration, with the layout of its repository.

Weights don't affect the time. Run as a module, so that the runner itself never imports torch:
`python -m benchmarks.encoding.model FOLDER [LAYERS]`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

FLOP_A_TOKEN = 84.9e6
"""Of the whole model, including attention at 75 tokens. Ours skips 14% of it and gets no credit for that."""


def ensure_model(folder: Path, *, layers: int = 6) -> Path:
    """The model's folder, created if it doesn't exist yet."""
    if not (folder / "modules.json").is_file():
        subprocess.run([sys.executable, "-m", "benchmarks.encoding.model", str(folder), str(layers)], check=True)
    return folder


def make_model(folder: Path, layers: int = 6) -> None:
    from tests.models import make_tasb_like

    shutil.rmtree(folder, ignore_errors=True)
    make_tasb_like(folder, layers=layers)
    # MiniLM's tokenizer has its own limit of 128 tokens, which some libraries obey and others don't.
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"truncation": None, "padding": None}))
    pooling = folder / "1_Pooling"
    pooling.mkdir()
    (pooling / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 768, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 512, "do_lower_case": False}))
    kinds = (("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"))
    modules = [
        {"idx": index, "name": name, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (name, path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))  # last, because it marks the folder as complete


if __name__ == "__main__":
    make_model(Path(sys.argv[1]), *map(int, sys.argv[2:]))
