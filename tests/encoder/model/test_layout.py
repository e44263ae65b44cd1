"""A model is used as its files say, and what can't be done is refused instead of approximated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.model.layout import Layout, read_layout
from tasb_qdrant.errors import CorruptModelError, ModelError, ModelNotFoundError


def set_modules(folder: Path, *kinds: str, pooling: dict[str, Any] | None = None, transformer: str = "") -> Path:
    paths = {"Transformer": transformer, "Pooling": "1_Pooling", "Normalize": "2_Normalize", "Dense": "2_Dense"}
    modules = [
        {"idx": n, "name": str(n), "path": paths[kind], "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    if pooling is not None:
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def change_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_a_folder_without_a_layout_means_cls_without_normalising(tasb_fp32: Encoder) -> None:
    contract = tasb_fp32.contract
    assert (contract.pooling, contract.normalized, contract.distance) == ("cls", False, "Dot")
    assert (contract.dim, contract.max_length) == (768, 512)
    assert any("CLS, not normalised" in note for note in tasb_fp32.notes)


def test_minilms_layout_means_the_normalised_mean_of_256_tokens(minilm_fp32: Encoder) -> None:
    contract = minilm_fp32.contract
    assert (contract.pooling, contract.normalized, contract.dim, contract.max_length) == ("mean", True, 384, 256)
    assert any("mean, normalised" in note for note in minilm_fp32.notes)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls", "embedding_dimension": 32}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"word_embedding_dimension": 32}, "mean"),
    ],
)
def test_both_forms_of_the_pooling_file_are_read(tiny: Path, config: dict[str, Any], pooling: str) -> None:
    layout = read_layout(set_modules(tiny, "Transformer", "Pooling", pooling=config))
    assert (layout.pooling, layout.normalized) == (pooling, False)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"pooling_mode_max_tokens": True}, "max pooling"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, r"cls\+mean pooling"),
        ({"pooling_mode": "lasttoken"}, "lasttoken pooling"),
        ({"pooling_mode": 5}, "5 pooling"),
    ],
)
def test_another_pooling_is_refused_by_name(tiny: Path, config: dict[str, Any], named: str) -> None:
    set_modules(tiny, "Transformer", "Pooling", pooling=config)
    with pytest.raises(ModelError, match=f"asks for {named}; supported are cls and mean"):
        load_encoder(tiny)


def test_the_transformer_may_lie_in_its_own_folder(tiny: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    tiny.rename(outer / "0_Transformer")
    pooling = {"pooling_mode": "mean"}
    set_modules(outer, "Transformer", "Pooling", "Normalize", pooling=pooling, transformer="0_Transformer")
    (outer / "0_Transformer" / "sentence_distilbert_config.json").write_text('{"max_seq_length": 64}')
    contract = load_encoder(outer, device="cpu", precision="fp32").contract
    assert (contract.pooling, contract.normalized, contract.max_length) == ("mean", True, 64)


def test_a_layout_that_leads_out_of_its_folder_is_refused(tiny: Path) -> None:
    set_modules(tiny, "Transformer", "Pooling", pooling={}, transformer="../tiny")
    with pytest.raises(CorruptModelError, match="points outside the folder"):
        load_encoder(tiny)


def test_a_pooling_file_that_is_missing_is_named(tiny: Path) -> None:
    set_modules(tiny, "Transformer", "Pooling")
    with pytest.raises(ModelNotFoundError, match=r"1_Pooling has no config\.json"):
        load_encoder(tiny)


def test_a_prompt_left_out_of_the_mean_is_refused(tiny: Path) -> None:
    set_modules(tiny, "Transformer", "Pooling", pooling={"pooling_mode": "mean", "include_prompt": False})
    (tiny / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: "}}')
    with pytest.raises(ModelError, match="leaves the prompt out of the mean"):
        load_encoder(tiny)


@pytest.mark.parametrize("name", ["document", "passage", "corpus"])
def test_a_passage_prompt_is_found_under_each_of_its_names(tiny: Path, name: str) -> None:
    set_modules(tiny, "Transformer", "Pooling", pooling={"pooling_mode": "cls"})
    (tiny / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {name: "p: ", "query": None}}))
    layout: Layout = read_layout(tiny)
    assert (layout.query_prompt, layout.passage_prompt) == ("", "p: ")


def test_the_maximum_length_is_the_least_of_what_the_files_say(tiny: Path) -> None:
    settings = json.loads((tiny / "tokenizer_config.json").read_text())
    (tiny / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 100}))
    assert load_encoder(tiny, device="cpu").contract.max_length == 100
    (tiny / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 10**30}))
    assert load_encoder(tiny, device="cpu").contract.max_length == 512


@pytest.mark.parametrize("family", ["t5", "gpt2", None])
def test_an_unknown_architecture_is_refused_by_name(tiny: Path, family: str | None) -> None:
    change_config(tiny, model_type=family)
    with pytest.raises(ModelError, match=f"describes the architecture {family!r}; supported are bert, distilbert"):
        load_encoder(tiny)


@pytest.mark.parametrize("text", ["{", "[]", '"a"', "\xff"])
def test_a_config_that_is_no_json_object_is_corrupt(tiny: Path, text: str) -> None:
    (tiny / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CorruptModelError, match=r"config\.json"):
        load_encoder(tiny)
