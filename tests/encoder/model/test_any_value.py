"""Any JSON in any place of a model's files: it loads, or it is refused by name, before much is built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from safetensors.numpy import save_file

from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder.load import known_contract
from tasb_qdrant.encoder.model.entries import UnusualModelError
from tasb_qdrant.encoder.model.entries import read_object as read_unusual
from tasb_qdrant.encoder.model.json_files import read_json
from tasb_qdrant.errors import CorruptModelError, ModelError
from tests.encoder.model.folders import chained, change
from tests.faults.corpus import make_model

DEEP: Final = "[" * 300 + "]" * 300
OTHERS: Final[tuple[Any, ...]] = (None, True, -1, 1.5, 10**400, 1e308, "x", [], [None], {"": {}})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer and few words, which transformers loads in no time. Read only."""
    return make_model(tmp_path_factory.mktemp("any") / "model")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "model"))


@pytest.mark.parametrize("name", ["model_max_length", "model_input_names", "padding_side"])
def test_any_value_of_a_tokenizers_settings_is_right_or_named(folder: Path, name: str) -> None:
    right = json.loads((folder / "tokenizer_config.json").read_text())
    for other in OTHERS:
        (folder / "tokenizer_config.json").write_text(json.dumps(right | {name: other, "unusual": 1}))
        try:
            assert load_encoder(folder, device="cpu").encode_queries(["bee owl"]).shape[0] == 1
        except ModelError as error:
            assert "; " in str(error)  # noqa: PT017  # what to do; some values are right


def test_a_length_that_is_a_float_is_the_same_number(folder: Path) -> None:
    change(folder / "tokenizer_config.json", model_max_length=12.0, unusual=1)
    assert known_contract(folder).max_length == 12
    change(folder / "tokenizer_config.json", model_max_length=1e30)
    assert known_contract(folder).max_length > 12
    change(folder / "tokenizer_config.json", model_max_length=12.5)
    with pytest.raises(CorruptModelError, match=r"model_max_length of 12\.5; expected a positive whole number"):
        known_contract(folder)


@pytest.mark.parametrize("name", ["n_layers", "dim", "hidden_dim", "pad_token_id", "max_position_embeddings"])
def test_any_value_of_a_size_is_right_or_named(folder: Path, name: str) -> None:
    right = json.loads((folder / "config.json").read_text())
    for other in OTHERS:
        (folder / "config.json").write_text(json.dumps(right | {name: other, "unusual": 1}))
        try:
            known_contract(folder)
        except ModelError as error:
            assert str(folder) in str(error)  # noqa: PT017  # some values are right


@pytest.mark.parametrize("unusual", [{}, {"unusual": 1}], ids=["plain", "for transformers"])
@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"n_layers": 1_000}, "asks for 1,000 layers, and the weights are 20 tensors"),
        ({"id2label": {str(number): "x" for number in range(70_000)}}, "70,000 entries in id2label"),
    ],
    ids=["layers", "labels"],
)
def test_what_takes_long_to_build_is_refused_by_its_size(
    folder: Path, asked: dict[str, Any], problem: str, unusual: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", _never)
    change(folder / "config.json", **asked, **unusual)
    with pytest.raises(CorruptModelError, match=problem):
        load_encoder(folder, device="cpu")


def test_a_tokenizer_of_more_words_than_the_model_has_is_not_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", _never)
    words = json.loads((folder / "tokenizer.json").read_text())["model"]
    words["vocab"] |= {f"word{number}": 1_000 + number for number in range(500)}
    change(folder / "tokenizer.json", model=words, unusual=1)
    with pytest.raises(CorruptModelError, match="the model embeds"):
        load_encoder(folder, device="cpu")


def _never(*_: Any, **__: Any) -> None:
    pytest.fail("it was built")


def test_json_nested_without_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in (DEEP, '{"a":' * 300 + "1" + "}" * 300, "[" * 100_000):
        path.write_text(text)
        with pytest.raises(CorruptModelError, match=r"config\.json"):
            read_json(path)
        with pytest.raises(UnusualModelError):
            read_unusual(path)


def _index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("[" * 100_000)


def _dense(folder: Path) -> None:
    config = {"in_features": 8, "out_features": 2**60, "activation_function": "torch.nn.Identity"}
    chained(folder, ("Dense", config))
    save_file({"linear.weight": np.ones((2, 8), dtype=np.float32)}, folder / "2_Dense" / "model.safetensors")


def _adapter(**config: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        settings = {"peft_type": "LORA", "base_model_name_or_path": str(folder), "r": 4, "lora_alpha": 8} | config
        (folder / "adapter_config.json").write_text(json.dumps(settings))

    return make


@pytest.mark.parametrize(
    "spoil",
    [
        _index,
        _dense,
        _adapter(lora_alpha=10**400),
        _adapter(lora_alpha=float("nan")),
        _adapter(r=10**400, use_rslora=True),
        _adapter(base_model_name_or_path="a\0b"),
        _adapter(base_model_name_or_path="\ud800"),
    ],
    ids=["index", "Dense", "alpha", "NaN", "rank", "NUL", "surrogate"],
)
def test_numbers_and_names_that_nothing_can_be_made_of_are_named(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder)
    with pytest.raises(ModelError):
        load_encoder(folder, device="cpu")
