"""What a model's folder declares of its vectors is followed, or refused by the setting's name; options come first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.errors import CorruptModelError, ModelError, SettingsError
from tests.encoder.conftest import SHARED_INPUTS
from tests.encoder.model.folders import chained, change, least_cosine, unit
from tests.models import TOKENIZER_FILES, minilm_folder

TEXTS = ["how do bees find food", "the sky at night " * 9, "x"]


def loaded(folder: Path, **options: Any) -> Encoder:
    return load_encoder(folder, device="cpu", precision="fp32", **options)


def noted(encoder: Encoder, words: str) -> bool:
    return any(words in note for note in encoder.notes)


def test_a_mean_that_declares_cosine_is_normalised_and_said_to_be(tiny: Path) -> None:
    plain = loaded(chained(tiny)).encode_passages(TEXTS)
    encoder = loaded(chained(tiny, similarity_fn_name="cosine"))
    assert encoder.contract.normalized
    np.testing.assert_allclose(encoder.encode_passages(TEXTS), unit(plain), atol=1e-6)
    assert noted(encoder, "the model declares cosine similarity. --no-normalize leaves them as they are")


def test_tas_bs_own_layout_stays_as_it_is_whatever_a_library_wrote_beside_it(tiny: Path) -> None:
    encoder = loaded(chained(tiny, pooling="cls", similarity_fn_name="cosine"))
    assert not encoder.contract.normalized
    assert noted(encoder, "not followed: libraries write it even where nobody chose, and the model pools by CLS")
    np.testing.assert_array_equal(encoder.encode_passages(TEXTS), loaded(plain_copy(tiny)).encode_passages(TEXTS))


def plain_copy(folder: Path) -> Path:
    """The same without a layout, as the hub has TAS-B."""
    copy = Path(shutil.copytree(folder, folder.with_name("plain")))
    (copy / "modules.json").unlink()
    return copy


def test_a_mean_whose_name_says_dot_is_not_normalised(tiny: Path) -> None:
    named = tiny.rename(tiny.with_name("msmarco-bert-base-dot-v5"))
    encoder = loaded(chained(named, similarity_fn_name="cosine"))
    assert not encoder.contract.normalized
    assert noted(encoder, "name says dot (msmarco-bert-base-dot-v5). --normalize follows it")
    assert loaded(named, normalize=True).contract.normalized


def test_a_declared_dot_product_is_followed(tiny: Path) -> None:
    encoder = loaded(chained(tiny, similarity_fn_name="dot"))
    assert not encoder.contract.normalized
    assert encoder.notes[0] == "Pooling is mean, not normalised, as the model's modules.json says."


def test_another_similarity_is_refused_until_somebody_chooses(tiny: Path) -> None:
    chained(tiny, similarity_fn_name="euclidean")
    with pytest.raises(ModelError, match=r"similarity 'euclidean' \(similarity_fn_name\).*give --normalize"):
        loaded(tiny)
    assert loaded(tiny, normalize=True).contract.normalized
    assert not loaded(tiny, normalize=False).contract.normalized


def test_normalising_can_be_asked_for_and_left_out(tiny: Path) -> None:
    plain = loaded(chained(tiny)).encode_passages(TEXTS)
    asked = loaded(tiny, normalize=True)
    np.testing.assert_allclose(asked.encode_passages(TEXTS), unit(plain), atol=1e-6)
    assert noted(asked, "Vectors are normalised, as was asked")
    left_out = loaded(chained(tiny, ("Normalize", None)), normalize=False)
    np.testing.assert_array_equal(left_out.encode_passages(TEXTS), plain)
    assert (left_out.contract.normalized, noted(left_out, "not normalised, as was asked")) == (False, True)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_declared_dimension_is_followed_and_normalised_after(tiny: Path, normalize: bool) -> None:
    whole = loaded(chained(tiny)).encode_passages(TEXTS)
    chained(tiny, *([("Normalize", None)] if normalize else []), truncate_dim=8)
    encoder = loaded(tiny)
    vectors = encoder.encode_passages(TEXTS)
    assert (encoder.contract.dim, encoder.contract.normalized, vectors.shape) == (8, normalize, (3, 8))
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(vectors, unit(whole[:, :8]) if normalize else whole[:, :8], atol=1e-6)
    assert noted(encoder, "Vectors are cut to the first 8 of 32 numbers")


def test_a_dimension_can_be_asked_for_up_to_the_models_own(tiny: Path) -> None:
    chained(tiny, truncate_dim=8)
    assert loaded(tiny, dim=16).contract.dim == 16
    assert loaded(tiny, dim=32).contract.dim == 32
    with pytest.raises(SettingsError, match="vectors have 32 numbers, and dim asks for 33"):
        loaded(tiny, dim=33)
    with pytest.raises(SettingsError, match="dim must be a whole number of at least 1, found 0"):
        loaded(tiny, dim=0)
    assert loaded(chained(tiny, truncate_dim=64)).contract.dim == 32  # as sentence-transformers has it


def test_a_dimension_that_is_no_number_is_named(tiny: Path) -> None:
    with pytest.raises(CorruptModelError, match="truncate_dim of '8'"):
        loaded(chained(tiny, truncate_dim="8"))


@pytest.mark.parametrize("name", ["query_length", "document_length", "query_expansion"])
def test_lengths_of_queries_alone_are_refused_by_name(tiny: Path, name: str) -> None:
    change(chained(tiny) / "sentence_bert_config.json", **{name: 32})
    with pytest.raises(ModelError, match=rf"sets {name} \(32\), which is not supported.*max_seq_length"):
        loaded(tiny)
    change(tiny / "sentence_bert_config.json", **{name: None})
    assert loaded(tiny).contract.max_length == 512


@pytest.mark.parametrize("plain", [True, False], ids=["our tokenizer", "transformers'"])
def test_texts_lose_the_end_that_the_tokenizer_says(tiny: Path, plain: bool) -> None:
    change(chained(tiny) / "sentence_bert_config.json", max_seq_length=6)
    change(tiny / "tokenizer_config.json", truncation_side="left", **({} if plain else {"unknown": 1}))
    encoder = loaded(tiny)
    whole = loaded(tiny, normalize=None)
    assert encoder.contract.truncation_side == "left"
    tokens = encoder.tokenize_passages(["one two three four five six seven", "one two"])
    kept = whole.tokenize_passages(["four five six seven"])
    np.testing.assert_array_equal(tokens[0], kept[0])
    assert tokens.truncated == 1
    change(tiny / "tokenizer_config.json", truncation_side="right")
    right = loaded(tiny)
    assert encoder.contract.differences(right.contract) == [("truncation side", "left", "right")]


@pytest.mark.parametrize(
    ("settings", "prompts"),
    [
        ({"prompts": {"all": "t: "}, "default_prompt_name": "all"}, ("t: ", "t: ")),
        ({"prompts": {"query": "", "document": "", "all": "t: "}, "default_prompt_name": "all"}, ("t: ", "t: ")),
        ({"prompts": {"query": "q: ", "all": "t: "}, "default_prompt_name": "all"}, ("q: ", "t: ")),
        ({"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": "query"}, ("q: ", "")),
        ({"prompts": {"query": "q: ", "passage": "p: "}, "default_prompt_name": None}, ("q: ", "p: ")),
    ],
)
def test_the_default_prompt_is_that_of_texts_without_their_own(
    tiny: Path, settings: dict[str, Any], prompts: tuple[str, str]
) -> None:
    contract = loaded(chained(tiny, **settings)).contract
    assert (contract.query_prompt, contract.passage_prompt) == prompts


def test_a_default_prompt_that_is_not_there_is_named(tiny: Path) -> None:
    with pytest.raises(CorruptModelError, match="sets default_prompt_name to 'all', and has no such prompt"):
        loaded(chained(tiny, default_prompt_name="all"))


def test_prompts_can_be_given(tiny: Path) -> None:
    chained(tiny, prompts={"query": "q: ", "document": "p: "})
    encoder = loaded(tiny, query_prompt="ask: ", passage_prompt="")
    assert (encoder.contract.query_prompt, encoder.contract.passage_prompt) == ("ask: ", "")
    bare = loaded(tiny, query_prompt="", passage_prompt="")
    np.testing.assert_array_equal(encoder.encode_queries(["bees"]), bare.encode_queries(["ask: bees"]))


def test_a_prompt_outside_of_the_mean_can_be_left_out(tiny: Path) -> None:
    chained(tiny, prompts={"query": "q: "})
    change(tiny / "1_Pooling" / "config.json", include_prompt=False)
    with pytest.raises(ModelError, match="leaves the prompt out of the mean"):
        loaded(tiny)
    assert loaded(tiny, query_prompt="").contract.query_prompt == ""


def test_workers_encode_as_was_asked(tiny: Path) -> None:
    chained(tiny, similarity_fn_name="cosine", truncate_dim=16)
    options: dict[str, Any] = {"dim": 8, "passage_prompt": "p: "}
    alone = loaded(tiny, **options)
    several = load_encoder(tiny, device="cpu,cpu", precision="fp32", **options)
    assert several.contract == alone.contract
    np.testing.assert_allclose(several.encode_passages(TEXTS), alone.encode_passages(TEXTS), atol=1e-6)


@pytest.mark.parametrize(("name", "dim"), [("model-cosine", 64), ("model-truncdim", 32)])
def test_folders_that_the_library_wrote_are_followed(tmp_path: Path, name: str, dim: int) -> None:
    """Against transformers, pooled here: mean, declared cosine, and a truncate_dim."""
    if not (SHARED_INPUTS / "models" / name).is_dir():
        pytest.skip(f"no {SHARED_INPUTS / 'models' / name}; set TASB_QDRANT_INPUTS to the folder of shared inputs")
    import torch
    from transformers import AutoConfig, AutoModel

    folder = Path(shutil.copytree(SHARED_INPUTS / "models" / name, tmp_path / name))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    torch.manual_seed(0)
    kind: Any = AutoModel  # has no annotations
    model = kind.from_config(AutoConfig.from_pretrained(folder)).eval()
    config = (folder / "config.json").read_text()
    model.save_pretrained(folder)
    (folder / "config.json").write_text(config)
    for file in TOKENIZER_FILES:
        if not (folder / file).exists():
            shutil.copyfile(minilm_folder() / file, folder / file)
    encoder = loaded(folder)
    tokens = encoder.tokenize_passages(TEXTS)
    with torch.inference_mode():
        hidden = [model(torch.from_numpy(tokens[n])[None].long()).last_hidden_state for n in range(len(TEXTS))]
    theirs = np.stack([one[0].mean(dim=0).numpy() for one in hidden])[:, :dim]
    assert least_cosine(encoder.encode_passages(TEXTS), theirs) > 0.99999
    assert (encoder.contract.normalized, encoder.contract.dim) == (True, dim)


def test_the_same_options_are_read_from_json_as_the_library_writes_it(tiny: Path) -> None:
    """Version 6 writes null and empty values for all that nobody chose: they change nothing."""
    chained(tiny, similarity_fn_name=None, truncate_dim=None)
    found = json.loads((tiny / "config_sentence_transformers.json").read_text())
    assert found["default_prompt_name"] is None
    contract = loaded(tiny).contract
    assert (contract.normalized, contract.dim, contract.query_prompt) == (False, 32, "")
