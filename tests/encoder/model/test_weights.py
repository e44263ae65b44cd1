"""Weights are loaded whole and as tensors, or refused; nothing in them ever runs."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.model.resolve import resolve_model
from tasb_qdrant.errors import CorruptModelError, ModelNotFoundError, UnsafeWeightsError

pytestmark = pytest.mark.usefixtures("hub_cache")


class Canary:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._trace),)


def tensors_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def save(folder: Path, tensors: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def to_pickle(folder: Path) -> Path:
    """Replace the folder's safetensors by the pickle of the same tensors."""
    import torch

    torch.save(tensors_of(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


def load(folder: Path, *, allow_pickle: bool = False) -> Encoder:
    return load_encoder(folder, device="cpu", precision="fp32", allow_pickle=allow_pickle)


def test_the_contract_names_folder_and_weights(tiny: Path) -> None:
    contract = load(tiny).contract
    assert contract.model == str(tiny.resolve())
    assert contract.weights == hashlib.sha256((tiny / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["config.json"], r"has no config\.json"),
        (["tokenizer.json", "vocab.txt"], r"needs tokenizer\.json or vocab\.txt"),
        (["model.safetensors"], r"has no weights \(model\.safetensors\)"),
    ],
)
def test_a_missing_file_is_named(tiny: Path, missing: list[str], message: str) -> None:
    for name in missing:
        (tiny / name).unlink()
    with pytest.raises(ModelNotFoundError, match=message):
        load(tiny)


def test_vocab_txt_alone_gives_the_same_tokens(tiny: Path, tasb_fp32: Encoder) -> None:
    (tiny / "tokenizer.json").unlink()
    text = "Naïve TOKENS, [SEP] 漢字"
    assert load(tiny).tokenize_passages([text])[0].tolist() == tasb_fp32.tokenize_passages([text])[0].tolist()


def test_a_folder_that_is_not_there_or_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no folder .*/nowhere"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ModelNotFoundError, match="is a file; give the folder"):
        load(tmp_path / "file")


def test_a_revision_of_a_folder_is_refused(tiny: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="is a folder, which has no revisions"):
        load_encoder(tiny, revision="main")


def test_sharded_weights_are_joined(tiny: Path) -> None:
    from safetensors.torch import save_file

    whole = load(tiny).encode_passages(["a text"])
    names = sorted(tensors := tensors_of(tiny))
    shards = {f"model-0000{n + 1}-of-00002.safetensors": names[n::2] for n in range(2)}
    for shard, inside in shards.items():
        save_file({name: tensors[name] for name in inside}, tiny / shard, metadata={"format": "pt"})
    (tiny / "model.safetensors").unlink()
    index = {"weight_map": {name: shard for shard, inside in shards.items() for name in inside}}
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(load(tiny).encode_passages(["a text"]), whole)

    (tiny / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"has no model-00002-of-00002\.safetensors"):
        load(tiny)
    index["weight_map"][names[0]] = "../model-00001-of-00002.safetensors"
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CorruptModelError, match="which is not a weight file"):
        load(tiny)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[:200],
        lambda content: content[:-1000],
        lambda content: (2**60).to_bytes(8, "little") + content[8:],
        lambda content: (3).to_bytes(8, "little") + content[8:],
        lambda content: content[:8] + b"\xff" * 100 + content[108:],
        lambda content: b"garbage" * 1000,
    ],
    ids=["empty", "5 bytes", "cut header", "cut data", "huge length", "short length", "garbled header", "garbage"],
)
def test_a_damaged_safetensors_file_is_corrupt(tiny: Path, damage: Any) -> None:
    path = tiny / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(content))
    with pytest.raises(CorruptModelError, match=r"model\.safetensors is not a valid safetensors file"):
        load(tiny)


def test_a_git_lfs_pointer_is_recognised(tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    (tiny / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CorruptModelError, match="run 'git lfs pull'"):
        load(tiny)


def test_a_missing_weight_is_never_filled_with_random_numbers(tiny: Path) -> None:
    tensors = tensors_of(tiny)
    del tensors["transformer.layer.0.ffn.lin1.weight"]
    save(tiny, tensors)
    with pytest.raises(CorruptModelError, match=r"missing: transformer\.layer\.0\.ffn\.lin1\.weight"):
        load(tiny)


def test_a_weight_left_over_or_of_another_shape_is_refused(tiny: Path) -> None:
    import torch

    tensors = tensors_of(tiny)
    save(tiny, tensors | {"transformer.layer.1.ffn.lin1.weight": torch.zeros(64, 32)})
    with pytest.raises(CorruptModelError, match=r"unexpected: transformer\.layer\.1"):
        load(tiny)
    save(tiny, tensors | {"transformer.layer.0.ffn.lin1.bias": torch.zeros(63)})
    with pytest.raises(CorruptModelError, match=r"of another shape: transformer\.layer\.0\.ffn\.lin1\.bias"):
        load(tiny)


def test_weights_saved_with_a_training_head_load(tiny: Path) -> None:
    import torch

    whole = load(tiny).encode_passages(["a text"])
    tensors = {f"distilbert.{name}": tensor for name, tensor in tensors_of(tiny).items()}
    save(tiny, tensors | {"vocab_projector.bias": torch.zeros(30522), "vocab_transform.bias": torch.zeros(32)})
    np.testing.assert_array_equal(load(tiny).encode_passages(["a text"]), whole)


def test_berts_missing_pooler_is_no_loss(tmp_path: Path, minilm_fp32: Encoder) -> None:
    from tests.models import minilm_folder

    folder = Path(shutil.copytree(minilm_folder(), tmp_path / "minilm"))
    save(folder, {name: t for name, t in tensors_of(folder).items() if not name.startswith("pooler.")})
    np.testing.assert_array_equal(load(folder).encode_passages(["a text"]), minilm_fp32.encode_passages(["a text"]))


def test_a_tokenizer_of_another_model_is_refused(tiny: Path) -> None:
    tokenizer = json.loads((tiny / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["strange"] = 30522
    (tiny / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(CorruptModelError, match="ids up to 30522, but the model embeds 30522"):
        load(tiny)
    (tiny / "tokenizer.json").write_text("{")
    with pytest.raises(CorruptModelError, match=r"tokenizer in .* can't be loaded"):
        load(tiny)


def test_pickle_weights_are_refused_with_both_ways_out(tiny: Path) -> None:
    to_pickle(tiny)
    with pytest.raises(UnsafeWeightsError, match="choose a safetensors version of the model, or give --allow-pickle"):
        load(tiny)


def test_allowed_pickles_give_the_same_vectors_and_are_converted_once(tiny: Path, tmp_path: Path) -> None:
    whole = load(tiny).encode_passages(["a text"])
    path = to_pickle(tiny)
    first = load(tiny, allow_pickle=True)
    np.testing.assert_array_equal(first.encode_passages(["a text"]), whole)
    assert first.contract.weights == hashlib.sha256(path.read_bytes()).hexdigest()
    (kept,) = (path for path in (tmp_path / "assets").rglob("*") if path.is_file())
    assert any(str(kept) in note for note in first.notes)
    written = kept.stat().st_mtime_ns
    second = load(tiny, allow_pickle=True)
    np.testing.assert_array_equal(second.encode_passages(["a text"]), whole)
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", ["zip", "plain"])
@pytest.mark.parametrize("allow_pickle", [False, True])
def test_a_canary_pickle_never_runs(tiny: Path, tmp_path: Path, form: str, protocol: int, allow_pickle: bool) -> None:
    import torch

    trace = tmp_path / "the canary sang"
    path = to_pickle(tiny)
    state = {"embeddings.word_embeddings.weight": Canary(trace)}
    if form == "zip":
        torch.save(state, path, pickle_protocol=protocol)
    else:
        path.write_bytes(pickle.dumps(state, protocol=protocol))
    with pytest.raises(UnsafeWeightsError):
        load(tiny, allow_pickle=allow_pickle)
    assert not trace.exists()
    if form == "zip":
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert trace.exists(), "the canary is dead, so the test above shows nothing"


def test_a_pickle_beside_safetensors_is_not_even_opened(tiny: Path, tmp_path: Path) -> None:
    trace = tmp_path / "the canary sang"
    (tiny / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(trace)))
    load(tiny, allow_pickle=True)
    assert not trace.exists()


def test_a_damaged_or_strange_pickle_is_corrupt(tiny: Path) -> None:
    import torch

    path = to_pickle(tiny)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises((CorruptModelError, UnsafeWeightsError)):
        load(tiny, allow_pickle=True)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(CorruptModelError, match="must hold a dictionary of tensors"):
        load(tiny, allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nothing", b"")
    with pytest.raises(CorruptModelError, match="not a valid weight file"):
        load(tiny, allow_pickle=True)


def test_loading_prints_nothing(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(tiny).encode_passages(["a text"])
    assert capfd.readouterr() == ("", "")


def test_a_folder_wins_over_a_hub_id_of_the_same_name(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = resolve_model("tiny", revision=None, allow_pickle=False, hub_timeout=1)
    assert source.folder == tiny.resolve()
