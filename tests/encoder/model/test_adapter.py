"""A LoRA adapter is merged into its base where that is at hand; else the error says what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.errors import CorruptModelError, HubUnreachableError, ModelError, ModelNotFoundError
from tests.encoder.conftest import SHARED_INPUTS
from tests.encoder.model.folders import change

TEXTS = ["how do bees find food", "the sky at night " * 9, "x"]
MODULES = ("q_lin", "v_lin")


def loaded(folder: Path, **options: Any) -> Encoder:
    return load_encoder(folder, device="cpu", precision="fp32", **options)


def adapter_of(base: Path, folder: Path, *, prefix: str = "base_model.model.", **config: Any) -> Path:
    """A random adapter of rank 4 for the query and value products of `base`, as peft writes it."""
    folder.mkdir(exist_ok=True)
    settings = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(base),
        "r": 4,
        "lora_alpha": 8,
        "bias": "none",
        "target_modules": list(MODULES),
        "task_type": "FEATURE_EXTRACTION",
        "use_dora": False,
        "use_rslora": False,
        "modules_to_save": None,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))
    generator = torch.Generator().manual_seed(3)
    changes = {}
    for name in MODULES:
        at = f"{prefix}transformer.layer.0.attention.{name}"
        changes[f"{at}.lora_A.weight"] = torch.randn(4, 32, generator=generator)
        changes[f"{at}.lora_B.weight"] = torch.randn(32, 4, generator=generator)
    save_file(changes, folder / "adapter_model.safetensors")
    return folder


def merged_by_hand(base: Path, adapter: Path, folder: Path, scale: float) -> Path:
    shutil.copytree(base, folder)
    weights, changes = load_file(base / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    for name in MODULES:
        at = f"transformer.layer.0.attention.{name}"
        a, b = (changes[f"base_model.model.{at}.lora_{side}.weight"] for side in "AB")
        weights[f"{at}.weight"] = weights[f"{at}.weight"] + scale * b @ a
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(("config", "scale"), [({}, 2.0), ({"use_rslora": True}, 4.0), ({"lora_alpha": 1}, 0.25)])
def test_an_adapter_is_merged_into_its_base(tiny: Path, tmp_path: Path, config: dict[str, Any], scale: float) -> None:
    adapter = adapter_of(tiny, tmp_path / "adapter", **config)
    whole = loaded(merged_by_hand(tiny, adapter, tmp_path / "whole", scale))
    ours = loaded(adapter)
    np.testing.assert_allclose(ours.encode_passages(TEXTS), whole.encode_passages(TEXTS), atol=1e-5)
    assert not np.allclose(ours.encode_passages(TEXTS), loaded(tiny).encode_passages(TEXTS), atol=1e-3)
    assert any(f"is merged into its base, {tiny}" in note for note in ours.notes)


def test_the_adapter_is_part_of_the_models_identity(tiny: Path, tmp_path: Path) -> None:
    adapter = adapter_of(tiny, tmp_path / "adapter")
    contracts = [loaded(tiny).contract, loaded(adapter).contract]
    change(adapter / "adapter_config.json", lora_alpha=16)
    contracts.append(loaded(adapter).contract)
    assert len({contract.weights for contract in contracts}) == 3


def test_a_base_is_found_beside_the_adapter_and_weights_with_a_prefix_are_known(tiny: Path, tmp_path: Path) -> None:
    adapter = adapter_of(tiny, tmp_path / "adapter")
    expected = loaded(adapter).encode_passages(TEXTS)
    shutil.copytree(tiny, adapter / "base")
    weights = load_file(tiny / "model.safetensors")
    save_file(
        {f"distilbert.{name}": value for name, value in weights.items()},
        adapter / "base" / "model.safetensors",
        metadata={"format": "pt"},
    )
    change(adapter / "adapter_config.json", base_model_name_or_path="base")
    np.testing.assert_array_equal(loaded(adapter).encode_passages(TEXTS), expected)


def test_the_adapters_own_tokenizer_comes_first(tiny: Path, tmp_path: Path) -> None:
    adapter = adapter_of(tiny, tmp_path / "adapter")
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        shutil.copyfile(tiny / name, adapter / name)
    change(adapter / "tokenizer_config.json", model_max_length=77)
    assert loaded(adapter).contract.max_length == 77


@pytest.mark.usefixtures("hub_cache")
def test_a_base_that_is_nowhere_is_named(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    adapter = adapter_of(tiny, tmp_path / "adapter", base_model_name_or_path="models/hf-distil")
    with pytest.raises(HubUnreachableError, match="is a LoRA adapter, and its base model 'models/hf-distil' can't be"):
        loaded(adapter)
    change(adapter / "adapter_config.json", base_model_name_or_path="/no/such/folder")
    with pytest.raises(ModelNotFoundError, match=r"Set base_model_name_or_path in adapter_config\.json to the base's"):
        loaded(adapter)
    change(adapter / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(ModelError, match="doesn't name its base model"):
        loaded(adapter)


@pytest.mark.usefixtures("hub_cache")
def test_the_librarys_own_folder_asks_for_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SHARED_INPUTS / "models" / "model-lora"
    if not source.is_dir():
        pytest.skip(f"no {source}; set TASB_QDRANT_INPUTS to the folder of shared inputs")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = Path(shutil.copytree(source, tmp_path / "model-lora"))
    folder.chmod(0o755)
    save_file({"base_model.model.x.lora_A.weight": torch.zeros(4, 2)}, folder / "adapter_model.safetensors")
    with pytest.raises(HubUnreachableError, match="its base model 'models/hf-distil' can't be loaded"):
        loaded(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "IA3"),
        ("use_dora", True),
        ("bias", "all"),
        ("modules_to_save", ["head"]),
        ("rank_pattern", {"q": 2}),
    ],
)
def test_another_kind_of_adapter_is_refused_by_its_setting(tiny: Path, tmp_path: Path, key: str, value: Any) -> None:
    adapter = adapter_of(tiny, tmp_path / "adapter")
    change(adapter / "adapter_config.json", **{key: value})
    with pytest.raises(ModelError, match=rf"sets {key} to .*only plain LoRA adapters.*merge_and_unload"):
        loaded(adapter)


def test_an_adapter_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    adapter = adapter_of(tiny, tmp_path / "adapter")
    changes = load_file(adapter / "adapter_model.safetensors")
    save_file(changes | {"classifier.weight": torch.zeros(2)}, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"holds classifier\.weight, which is no LoRA matrix"):
        loaded(adapter)
    other = {name.replace("layer.0", "layer.5"): value for name, value in changes.items()}
    save_file(other, adapter / "adapter_model.safetensors")
    with pytest.raises(CorruptModelError, match=r"layer\.5\.attention.* don't fit the base"):
        loaded(adapter)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"adapter_model\.safetensors is not there"):
        loaded(adapter)


def test_an_adapter_of_an_adapter_is_refused(tiny: Path, tmp_path: Path) -> None:
    first = adapter_of(tiny, tmp_path / "first")
    with pytest.raises(ModelError, match="is an adapter of another adapter"):
        loaded(adapter_of(first, tmp_path / "second"))
