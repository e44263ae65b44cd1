"""A plain config.json is read as transformers reads it; any other is left to transformers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.encoder.forward.reference import read_config as transformers_config
from tasb_qdrant.encoder.model.config import general_config, plain_config, read_config
from tasb_qdrant.encoder.model.entries import UnusualModelError
from tasb_qdrant.errors import CorruptModelError
from tests.models import minilm_folder

SAVED_BY_TRANSFORMERS_4 = {
    "_name_or_path": "./distilbert-base-uncased",
    "activation": "gelu",
    "architectures": ["DistilBertModel"],
    "attention_dropout": 0.1,
    "dim": 768,
    "dropout": 0.1,
    "hidden_dim": 3072,
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "model_type": "distilbert",
    "n_heads": 12,
    "n_layers": 6,
    "output_hidden_states": True,
    "pad_token_id": 0,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "torch_dtype": "float32",
    "transformers_version": "4.12.5",
    "vocab_size": 30522,
}
ODD_BERT = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "vocab_size": 77,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 20,
    "max_position_embeddings": 31,
    "type_vocab_size": 3,
    "layer_norm_eps": 1e-6,
    "pad_token_id": 5,
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "classifier_dropout": None,
    "attention_probs_dropout_prob": 0,
    "id2label": {"0": "no", "1": "yes"},
    "label2id": {"no": 0, "yes": 1},
    "dtype": "float16",
    "use_cache": True,
}


def written(folder: Path, entries: object) -> Path:
    (folder / "config.json").write_text(json.dumps(entries))
    return folder


@pytest.mark.parametrize(
    "entries",
    [
        {"model_type": "bert"},
        {"model_type": "distilbert"},
        {"model_type": "distilbert", "pad_token_id": None, "n_layers": 1, "dim": 36, "hidden_dim": 7},
        SAVED_BY_TRANSFORMERS_4,
        ODD_BERT,
        json.loads((minilm_folder() / "config.json").read_text()),
    ],
    ids=["bert's defaults", "distilbert's defaults", "no padding", "transformers 4", "odd bert", "minilm"],
)
def test_a_plain_configuration_is_what_transformers_reads(tmp_path: Path, entries: dict[str, Any]) -> None:
    folder = written(tmp_path, entries)
    found = plain_config(folder)
    assert found.plain
    assert replace(found, plain=False) == general_config(transformers_config(folder))
    assert read_config(folder) == found


@pytest.mark.parametrize(
    "entries",
    [
        {"model_type": "roberta"},
        {"model_type": "bert", "hidden_act": "relu"},
        {"model_type": "bert", "position_embedding_type": "relative_key"},
        {"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"},
        {"model_type": "bert", "something": "new"},
        {"model_type": "distilbert", "hidden_size": 36, "num_attention_heads": 3},
        {"model_type": "distilbert", "sinusoidal_pos_embds": True},
        {"model_type": "distilbert", "activation": "relu"},
    ],
    ids=lambda entries: str(entries),
)
def test_an_entry_that_is_not_usual_is_left_to_transformers(tmp_path: Path, entries: dict[str, Any]) -> None:
    folder = written(tmp_path, entries)
    with pytest.raises(UnusualModelError):
        plain_config(folder)
    assert read_config(folder) == general_config(transformers_config(folder))


@pytest.mark.parametrize(
    ("name", "value"),
    [("dim", "32"), ("n_layers", 2.5), ("dropout", "much"), ("vocab_size", None)],
)
def test_an_entry_of_a_wrong_type_gets_the_error_that_transformers_gives(
    tmp_path: Path, name: str, value: object
) -> None:
    folder = written(tmp_path, SAVED_BY_TRANSFORMERS_4 | {name: value})
    with pytest.raises(CorruptModelError, match=r"config\.json can't be used") as ours:
        read_config(folder)
    with pytest.raises(CorruptModelError) as theirs:
        transformers_config(folder)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b"\xef\xbb\xbf{}", b"\xff", b"[" * 100_000], ids=lambda c: repr(c[:4])
)
def test_what_is_no_json_object_is_not_plain(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UnusualModelError):
        plain_config(tmp_path)


@pytest.mark.parametrize("sizes", [{"n_heads": 5}, {"pad_token_id": 30522}, {"n_layers": True}, {"dim": 0}])
def test_sizes_that_make_no_model_are_not_plain(tmp_path: Path, sizes: dict[str, Any]) -> None:
    with pytest.raises(UnusualModelError):
        plain_config(written(tmp_path, SAVED_BY_TRANSFORMERS_4 | sizes))
