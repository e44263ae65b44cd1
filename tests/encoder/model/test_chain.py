"""Modules after pooling are followed as sentence-transformers does, and the others are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.forward.head import with_head
from tasb_qdrant.encoder.model.layout import Layout
from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.errors import CorruptModelError, ModelError, UnsafeWeightsError
from tests.encoder.model.folders import chained, change, least_cosine

TEXTS = ["how do bees find food", "the sky at night " * 9, "x"]


def loaded(folder: Path, **options: Any) -> Encoder:
    return load_encoder(folder, device="cpu", precision="fp32", **options)


def dense(inputs: int, outputs: int, activation: str = "Tanh", **more: Any) -> tuple[str, dict[str, Any]]:
    return "Dense", {
        "in_features": inputs,
        "out_features": outputs,
        "bias": True,
        "activation_function": f"torch.nn.modules.activation.{activation}",
    } | more


def weighted(folder: Path, module: nn.Module, prefix: str) -> nn.Module:
    """`module` with random weights, which are saved in `folder` as the library names them."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(5)
        for parameter in module.parameters():
            parameter.normal_()
    save_file({f"{prefix}.{name}": value for name, value in module.state_dict().items()}, folder / "model.safetensors")
    return module.eval()


def pooled(folder: Path) -> NDArray[np.float32]:
    """The vectors of the same model without the modules after pooling."""
    return loaded(chained(folder)).encode_passages(TEXTS)


def through(module: nn.Module, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        result: NDArray[np.float32] = module(torch.from_numpy(vectors)).numpy()
    return result


def test_a_module_of_training_alone_changes_nothing(tiny: Path) -> None:
    plain = pooled(tiny)
    encoder = loaded(chained(tiny, ("Dropout", {"dropout": 0.5}), pooling="mean"))
    np.testing.assert_array_equal(encoder.encode_passages(TEXTS), plain)
    assert encoder.contract.pooling == "mean"


@pytest.mark.parametrize("activation", ["Tanh", "ReLU", "GELU", "SiLU", "Sigmoid"])
def test_a_dense_module_is_followed(tiny: Path, activation: str) -> None:
    plain = pooled(tiny)
    chained(tiny, dense(32, 20, activation))
    module = weighted(tiny / "2_Dense", nn.Linear(32, 20), "linear")
    theirs = through(nn.Sequential(module, getattr(nn, activation)()), plain)
    encoder = loaded(tiny)
    assert (encoder.contract.pooling, encoder.contract.dim) == (f"mean+Dense({activation})", 20)
    np.testing.assert_allclose(encoder.encode_passages(TEXTS), theirs, atol=1e-5)


def test_a_dense_module_without_bias_or_activation_is_followed(tiny: Path) -> None:
    plain = pooled(tiny)
    identity = "torch.nn.modules.linear.Identity"
    chained(tiny, dense(32, 20, bias=False, activation_function=identity))
    module = weighted(tiny / "2_Dense", nn.Linear(32, 20, bias=False), "linear")
    assert loaded(tiny).contract.pooling == "mean+Dense"
    np.testing.assert_allclose(loaded(tiny).encode_passages(TEXTS), through(module, plain), atol=1e-5)


def test_modules_are_followed_in_their_order_and_normalised_last(tiny: Path) -> None:
    plain = pooled(tiny)
    chained(
        tiny,
        ("Normalize", None),
        dense(32, 20),
        ("Dropout", {"dropout": 0.1}),
        ("LayerNorm", {"dimension": 20}),
        ("Normalize", None),
    )
    linear = weighted(tiny / "3_Dense", nn.Linear(32, 20), "linear")
    norm = weighted(tiny / "5_LayerNorm", nn.LayerNorm(20), "norm")
    theirs = through(nn.Sequential(linear, nn.Tanh(), norm), plain / np.linalg.norm(plain, axis=1, keepdims=True))
    encoder = loaded(tiny, dim=8)
    assert encoder.contract.pooling == "mean+Normalize+Dense(Tanh)+LayerNorm"
    vectors = encoder.encode_passages(TEXTS)
    assert least_cosine(vectors, theirs[:, :8]) > 0.99999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.contract.normalized


def test_the_weights_of_a_module_are_part_of_the_models_identity(tiny: Path) -> None:
    chained(tiny, dense(32, 20))
    weighted(tiny / "2_Dense", nn.Linear(32, 20), "linear")
    first = loaded(tiny).contract
    save_file({"linear.weight": torch.zeros(20, 32), "linear.bias": torch.ones(20)}, tiny / "2_Dense/model.safetensors")
    assert [what for what, _, _ in first.differences(loaded(tiny).contract)] == ["model"]


@pytest.mark.parametrize("kind", ["Router", "Asym"])
def test_a_model_with_two_encoders_is_refused_by_name(tiny: Path, kind: str) -> None:
    chained(tiny)
    (tiny / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": "", "type": f"sentence_transformers.models.{kind}"}])
    )
    with pytest.raises(ModelError, match=f"holds a {kind}, which encodes queries and passages by different models"):
        loaded(tiny)


@pytest.mark.parametrize("kind", ["custom_st.Transformer", "modeling.Pooling"])
def test_a_class_that_comes_with_the_model_is_refused_by_name_whatever_its_own(tiny: Path, kind: str) -> None:
    listed = json.loads((chained(tiny) / "modules.json").read_text())
    listed[kind.endswith("Pooling")]["type"] = kind
    (tiny / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ModelError, match=f"chains {kind}, a class that comes with the model"):
        loaded(tiny)


@pytest.mark.parametrize("kind", ["LSTM", "CNN", "MultiVectorMask", "WeightedLayerPooling"])
def test_a_module_that_is_not_supported_is_refused_by_name(tiny: Path, kind: str) -> None:
    with pytest.raises(ModelError, match=f"chains the module {kind}, which is not supported"):
        loaded(chained(tiny, (kind, None)))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"activation_function": "evil.Module"}, "asks for the activation 'evil.Module'"),
        ({"activation_function": "torch.nn.modules.activation.Softshrink"}, "Softshrink'; supported are torch's"),
        ({"module_input_name": "token_embeddings"}, "sets module_input_name to 'token_embeddings'"),
        ({"use_residual": True}, "sets use_residual"),
    ],
)
def test_a_dense_module_of_another_kind_is_refused_by_name(tiny: Path, more: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        loaded(chained(tiny, dense(32, 20, **more)))


def test_modules_that_do_not_fit_each_other_are_corrupt(tiny: Path) -> None:
    chained(tiny, dense(31, 20))
    weighted(tiny / "2_Dense", nn.Linear(31, 20), "linear")
    with pytest.raises(CorruptModelError, match=r"the Dense\(Tanh\) module .* expects vectors of 31 numbers, and gets"):
        loaded(tiny)
    change(tiny / "2_Dense" / "config.json", in_features=32)
    with pytest.raises(CorruptModelError, match=r"the weights in .*2_Dense don't fit"):
        loaded(tiny)
    change(tiny / "2_Dense" / "config.json", in_features="32")
    with pytest.raises(CorruptModelError, match="has a in_features of '32'"):
        loaded(tiny)


def test_pickle_weights_of_a_module_load_only_where_allowed(tiny: Path, hub_cache: Path) -> None:
    plain = pooled(tiny)
    chained(tiny, dense(32, 20))
    module = weighted(tiny / "2_Dense", nn.Linear(32, 20), "linear")
    (tiny / "2_Dense" / "model.safetensors").unlink()
    torch.save({f"linear.{k}": v for k, v in module.state_dict().items()}, tiny / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(UnsafeWeightsError, match="2_Dense holds pickle weights only"):
        loaded(tiny)
    vectors = loaded(tiny, allow_pickle=True).encode_passages(TEXTS)
    np.testing.assert_allclose(vectors, through(nn.Sequential(module, nn.Tanh()), plain), atol=1e-5)


class Pipelined:
    """A forward pass that doesn't wait: each vector is (number of tokens, 1, 2)."""

    def submit(self, tokens: TokenBatch) -> Pipelined:
        self.vectors = np.stack([np.array([length, 1, 2], dtype=np.float32) for length in tokens.lengths])
        return self

    def result(self) -> NDArray[np.float32]:
        return self.vectors


def test_a_forward_pass_that_does_not_wait_keeps_doing_so(tmp_path: Path) -> None:
    forward = with_head(Pipelined(), Layout(tmp_path, dim=2, normalized=True), [])
    batch = TokenBatch.of([np.arange(4, dtype=np.int32), np.arange(2, dtype=np.int32)])
    assert not callable(forward)
    np.testing.assert_allclose(
        forward.submit(batch).result(), [[4 / 17**0.5, 1 / 17**0.5], [2 / 5**0.5, 1 / 5**0.5]], rtol=1e-6
    )
