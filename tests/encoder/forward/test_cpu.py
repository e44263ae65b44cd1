"""The fast forward pass gives the reference's vectors, and steps aside where it can't."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.batching import BatchedEncoder
from tasb_qdrant.encoder.forward.cpu import FastForward
from tasb_qdrant.encoder.forward.reference import ReferenceForward
from tasb_qdrant.encoder.hardware import Hardware
from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.errors import SettingsError
from tests.models import make_tasb_like, minilm_folder

LENGTHS = [512, 1, 2, 16, 17, 75, 75, 75, 80, 33, 500, 3]


def forward_of(encoder: Encoder) -> object:
    assert isinstance(encoder, BatchedEncoder)
    return encoder._forward


@cache
def reference(folder: Path) -> Encoder:
    return load_encoder(folder, device="cpu", precision="fp32", forward="reference")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers with heads of 12 dimensions, which no tile is made for."""
    return make_tasb_like(tmp_path_factory.mktemp("small"), layers=2, dim=48, heads=4, hidden=96)


@pytest.fixture(scope="module")
def bert_with_cls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM's weights with CLS pooling, not normalised: BERT without modules.json."""
    folder = tmp_path_factory.mktemp("bert-cls")
    for path in minilm_folder().iterdir():
        if path.is_file() and path.name != "modules.json":
            (folder / path.name).symlink_to(path)
    return folder


def tokens(lengths: Sequence[int]) -> TokenBatch:
    """Random ids between CLS and SEP; a length of 1 has no room for the second."""
    chosen = random.Random(str(lengths))
    ids = [[101, *(chosen.randrange(1000, 30000) for _ in range(n - 2)), 102][:n] for n in lengths]
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    return TokenBatch(np.array([i for text in ids for i in text], dtype=np.int32), offsets, 0)


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return found


def test_the_fast_forward_pass_is_the_one_that_is_chosen(tasb_fp32: Encoder, minilm_fp32: Encoder) -> None:
    for encoder in (tasb_fp32, minilm_fp32):
        assert isinstance(forward_of(encoder), FastForward)
        assert not any("forward pass" in note for note in encoder.notes)
    assert isinstance(forward_of(reference(minilm_folder())), ReferenceForward)


@pytest.mark.parametrize("model", ["tas-b", "minilm", "bert with cls", "small"])
def test_fp32_vectors_are_the_references_at_every_length(
    model: str, tasb_like: Path, small: Path, bert_with_cls: Path
) -> None:
    folder = {"tas-b": tasb_like, "minilm": minilm_folder(), "bert with cls": bert_with_cls, "small": small}[model]
    fast = load_encoder(folder, device="cpu", precision="fp32", forward="fast")
    batch = tokens(LENGTHS)
    ours, theirs = fast.encode_tokens(batch), reference(folder).encode_tokens(batch)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["small", "minilm"])
def test_a_text_alone_has_the_references_vector_whatever_its_length(model: str, small: Path) -> None:
    folder = {"small": small, "minilm": minilm_folder()}[model]
    fast = load_encoder(folder, device="cpu", precision="fp32", forward="fast")
    for length in [1, 2, 3, 4, 5, 8, 9, 15, 17, 30, 63, 64, 65]:
        batch = tokens([length])
        ours, theirs = fast.encode_tokens(batch), reference(folder).encode_tokens(batch)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5, err_msg=f"{length} tokens")


@settings(max_examples=15, deadline=None)
@given(data=st.data(), lengths=st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_a_batch_gives_what_its_texts_give_alone_in_any_order(
    small: Path, data: st.DataObject, lengths: list[int]
) -> None:
    forward = fast_small(small)
    batch = tokens(lengths)
    alone = np.concatenate([forward([batch[i]]) for i in range(len(batch))])
    order = data.draw(st.permutations(range(len(batch))))
    np.testing.assert_allclose(forward([batch[i] for i in order]), alone[list(order)], rtol=0, atol=1e-5)


@cache
def fast_small(folder: Path) -> FastForward:
    forward = forward_of(load_encoder(folder, device="cpu", precision="fp32"))
    assert isinstance(forward, FastForward)
    return forward


@pytest.mark.parametrize("model", ["tas-b", "minilm"])
def test_bf16_keeps_the_direction_of_the_reference_in_fp32(model: str, tasb_like: Path) -> None:
    folder = tasb_like if model == "tas-b" else minilm_folder()
    fast = load_encoder(folder, device="cpu", precision="bf16")
    if not isinstance(forward_of(fast), FastForward):
        pytest.skip("this CPU has no instructions for bf16")
    found = cosines(fast.encode_tokens(tokens(LENGTHS)), reference(folder).encode_tokens(tokens(LENGTHS)))
    assert found.min() >= 0.999
    assert found.min() < 1.0, "bf16 asked for, fp32 computed"
    for length in (1, 6, 12, 31):
        alone = tokens([length])
        assert cosines(fast.encode_tokens(alone), reference(folder).encode_tokens(alone)).min() >= 0.999


def test_several_threads_get_the_vectors_that_one_gets(tasb_fp32: Encoder) -> None:
    batch = tokens([5, 40, 17, 5, 80])
    alone = tasb_fp32.encode_tokens(batch)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(tasb_fp32.encode_tokens, [batch] * 4):
            np.testing.assert_allclose(vectors, alone, rtol=0, atol=1e-5)


def test_a_model_with_another_activation_takes_the_reference_and_says_so(tiny: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps(config | {"activation": "relu"}))
    encoder = load_encoder(tiny, device="cpu", precision="fp32")
    assert isinstance(forward_of(encoder), ReferenceForward)
    assert "The forward pass is transformers', the slow one: the model's activation is relu." in encoder.notes
    with pytest.raises(SettingsError, match="no fast forward pass here: the model's activation is relu"):
        load_encoder(tiny, device="cpu", precision="fp32", forward="fast")


def test_a_model_of_another_family_takes_the_reference_and_says_so(tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    from tasb_qdrant.encoder.forward.choice import build_forward
    from tasb_qdrant.encoder.model.config import read_config
    from tasb_qdrant.encoder.model.layout import Layout

    model = RobertaModel(RobertaConfig(num_hidden_layers=1, hidden_size=12, intermediate_size=8, vocab_size=9))
    model.config.save_pretrained(tmp_path)
    layout, here = Layout(tmp_path), Hardware("cpu", "fp32", ())
    forward, notes = build_forward("auto", read_config(tmp_path), model.state_dict(), layout=layout, hardware=here)
    assert isinstance(forward, ReferenceForward)
    assert notes == ("The forward pass is transformers', the slow one: the model is roberta.",)


def test_a_forward_pass_that_does_not_exist_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(SettingsError, match="no forward pass 'quick'; there are auto, fast, reference"):
        load_encoder("nobody/nothing", forward="quick")
