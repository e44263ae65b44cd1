"""Models of other families go through transformers' own forward pass, and give what transformers gives."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from tasb_qdrant.encoder import load_encoder
from tests.encoder.model.folders import chained, least_cosine
from tests.models import TOKENIZER_FILES, minilm_folder

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.3,
}
RELATIVE: dict[str, Any] = SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
FAMILIES: dict[str, dict[str, Any]] = {
    "mpnet": SMALL | {"max_position_embeddings": 40},
    "albert": SMALL | {"embedding_size": 16, "max_position_embeddings": 40},
    "modernbert": SMALL | {"local_attention": 16, "max_position_embeddings": 40},
    "deberta": RELATIVE,
    "deberta-v2": RELATIVE | {"position_buckets": 32},
    "mobilebert": SMALL | {"embedding_size": 16, "intra_bottleneck_size": 32, "true_hidden_size": 32},
    "roberta": SMALL | {"type_vocab_size": 1, "max_position_embeddings": 40},
    "roberta-prelayernorm": SMALL | {"type_vocab_size": 1, "max_position_embeddings": 40},
    "xlm-roberta-xl": SMALL | {"type_vocab_size": 1, "max_position_embeddings": 40},
    "electra": SMALL | {"embedding_size": 16},
    "ernie": SMALL,
    "megatron-bert": SMALL,
    "rembert": SMALL | {"input_embedding_size": 16},
    "nomic_bert": SMALL,
    "eurobert": SMALL,
}
POSITIONS = {
    "mpnet": 38,
    "albert": 40,
    "modernbert": 40,
    "roberta": 39,
    "roberta-prelayernorm": 39,
    "xlm-roberta-xl": 39,
}
"""Tokens that the model has positions for, where that is less than its tokenizer allows."""

IDS = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102, "cls_token_id": 101, "sep_token_id": 102}
TEXTS = ["how do bees find food", "the sky at night is full of stars " * 30, "x"]


def made(folder: Path, family: str) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, vocab_size=30522, **IDS, **FAMILIES[family])
        kind: Any = AutoModel  # has no annotations
        kind.from_config(config).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(minilm_folder() / name, folder / name)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_the_family_is_what_transformers_makes_of_it(tmp_path: Path, family: str) -> None:
    encoder = load_encoder(chained(made(tmp_path, family), pooling="mean"), device="cpu", precision="fp32")
    assert encoder.contract.max_length == POSITIONS.get(family, 512)
    assert any(f"the slow one: the model is {family}" in note for note in encoder.notes)
    model, tokenizer = AutoModel.from_pretrained(tmp_path).eval(), AutoTokenizer.from_pretrained(tmp_path)
    theirs = []
    with torch.inference_mode():
        for text in TEXTS:
            ids = tokenizer(text, truncation=True, max_length=encoder.contract.max_length, return_tensors="pt")
            hidden = model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).last_hidden_state
            theirs.append(hidden[0].mean(dim=0).numpy())
    assert least_cosine(encoder.encode_passages(TEXTS), np.stack(theirs)) > 0.99999
