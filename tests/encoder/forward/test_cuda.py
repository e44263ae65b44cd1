"""The forward pass for GPUs gives the reference's vectors: its arithmetic on any machine, its kernels on a GPU."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import PreTrainedModel

from tasb_qdrant.encoder.forward import cuda_model
from tasb_qdrant.encoder.forward.cuda import CudaForward, UnfitForwardError, checked_cuda_forward
from tasb_qdrant.encoder.forward.cuda_attention import attention_on, why_no_attention
from tasb_qdrant.encoder.forward.cuda_batch import Shape, batch_in, shape_of, staged
from tasb_qdrant.encoder.forward.cuda_graphs import LENGTHS as GRAPH_LENGTHS
from tasb_qdrant.encoder.forward.cuda_kernels import Kernels, add_norm, embed_norm, product_gelu
from tasb_qdrant.encoder.forward.cuda_model import CudaModel
from tasb_qdrant.encoder.forward.encoder_weights import EncoderWeights, Norm, read_weights
from tasb_qdrant.encoder.forward.reference import ReferenceForward, build_model
from tasb_qdrant.encoder.forward.self_check import disagreement, trial_texts
from tasb_qdrant.encoder.model.config import general_config
from tasb_qdrant.encoder.model.layout import Pooling
from tasb_qdrant.encoder.protocol import TokenBatch
from tests.models import make_tasb_like, minilm_folder

LENGTHS = [75, 512, 1, 2, 15, 16, 17, 75, 80, 33, 3]

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@cache
def model_in(folder: Path) -> PreTrainedModel:
    return build_model(folder, load_file(folder / "model.safetensors"))


def weights_in(folder: Path) -> EncoderWeights:
    model = model_in(folder)
    return read_weights(model.state_dict(), general_config(model.config), copy=True)


def cuda_forward(
    folder: Path, *, pooling: Pooling, normalized: bool = False, device: str = "cpu", precision: str = "fp32"
) -> CudaForward:
    weights = weights_in(folder)
    return CudaForward(weights, pooling=pooling, normalized=normalized, device=device, precision=precision)


def reference(folder: Path, *, pooling: Pooling, normalized: bool = False) -> ReferenceForward:
    return ReferenceForward(model_in(folder), pooling=pooling, normalized=normalized, device="cpu", precision="fp32")


@cache
def expected_vectors(folder: Path, *, pooling: Pooling, normalized: bool) -> NDArray[np.float32]:
    """The reference's for texts of LENGTHS, each by itself: padding to the longest takes ten times as long."""
    forward = reference(folder, pooling=pooling, normalized=normalized)
    return np.concatenate([forward([ids]) for ids in texts(LENGTHS)])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tasb_like(tmp_path_factory.mktemp("small"), layers=2, dim=48, heads=4, hidden=96)


@cache
def small_forward(folder: Path) -> CudaForward:
    return cuda_forward(folder, pooling="cls")


def texts(lengths: Sequence[int]) -> list[NDArray[np.int32]]:
    """Random ids between CLS and SEP; a length of 1 has no room for the second."""
    chosen = random.Random(str(lengths))
    ids = [[101, *(chosen.randrange(1000, 30000) for _ in range(n - 2)), 102][:n] for n in lengths]
    return [np.array(text, dtype=np.int32) for text in ids]


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return found


@pytest.mark.parametrize(
    ("model", "pooling", "normalized"),
    [("tas-b", "cls", False), ("minilm", "mean", True), ("minilm", "cls", False), ("small", "mean", False)],
)
def test_fp32_vectors_are_the_references_at_every_length(
    model: str, pooling: Pooling, normalized: bool, tasb_like: Path, small: Path
) -> None:
    folder = {"tas-b": tasb_like, "minilm": minilm_folder(), "small": small}[model]
    ours = cuda_forward(folder, pooling=pooling, normalized=normalized)
    found, expected = ours(texts(LENGTHS)), expected_vectors(folder, pooling=pooling, normalized=normalized)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert found.dtype == np.float32
    if normalized:
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("model", "pooling", "normalized"), [("tas-b", "cls", False), ("minilm", "mean", True)])
def test_bf16_keeps_the_direction_of_the_reference_in_fp32(
    model: str, pooling: Pooling, normalized: bool, tasb_like: Path
) -> None:
    folder = tasb_like if model == "tas-b" else minilm_folder()
    ours = cuda_forward(folder, pooling=pooling, normalized=normalized, precision="bf16")
    found = cosines(ours(texts(LENGTHS)), expected_vectors(folder, pooling=pooling, normalized=normalized))
    assert found.min() >= 0.999
    assert found.min() < 1.0, "bf16 asked for, fp32 computed"


@settings(max_examples=15, deadline=None)
@given(data=st.data(), lengths=st.lists(st.integers(1, 70), min_size=1, max_size=12))
def test_a_batch_gives_what_its_texts_give_alone_in_any_order(
    small: Path, data: st.DataObject, lengths: list[int]
) -> None:
    forward = small_forward(small)
    batch = texts(lengths)
    alone = np.concatenate([forward([ids]) for ids in batch])
    order = data.draw(st.permutations(range(len(batch))))
    np.testing.assert_allclose(forward([batch[i] for i in order]), alone[list(order)], rtol=0, atol=1e-5)


def test_every_length_of_a_single_text_around_the_recorded_ones_gives_the_references_vector(small: Path) -> None:
    forward, theirs = small_forward(small), reference(small, pooling="cls")
    for ids in texts([length + more for length in GRAPH_LENGTHS for more in (-2, -1, 0, 1)]):
        np.testing.assert_allclose(forward([ids]), theirs([ids]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_tokens_that_belong_to_no_text_change_no_vector(small: Path, pooling: Pooling) -> None:
    model = cuda_forward(small, pooling=pooling)._model
    batch = TokenBatch.of(texts([5, 40, 2]))
    exact = shape_of(batch)
    filled = Shape(texts=exact.texts + 1, tokens=exact.tokens + 30, longest=exact.longest)
    with torch.inference_mode():
        expected, found = (model(batch_in(staged(batch, s, pinned=False), s)) for s in (exact, filled))
    assert found.shape == (4, 48)
    np.testing.assert_allclose(found[:3].numpy(), expected.numpy(), rtol=0, atol=1e-6)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), filling=st.integers(0, 9))
def test_a_batch_says_where_each_text_and_each_token_is(lengths: list[int], filling: int) -> None:
    batch = texts(lengths)
    tokens = TokenBatch.of(batch)
    exact = shape_of(tokens)
    shape = Shape(exact.texts + bool(filling), exact.tokens + filling, exact.longest)
    laid = batch_in(staged(tokens, shape, pinned=False), shape)
    whole = [*batch, np.zeros(filling, dtype=np.int32)] if filling else batch
    bounds = laid.bounds.tolist()
    assert laid.firsts.tolist() == bounds[:-1]
    for ids, start, end in zip(whole, bounds, bounds[1:], strict=False):
        assert laid.ids[start:end].tolist() == ids.tolist()
        assert laid.positions()[start:end].tolist() == list(range(len(ids)))
    assert bounds[-1] == len(laid.ids) == len(laid.positions())


def test_a_second_batch_can_be_submitted_before_the_first_ones_vectors_are_taken(small: Path) -> None:
    forward = small_forward(small)
    batches = [texts([12]), texts([12, 30]), texts([9]), texts([400])]
    pending = [forward.submit(TokenBatch.of(batch)) for batch in batches]
    for batch, vectors in zip(batches, pending, strict=True):
        np.testing.assert_array_equal(vectors.result(), forward(batch))


def test_a_model_that_reads_less_than_a_recorded_pass_has_is_still_encoded(small: Path) -> None:
    weights = weights_in(small)
    short = replace(weights, positions=weights.positions[:20])
    forward = CudaForward(short, pooling="cls", normalized=False, device="cpu", precision="fp32")
    assert not any("without CUDA graphs" in note for note in forward.notes)
    expected = reference(small, pooling="cls")
    for ids in texts([12, 15, 16, 20]):
        np.testing.assert_allclose(forward([ids]), expected([ids]), rtol=0, atol=1e-5)


def test_a_forward_is_handed_out_once_it_has_given_the_references_vectors(small: Path) -> None:
    theirs = reference(small, pooling="mean", normalized=True)
    options = {"device": "cpu", "precision": "fp32"}
    forward = checked_cuda_forward(weights_in(small), theirs, pooling="mean", normalized=True, **options)
    np.testing.assert_allclose(forward(texts([7, 3])), theirs(texts([7, 3])), rtol=0, atol=1e-5)
    with pytest.raises(UnfitForwardError, match="the fast one's vectors have a cosine of"):
        checked_cuda_forward(weights_in(small), theirs, pooling="cls", normalized=True, **options)
    broken = replace(weights_in(small), heads=5)
    with pytest.raises(UnfitForwardError, match=r"the fast one failed with shape .+ is invalid"):
        checked_cuda_forward(broken, theirs, pooling="mean", normalized=True, **options)
    with pytest.raises(UnfitForwardError, match="the precision is fp32"):
        checked_cuda_forward(
            weights_in(small), theirs, pooling="mean", normalized=True, device="cuda:0", precision="fp32"
        )


def test_what_flash_attention_cannot_do_is_named() -> None:
    for precision, head_dim, reason in [
        ("fp32", 64, "flash attention computes in fp16 or bf16, and the precision is fp32"),
        ("fp16", 12, "flash attention needs heads of 8, 16, ... 256 dimensions, and the model's have 12"),
        ("bf16", 512, "flash attention needs heads of 8, 16, ... 256 dimensions, and the model's have 512"),
    ]:
        assert why_no_attention(device="cuda:0", precision=precision, head_dim=head_dim) == reason


@pytest.mark.skipif(find_spec("torch.nn.attention.varlen") is None, reason="needs torch 2.10")
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_flash_attention_takes_what_the_forward_pass_gives_it(
    small: Path, pooling: Pooling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On torch's "meta" device, which knows shapes and types but no numbers, and is here to stand for a GPU."""
    meta = torch.device("meta")
    plain = Kernels(add_norm, embed_norm, attention_on(meta), product_gelu)
    monkeypatch.setattr(cuda_model, "kernels_on", lambda norm, heads, notes: plain)
    model = CudaModel(weights_in(small), device=meta, dtype=torch.float16, pooling=pooling, normalized=True, notes=[])
    shape = Shape(texts=3, tokens=100, longest=60)
    with torch.inference_mode():
        vectors = model(batch_in(torch.empty(shape.size, dtype=torch.int32, device=meta), shape))
    assert vectors.shape == (3, 48)
    assert vectors.dtype == torch.float32


def test_addition_and_layer_norm_are_those_of_the_sum() -> None:
    norm = Norm(torch.rand(8), torch.rand(8), 1e-5)
    inputs, others = torch.rand(3, 8), torch.rand(3, 8)
    expected = torch.nn.functional.layer_norm(inputs + others, (8,), norm.weight, norm.bias, 1e-5)
    torch.testing.assert_close(add_norm(inputs, others, norm), expected)


@needs_cuda
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize(
    ("model", "pooling", "normalized"), [("tas-b", "cls", False), ("minilm", "mean", True), ("minilm", "cls", False)]
)
def test_a_gpu_gives_the_references_vectors(
    model: str, pooling: Pooling, normalized: bool, precision: str, tasb_like: Path
) -> None:
    folder = tasb_like if model == "tas-b" else minilm_folder()
    device = "cuda:0"
    reason = why_no_attention(device=device, precision=precision, head_dim=64)
    if reason:
        pytest.skip(f"needs a CUDA device of a newer kind: {reason}")
    ours = cuda_forward(folder, pooling=pooling, normalized=normalized, device=device, precision=precision)
    theirs = reference(folder, pooling=pooling, normalized=normalized)
    assert disagreement(ours, theirs, texts=trial_texts(vocabulary=30522, longest=512)) == ""
    assert disagreement(ours, theirs, texts=texts(LENGTHS)) == ""
    assert not any("without CUDA graphs" in note for note in ours.notes)


@needs_cuda
def test_a_gpu_gives_the_same_vectors_however_many_batches_are_under_way(tasb_like: Path) -> None:
    forward = cuda_forward(tasb_like, pooling="cls", device="cuda:0", precision="fp16")
    batches = [texts([12]), texts([75] * 100), texts([9]), texts([500, 3] * 20)] * 5
    pending = [forward.submit(TokenBatch.of(batch)) for batch in batches]
    for batch, vectors in zip(batches, pending, strict=True):
        np.testing.assert_array_equal(vectors.result(), forward(batch))


@needs_cuda
def test_a_gpu_takes_more_texts_at_once_than_a_launch_has_rows(tmp_path: Path) -> None:
    folder = make_tasb_like(tmp_path, layers=2, dim=64, heads=2, hidden=256)
    forward = cuda_forward(folder, pooling="cls", device="cuda:0", precision="fp16")
    batch = texts([3, 5, 4, 3])
    found = forward(batch * 20_000).reshape(20_000, 4, 64)
    assert cosines(found[-1], reference(folder, pooling="cls")(batch)).min() >= 0.999
    np.testing.assert_allclose(found, np.broadcast_to(found[:1], found.shape), rtol=0, atol=1e-2)
