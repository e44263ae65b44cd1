"""A collection's contract names a model: what is loaded for it, and what its folder may ask of this machine."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasb_qdrant.encoder import load_cross_encoder, load_encoder
from tasb_qdrant.encoder.options import EncoderChoice
from tasb_qdrant.errors import ContractMismatchError, CorruptModelError, ModelNotFoundError, TasbQdrantError
from tests.encoder.model.fake_hub import FakeHub
from tests.encoder.model.folders import chained, change
from tests.encoder.model.test_adapter import adapter_of

SERVER = "http://127.0.0.1:6333"


def choice(model: str | Path | None = None) -> EncoderChoice:
    return EncoderChoice(model=model, device="cpu", precision="fp32")


def test_weights_that_the_hub_says_are_others_are_not_downloaded(hub: FakeHub, tiny: Path) -> None:
    contract = load_encoder(chained(tiny), device="cpu").contract
    hub.repos["some/model"] = tiny
    other = replace(contract, model="some/model", weights="0" * 64)
    with pytest.raises(
        ContractMismatchError, match=rf"has some/model \(000000000000\), .* \({contract.weights[:12]}\)"
    ):
        choice().load(other, collection="notes", location=SERVER)
    with pytest.raises(ContractMismatchError):
        choice("some/model").load(other, collection="notes")
    assert hub.downloads() == []
    same = replace(contract, model="some/model")
    assert choice().load(same, collection="notes", location=SERVER).contract.differences(contract) == []


def test_a_download_is_said_before_it_begins(hub: FakeHub, tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    hub.repos["some/model"] = chained(tiny)
    size = (tiny / "model.safetensors").stat().st_size

    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "tasb_qdrant.downloads"]

    with caplog.at_level(logging.INFO, logger="tasb_qdrant.downloads"):
        load_encoder("some/model", device="cpu")
        (sentence,) = said()
        load_encoder("some/model", device="cpu")  # cached: nothing to say
        assert said() == [sentence]
    assert f"Downloading the model some/model from {hub.url}:" in sentence
    assert float(sentence.split()[-2].replace(",", "")) >= round(size / 1e6, 1)


def test_a_folder_that_a_server_names_is_not_opened(
    hub: FakeHub, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = load_encoder(chained(tiny), device="cpu").contract
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny, tmp_path / "some" / "model")
    for name in (str(tiny), "some/model", "./some/model", "~/model", "file:///etc", "../x", ".."):
        with pytest.raises(ModelNotFoundError, match=r"'notes' was made with the model .*name it with --model"):
            choice().load(replace(contract, model=name), collection="notes", location=SERVER)
    # What a person names, and a store of this machine, are theirs.
    assert choice(tiny).load(contract, collection="notes", location=SERVER).contract.weights == contract.weights
    assert choice().load(contract, collection="notes", location=str(tmp_path)).contract.weights == contract.weights
    hub.repos["some/model"] = tiny
    choice().load(replace(contract, model="some/model"), collection="notes", location=SERVER)
    assert "model.safetensors" in hub.downloads()  # and not the folder of that name


def test_the_base_of_an_adapter_from_the_hub_is_no_folder_here(hub: FakeHub, tiny: Path, tmp_path: Path) -> None:
    adapter = chained(adapter_of(tiny, tmp_path / "adapter"))
    change(adapter / "adapter_config.json", base_model_name_or_path=str(tiny))
    hub.repos["some/adapter"] = adapter
    load_encoder(adapter, device="cpu")
    with pytest.raises(ModelNotFoundError, match=r"base model .* is a folder that a server names"):
        load_encoder("some/adapter", device="cpu")


def test_a_corpus_folder_is_last_where_a_payload_model_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasb_qdrant.cli.payload_model import model_named

    (tmp_path / "articles_of_this_test.py").write_text("import pydantic\nclass A(pydantic.BaseModel): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    model_named("articles_of_this_test:A")
    assert sys.path[-1] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


SIZES: dict[str, dict[str, object]] = {
    "layers": {"num_hidden_layers": 10**9, "n_layers": 10**9},
    "layers of another kind": {"num_hidden_layers": 10**9, "n_layers": 10**9, "unusual": 1},
    "labels": {"num_labels": 10**9, "unusual": 1},
    "rows": {"vocab_size": 2**24},
    "positions": {"max_position_embeddings": 2**24, "unusual": 1},
    "positions beyond all": {"max_position_embeddings": 10**18},
    "width": {"dim": 2**19, "hidden_size": 2**19, "n_heads": 1, "num_attention_heads": 1},
    "a float": {"n_layers": 1e300, "num_hidden_layers": 1e300},
    "negative": {"dim": -32, "hidden_size": -32},
    "a string": {"dim": "32", "hidden_size": "32"},
    "a list": {"n_layers": [1] * 9, "num_hidden_layers": {"a": 1}},
    "null": {"n_heads": None, "num_attention_heads": None},
    "true": {"n_layers": True, "vocab_size": True},
}


@pytest.mark.parametrize("kind", SIZES)
def test_a_config_that_asks_for_too_much_is_refused_before_anything_is_built(tiny: Path, kind: str) -> None:
    change(tiny / "config.json", **SIZES[kind])
    with pytest.raises(TasbQdrantError, match=r"config\.json|weights|tokenizer"):
        load_encoder(tiny, device="cpu")


def test_what_nobody_foresaw_of_a_model_is_named(tiny: Path) -> None:
    change(tiny / "config.json", activation="__import__('os')", hidden_act="__import__('os')")
    with pytest.raises(CorruptModelError, match="no model can be built"):
        load_encoder(tiny, device="cpu")


def test_a_prompt_that_is_no_text_is_named(tiny: Path) -> None:
    chained(tiny, prompts={"query": "\ud800"})
    with pytest.raises(CorruptModelError, match="half of a surrogate pair"):
        load_encoder(tiny, device="cpu")


def test_a_tokenizer_of_endless_added_tokens_is_refused(tiny: Path) -> None:
    path = tiny / "tokenizer.json"
    added = [{"id": 40_000 + number, "content": f"t{number}", "special": False} for number in range(20_001)]
    change(path, added_tokens=added)
    change(tiny / "config.json", unusual=1)  # so that transformers reads it
    with pytest.raises(CorruptModelError, match="added tokens"):
        load_encoder(tiny, device="cpu")


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [os.mkfifo, _socket], ids=["FIFO", "socket"])
@pytest.mark.parametrize(
    "name", ["config.json", "modules.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json", "extra"]
)
def test_what_is_no_file_is_named_and_not_waited_for(tiny: Path, name: str, make: Callable[[Path], None]) -> None:
    chained(tiny)
    (tiny / name).unlink(missing_ok=True)
    make(tiny / name)
    with pytest.raises(CorruptModelError, match="neither a file nor a folder"):
        load_encoder(tiny, device="cpu")
    if "/" not in name:
        with pytest.raises(CorruptModelError, match="neither a file nor a folder"):
            load_cross_encoder(tiny, device="cpu")


def test_a_link_to_a_device_is_not_read_and_a_huge_json_file_neither(tiny: Path) -> None:
    (tiny / "config.json").unlink()
    (tiny / "config.json").symlink_to("/dev/zero")
    with pytest.raises(CorruptModelError, match="a device"):
        load_encoder(tiny, device="cpu")
    (tiny / "config.json").unlink()
    with (tiny / "config.json").open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(CorruptModelError, match="more than 67,108,864 bytes"):
        load_encoder(tiny, device="cpu")


def test_an_honest_config_of_shared_layers_is_allowed(tiny: Path) -> None:
    """ALBERT's layers share their weights: twelve of them are in the file once."""
    from tasb_qdrant.encoder.model.bounds import check_sizes, check_weights
    from tasb_qdrant.encoder.model.weights import WeightFiles

    folder = tiny
    albert = {
        "vocab_size": 30_000,
        "embedding_size": 128,
        "hidden_size": 4096,
        "intermediate_size": 16_384,
        "num_hidden_layers": 12,
        "max_position_embeddings": 512,
        "num_attention_heads": 64,
    }
    (folder / "config.json").write_text(json.dumps(albert))
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(892 * 10**6)
    check_sizes(folder, albert)
    check_weights(folder, WeightFiles((folder / "model.safetensors",), safe=True))
