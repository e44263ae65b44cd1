"""int8 on a CPU: close to fp32, the same for a text alone and among others, refused where it can't be had."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn.functional import gelu, layer_norm

from tasb_qdrant.encoder import Encoder, hardware, load_encoder
from tasb_qdrant.encoder.forward.calibration import Range, calibration_texts, measure
from tasb_qdrant.encoder.forward.choice import build_forward
from tasb_qdrant.encoder.forward.encoder_weights import Affine, EncoderWeights, Layer, Norm
from tasb_qdrant.encoder.forward.int8 import _SPLITS, _highest_weight, _Int8Linears, _splits
from tasb_qdrant.encoder.hardware import Hardware, choose_hardware
from tasb_qdrant.encoder.model.config import read_config
from tasb_qdrant.encoder.model.layout import Layout, read_layout
from tasb_qdrant.encoder.tokenize.files import load_tokenization
from tasb_qdrant.errors import CorruptModelError, DeviceError, SettingsError
from tests.models import make_tasb_like, minilm_folder

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "tasb_qdrant" / "examples"
TEXTS = [json.loads(line)["text"] for line in (EXAMPLES / "passages.jsonl").read_text().splitlines()]
QUERIES = [json.loads(line)["text"] for line in (EXAMPLES / "queries.jsonl").read_text().splitlines()]
UNSEEN = [text for number, text in enumerate(TEXTS) if number % 2]  # every second is read when a model is loaded


@cache
def int8(folder: Path) -> Encoder:
    return load_encoder(folder, device="cpu", precision="int8")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tasb_like(tmp_path_factory.mktemp("small"), layers=2, dim=48, heads=4, hidden=96)


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return found


def encode(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    return encoder.encode_passages(list(texts))


def test_vectors_of_a_trained_model_keep_their_direction(minilm_fp32: Encoder) -> None:
    texts = [*UNSEEN, *QUERIES, " ".join(UNSEEN[:12])]
    found = cosines(encode(int8(minilm_folder()), texts), encode(minilm_fp32, texts))
    assert found.min() >= 0.99
    assert found.mean() >= 0.998
    assert found.min() < 0.9999, "int8 asked for, bf16 or fp32 computed"


def test_vectors_of_tas_bs_configuration_keep_direction_and_length(tasb_like: Path, tasb_fp32: Encoder) -> None:
    texts = [*UNSEEN[::8], *QUERIES, " ".join(UNSEEN[:12]), "", "a"]
    ours, theirs = encode(int8(tasb_like), texts), encode(tasb_fp32, texts)
    assert cosines(ours, theirs).min() >= 0.999
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1), rtol=0.005)


def test_neighbours_stay_the_same(minilm_fp32: Encoder) -> None:
    """Of 12 questions, at most one has another best passage among 200."""
    best = [
        (encoder.encode_queries(QUERIES) @ encode(encoder, TEXTS).T).argmax(axis=1)
        for encoder in (int8(minilm_folder()), minilm_fp32)
    ]
    assert (best[0] == best[1]).sum() >= len(QUERIES) - 1


@settings(max_examples=10, deadline=None)
@given(data=st.data(), count=st.integers(1, 8))
def test_a_text_has_the_same_vector_alone_and_in_any_batch_in_any_order(data: st.DataObject, count: int) -> None:
    encoder = int8(minilm_folder())
    texts = data.draw(st.lists(st.sampled_from([*UNSEEN, *QUERIES]), min_size=count, max_size=count))
    alone = np.concatenate([encode(encoder, [text]) for text in texts])
    order = data.draw(st.permutations(range(count)))
    # bf16, in which attention and LayerNorm are computed, differs by more: 8e-4.
    np.testing.assert_allclose(encode(encoder, [texts[i] for i in order]), alone[list(order)], rtol=0, atol=1e-6)


def test_empty_and_longest_texts_have_vectors(small: Path) -> None:
    texts = ["", "a", " ".join(TEXTS[:20])]
    vectors = encode(int8(small), texts)
    assert np.isfinite(vectors).all()
    reference = encode(load_encoder(small, device="cpu", precision="fp32"), texts)
    assert cosines(vectors, reference).min() >= 0.99
    np.testing.assert_allclose(encode(int8(small), texts[2:]), vectors[2:], rtol=0, atol=0.02)


def test_every_load_gives_the_same_vectors(small: Path) -> None:
    again = load_encoder(small, device="cpu", precision="int8")
    np.testing.assert_array_equal(encode(again, TEXTS[:20]), encode(int8(small), TEXTS[:20]))


def test_the_contract_and_a_note_tell(small: Path) -> None:
    encoder = int8(small)
    assert encoder.contract.precision == "int8"
    notes = [note for note in encoder.notes if "scales" in note]
    assert len(notes) == 1
    assert re.fullmatch(r"Precision int8: scales were measured on 100 passages in \d+\.\d s\.", notes[0])


def test_another_precision_finds_what_int8_stored(small: Path) -> None:
    other = load_encoder(small, device="cpu", precision="fp32")
    assert int8(small).contract.differences(other.contract) == []


def test_a_cpu_without_bf16_computes_the_rest_in_fp32(minilm_fp32: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasb_qdrant.encoder.forward import choice

    monkeypatch.setattr(choice, "has_fast_bf16", lambda: False)
    encoder = load_encoder(minilm_folder(), device="cpu", precision="int8")
    vectors = encode(encoder, UNSEEN[:10])
    assert 0.99 <= cosines(vectors, encode(minilm_fp32, UNSEEN[:10])).min() < 0.9999
    assert not np.array_equal(vectors, encode(int8(minilm_folder()), UNSEEN[:10]))


WITHOUT_VNNI = """
import numpy as np
from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder.forward.int8 import _highest_weight
from tests.encoder.forward.test_int8 import QUERIES, UNSEEN, cosines, encode
from tests.models import minilm_folder
texts = UNSEEN[:8]
vectors = [encode(load_encoder(minilm_folder(), device="cpu", precision=p), texts) for p in ("int8", "fp32")]
print(_highest_weight(), cosines(*vectors).min())
"""


@pytest.mark.model
def test_a_cpu_without_vnni_gets_smaller_weights_instead_of_overflows() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_VNNI],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    highest, cosine = done.stdout.split()
    assert int(highest) == 63
    assert float(cosine) >= 0.98


def test_int8_is_refused_with_the_reference_on_a_gpu_and_without_a_fast_forward_pass(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="no reference forward pass in int8; set forward to 'auto', or precision"):
        load_encoder(tiny, device="cpu", precision="int8", forward="reference")
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps(config | {"activation": "relu"}))
    with pytest.raises(SettingsError, match="int8 needs the fast forward pass: the model's activation is relu"):
        load_encoder(tiny, device="cpu", precision="int8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    for device in ("auto", "cuda"):
        with pytest.raises(DeviceError, match=r"int8 is for CPUs, and the device is cuda:0; give .* --device cpu"):
            choose_hardware(device, "int8")


def test_a_cpu_that_may_be_slower_in_int8_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_has_flag", lambda names: False)
    assert any("no VNNI, so fp32 may be faster" in note for note in choose_hardware("cpu", "int8").notes)
    monkeypatch.setattr(hardware, "_has_flag", lambda names: True)
    assert choose_hardware("cpu", "int8").notes == ()


def test_a_model_whose_values_are_not_finite_is_refused(tiny: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(tiny / "model.safetensors")
    tensors["embeddings.LayerNorm.weight"][3] = torch.nan
    layout, here = read_layout(tiny), Hardware("cpu", "int8", ())
    with pytest.raises(CorruptModelError, match="non-finite values for ordinary texts, so int8 has no scale"):
        build_forward("auto", read_config(tiny), tensors, layout=layout, hardware=here)


def test_calibration_reads_the_same_short_texts_each_time() -> None:
    folder = minilm_folder()
    layout: Layout = read_layout(folder)
    tokenization = load_tokenization(layout, read_config(layout.transformer))
    texts = calibration_texts(tokenization, prompt="")
    assert len(texts) == 100
    assert min(len(ids) for ids in texts) == 2
    assert max(len(ids) for ids in texts) == 48
    assert all((ids[0], ids[-1]) == (101, 102) for ids in texts)
    again = calibration_texts(tokenization, prompt="")
    assert all(np.array_equal(one, other) for one, other in zip(texts, again, strict=True))
    prompted = calibration_texts(tokenization, prompt="passage: ")
    assert not np.array_equal(texts[-1], prompted[-1])


def random_weights(dim: int, hidden: int) -> EncoderWeights:
    random = torch.Generator().manual_seed(0)

    def affine(outputs: int, inputs: int) -> Affine:
        weight = torch.randn(outputs, inputs, generator=random) / inputs**0.5
        return Affine(weight, torch.randn(outputs, generator=random) / 10)

    norm = Norm(torch.ones(dim), torch.zeros(dim), 1e-12)
    up, down = affine(hidden, dim), affine(dim, hidden)
    layer = Layer(affine(3 * dim, dim), affine(dim, dim), norm, up, down, norm)
    words, positions = (torch.randn(n, dim, generator=random) for n in (99, 64))
    return EncoderWeights(words, positions, norm, (layer, layer), heads=2)


def error_of_feed_forward(spike: float) -> float:
    """The root mean square of what int8 adds to a layer's output, where one of its units is `spike` higher."""
    random = torch.Generator().manual_seed(2)
    inputs = torch.randn(256, 64, generator=random)
    up = Affine(torch.randn(1536, 64, generator=random) / 8, torch.zeros(1536))
    down = Affine(torch.randn(64, 1536, generator=random) / 39, torch.zeros(64))
    up.bias[7] = spike
    between = gelu(inputs @ up.weight.T + up.bias)
    first, second = _Int8Linears([_range_of(inputs), _range_of(between)], torch.float32).feed_forward(up, down)
    return float((second(first(inputs)) - (between @ down.weight.T + down.bias)).square().mean().sqrt())


def test_a_unit_far_above_the_others_costs_them_little() -> None:
    assert error_of_feed_forward(40.0) <= 2 * error_of_feed_forward(0.0)


def test_what_fills_up_a_batch_is_not_measured() -> None:
    """Three tokens make a tile of 16 rows, 13 of them of the word 0."""
    weights = random_weights(64, 128)
    text = np.array([5, 6, 7], dtype=np.int32)
    measured = measure(weights, [text], pooling="mean", precision="fp32")[0]
    rows = layer_norm(weights.words[text.tolist()] + weights.positions[:3], (64,), eps=1e-12)
    torch.testing.assert_close(measured.highest, rows.amax(0))
    torch.testing.assert_close(measured.lowest, rows.amin(0))
    torch.testing.assert_close(measured.mean, rows.mean(0))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-0.125, 100, width=32), min_size=1, max_size=400))
def test_the_parts_of_a_unit_add_up_to_it(highest: list[float]) -> None:
    top, units, edges = _splits(torch.tensor(highest))
    assert len(units) == len(edges)
    assert len(units) in (0, min(_SPLITS, len(highest) // 48))
    if len(units):
        values = torch.tensor(highest).clamp_min(0)
        parts = values.clamp(max=top).index_add(0, units, (values[units] - edges).clamp(0, top))
        torch.testing.assert_close(parts, values, rtol=1e-5, atol=1e-3)
    else:
        assert top >= max(highest)


@pytest.mark.parametrize("two", [False, True])
def test_products_are_those_of_floats_within_a_few_steps(two: bool) -> None:
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(32, 64, generator=random) * torch.logspace(-2, 1, 64) + torch.linspace(-5, 5, 64)
    up = Affine(torch.randn(48, 64, generator=random) / 64, torch.randn(48, generator=random))
    down = Affine(torch.randn(16, 48, generator=random) / 7, torch.randn(16, generator=random))
    found = [_range_of(inputs)]
    expected = inputs @ up.weight.T + up.bias
    if two:
        expected = gelu(expected)
        found.append(_range_of(expected))
        expected = expected @ down.weight.T + down.bias
        first, second = _Int8Linears(found, torch.float32).feed_forward(up, down)
        other = torch.randn(expected.shape, generator=random)
        result = second.plus(first(inputs), other) - other
        torch.testing.assert_close(second(first(inputs)), result, rtol=0, atol=1e-5)
    else:
        result = _Int8Linears(found, torch.float32).linear(up)(inputs)
    assert (result - expected).abs().max() <= 0.02 * (expected.max() - expected.min())


def _range_of(values: torch.Tensor) -> Range:
    return Range(values.amin(0), values.amax(0), values.mean(0))


def test_this_cpus_highest_weight_is_one_of_two() -> None:
    assert _highest_weight() in (63, 127)
