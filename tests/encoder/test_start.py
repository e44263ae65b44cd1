"""A plain model starts without transformers, and gives what it gives with transformers, bit for bit."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.model.weights import hashing
from tasb_qdrant.errors import CorruptModelError, ModelNotFoundError
from tests.models import minilm_folder
from tests.waiting import PATIENCE

TEXTS = ["what is a vector?", "Naïve Café [SEP] 漢字", "word " * 30]
Tensors = dict[str, Any]


def tensors_of(folder: Path) -> Tensors:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def save(folder: Path, tensors: Tensors) -> None:
    from safetensors.torch import save_file

    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder: Path, precision: str = "fp32") -> Encoder:
    return load_encoder(folder, device="cpu", precision=precision)


def through_transformers(folder: Path, precision: str = "fp32") -> Encoder:
    """The same encoder after an entry that changes nothing, but that only transformers may judge."""
    path = folder / "config.json"
    content = path.read_text()
    path.write_text(json.dumps(json.loads(content) | {"entry_of_tomorrow": 1}))
    try:
        return load(folder, precision)
    finally:
        path.write_text(content)


def assert_same(ours: Encoder, theirs: Encoder) -> None:
    assert ours.contract == theirs.contract
    assert ours.notes == theirs.notes
    for mine, other in zip(ours.tokenize_passages(TEXTS), theirs.tokenize_passages(TEXTS), strict=True):  # type: ignore[call-overload]  # by __getitem__
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(ours.encode_passages(TEXTS), theirs.encode_passages(TEXTS))


@pytest.fixture
def minilm(tmp_path: Path) -> Path:
    return Path(shutil.copytree(minilm_folder(), tmp_path / "minilm"))


def test_a_plain_model_starts_without_transformers_and_leaves_nothing_for_the_first_query(tiny: Path) -> None:
    code = """
import json, sys
from tasb_qdrant.encoder import load_encoder
encoder = load_encoder(sys.argv[1], device="cpu")
loaded = set(sys.modules)
encoder.encode_queries(["x"])
print(json.dumps([sorted(name for name in sys.modules if "." not in name), sorted(set(sys.modules) - loaded)]))
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tiny)], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    modules, later = json.loads(run.stdout)
    assert "torch" in modules
    assert not {"transformers", "huggingface_hub", "torchvision", "scipy", "sklearn"} & set(modules)
    assert later == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["distilbert", "bert"])
def test_vectors_ids_contract_and_notes_are_those_of_the_model_that_transformers_builds(
    tiny: Path, minilm: Path, family: str, precision: str
) -> None:
    folder = tiny if family == "distilbert" else minilm
    assert_same(load(folder, precision), through_transformers(folder, precision))


def in_half(name: str) -> Callable[[Tensors], Tensors]:
    import torch

    return lambda tensors: {key: tensor.to(getattr(torch, name)) for key, tensor in tensors.items()}


def with_head(tensors: Tensors) -> Tensors:
    import torch

    head = {"vocab_projector.bias": torch.zeros(3), "vocab_layer_norm.weight": torch.zeros(2)}
    return {f"distilbert.{name}": tensor for name, tensor in tensors.items()} | head


def under_old_names(tensors: Tensors) -> Tensors:
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    return {
        next((name.replace(new, former) for new, former in old.items() if name.endswith(new)), name): tensor
        for name, tensor in tensors.items()
    }


def with_another(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    import torch

    return lambda tensors: tensors | {name: torch.zeros(shape)}


with_position_ids = with_another("embeddings.position_ids", 512)
with_a_second_bias = with_another("distilbert.transformer.layer.0.ffn.lin1.bias", 64)


@pytest.mark.parametrize(
    "change",
    [in_half("float16"), in_half("bfloat16"), with_head, under_old_names, with_position_ids, with_a_second_bias],
    ids=["fp16", "bf16", "with a head", "old names", "position ids", "with and without prefix"],
)
def test_weights_in_another_form_give_what_transformers_makes_of_them(
    tiny: Path, change: Callable[[Tensors], Tensors]
) -> None:
    save(tiny, change(tensors_of(tiny)))
    assert_same(load(tiny), through_transformers(tiny))


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        without("embeddings.LayerNorm.bias"),
        without("transformer.layer.0.attention.q_lin.bias"),
        with_another("transformer.layer.0.attention.q_lin.weight", 32, 31),
        with_another("embeddings.word_embeddings.weight", 30523, 32),
        with_another("embeddings.token_type_embeddings.weight", 2, 32),
        lambda tensors: {},
    ],
    ids=["no norm", "no bias", "a wrong shape", "more words", "BERT's types", "nothing"],
)
def test_weights_that_do_not_fit_get_the_same_error(tiny: Path, change: Callable[[Tensors], Tensors]) -> None:
    save(tiny, change(tensors_of(tiny)))
    with pytest.raises(CorruptModelError, match=r"don't fit its config\.json") as ours:
        load(tiny)
    with pytest.raises(CorruptModelError) as theirs:
        through_transformers(tiny)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loaded_model_stays_what_it_is_when_its_file_is_written_over(tiny: Path, precision: str) -> None:
    encoder = load(tiny, precision)
    before = encoder.encode_passages(TEXTS)
    path = tiny / "model.safetensors"
    path.write_bytes(bytes(path.stat().st_size))
    np.testing.assert_array_equal(encoder.encode_passages(TEXTS), before)


def test_files_are_hashed_as_one(tmp_path: Path) -> None:
    contents = [b"a" * (3 << 24), b"", b"bc"]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    with hashing([tmp_path / str(number) for number in range(3)]) as sha256:
        assert sha256() == hashlib.sha256(b"".join(contents)).hexdigest() == sha256()


def test_a_file_that_cannot_be_read_is_named_when_the_hash_is_asked_for(tmp_path: Path) -> None:
    with hashing([tmp_path]) as sha256, pytest.raises(ModelNotFoundError, match="can't be read"):
        sha256()


def test_an_error_while_hashing_is_the_one_that_is_raised(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    path.write_bytes(b"a" * (1 << 25))
    with pytest.raises(KeyboardInterrupt), hashing([path] * 10_000):
        raise KeyboardInterrupt
