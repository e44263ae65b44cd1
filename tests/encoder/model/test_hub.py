"""Names become folders through a hub that may be slow, silent, gone, gated, or full of pickles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder.model.resolve import ORIGINAL, PORT, ModelSource, resolve_model
from tasb_qdrant.errors import HubUnreachableError, ModelNotFoundError, UnsafeWeightsError
from tests.encoder.conftest import point_hub_at
from tests.encoder.model.fake_hub import COMMIT, FakeHub, silent_listener
from tests.encoder.model.folders import chained, change
from tests.encoder.model.test_adapter import adapter_of
from tests.encoder.model.test_chain import dense, weighted
from tests.waiting import PATIENCE, sooner_than

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens, so the connection is refused


def resolve(
    model: str = "tas-b", *, revision: str | None = None, allow_pickle: bool = False, hub_timeout: float = 5.0
) -> ModelSource:
    return resolve_model(model, revision=revision, allow_pickle=allow_pickle, hub_timeout=hub_timeout)


@pytest.fixture
def pickled(tiny_original: Path, tmp_path: Path) -> Path:
    """The tiny model with pickle weights only."""
    folder = Path(shutil.copytree(tiny_original, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


@pytest.fixture
def port(tiny_original: Path, tmp_path: Path) -> Path:
    """The tiny model as sentence-transformers lays it out, with files that no encoder needs."""
    folder = Path(shutil.copytree(tiny_original, tmp_path / "port"))
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 512}')
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_text("not wanted")
    (folder / "pytorch_model.bin").write_text("not wanted")
    (folder / "README.md").write_text("not wanted")
    return folder


def test_tas_b_is_the_original_where_it_has_safetensors(hub: FakeHub, tiny_original: Path) -> None:
    hub.repos[ORIGINAL] = tiny_original
    source = resolve()
    assert (source.id, source.notes) == (ORIGINAL, ())
    assert (source.folder / "model.safetensors").read_bytes() == (tiny_original / "model.safetensors").read_bytes()


def test_tas_b_is_the_port_where_the_original_has_pickles_only(hub: FakeHub, pickled: Path, port: Path) -> None:
    hub.repos |= {ORIGINAL: pickled, PORT: port}
    encoder = load_encoder(device="cpu", precision="fp32")
    assert encoder.contract.model == PORT
    assert any("pickle weights only" in note and PORT in note for note in encoder.notes)
    assert np.isfinite(encoder.encode_queries(["does it work"])).all()
    assert "pytorch_model.bin" not in hub.downloads()
    assert "README.md" not in hub.downloads()
    assert hub.downloads().count("model.safetensors") == 1


def test_the_weights_of_modules_after_pooling_come_along(hub: FakeHub, tiny: Path) -> None:
    chained(tiny, dense(32, 20))
    weighted(tiny / "2_Dense", nn.Linear(32, 20), "linear")
    hub.repos["some/model"] = tiny
    encoder = load_encoder("some/model", device="cpu", precision="fp32")
    assert hub.downloads().count("model.safetensors") == 2
    here = load_encoder(tiny, device="cpu", precision="fp32")
    np.testing.assert_array_equal(encoder.encode_queries(["bees"]), here.encode_queries(["bees"]))


def test_an_adapter_and_its_base_come_from_the_hub(
    hub: FakeHub, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = chained(adapter_of(tiny, tmp_path / "adapter"))
    expected = load_encoder(adapter, device="cpu", precision="fp32").encode_queries(["bees"])
    change(adapter / "adapter_config.json", base_model_name_or_path="some/base")
    hub.repos |= {"some/adapter": adapter, "some/base": tiny}
    np.testing.assert_array_equal(
        load_encoder("some/adapter", device="cpu", precision="fp32").encode_queries(["bees"]), expected
    )
    point_hub_at(NOWHERE, monkeypatch)
    cached = load_encoder("some/adapter", device="cpu", precision="fp32")
    np.testing.assert_array_equal(cached.encode_queries(["bees"]), expected)
    assert cached.contract.model == "some/adapter"


def test_an_adapter_whose_weights_are_not_on_the_hub_is_named(hub: FakeHub, tiny: Path, tmp_path: Path) -> None:
    adapter = adapter_of(tiny, tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").unlink()
    hub.repos["some/adapter"] = adapter
    with pytest.raises(ModelNotFoundError, match=r"holds no weights that can be loaded \(adapter_model\.safetensors\)"):
        load_encoder("some/adapter")


def test_tas_b_is_the_port_even_where_pickles_are_allowed(hub: FakeHub, pickled: Path, port: Path) -> None:
    hub.repos |= {ORIGINAL: pickled, PORT: port}
    assert resolve(allow_pickle=True).id == PORT


def test_a_revision_is_looked_for_in_the_original_alone(hub: FakeHub, pickled: Path, port: Path) -> None:
    hub.repos |= {ORIGINAL: pickled, PORT: port}
    with pytest.raises(UnsafeWeightsError, match="holds pickle weights only"):
        resolve(revision=COMMIT)
    assert (resolve(revision=COMMIT, allow_pickle=True).folder / "pytorch_model.bin").is_file()


def test_a_second_load_downloads_nothing(hub: FakeHub, port: Path) -> None:
    hub.repos[PORT] = port
    first = resolve(PORT)
    hub.requests.clear()
    assert resolve(PORT) == first
    assert hub.requests == [f"GET /api/models/{PORT}"]


def test_a_cached_commit_asks_nobody(hub: FakeHub, port: Path) -> None:
    hub.repos[PORT] = port
    first = resolve(PORT, revision=COMMIT)
    hub.requests.clear()
    assert resolve(PORT, revision=COMMIT) == first
    assert hub.requests == []


def test_the_cache_serves_when_the_hub_is_gone(
    hub: FakeHub, pickled: Path, port: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos |= {ORIGINAL: pickled, PORT: port}
    online = resolve()
    point_hub_at(NOWHERE, monkeypatch)
    gone = resolve()
    assert (gone.id, gone.folder) == (PORT, online.folder)
    assert any("can't be reached" in note for note in gone.notes)
    named = resolve(PORT)
    assert named.notes == (f"{PORT} comes from the cache: the hub at {NOWHERE} can't be reached.",)


def test_the_cache_serves_offline_and_asks_nobody(
    hub: FakeHub, tiny_original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    hub.repos["some/model"] = tiny_original
    online = resolve("some/model")
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = resolve("some/model")
    assert offline.folder == online.folder
    assert offline.notes == ("some/model comes from the cache: HF_HUB_OFFLINE is set.",)
    with pytest.raises(HubUnreachableError, match="isn't cached, and HF_HUB_OFFLINE forbids asking"):
        resolve("another/model")
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE"):
        resolve("tas-b")
    assert hub.requests == []


def test_a_cache_that_may_lack_the_layout_is_not_trusted(
    hub: FakeHub, port: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    hub.repos["some/mean-model"] = port
    for name in ("config.json", "tokenizer.json", "model.safetensors"):  # as transformers alone does
        hf_hub_download("some/mean-model", name)
    point_hub_at(NOWHERE, monkeypatch)
    with pytest.raises(HubUnreachableError, match="some/mean-model"):
        resolve("some/mean-model")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "RepoNotFound", "no model some/model at .* or it is private; correct --model, or set HF_TOKEN"),
        (401, "", "some/model"),
        (403, "GatedRepo", "is gated: accept its terms there, and set HF_TOKEN"),
        (403, "", "refused access to some/model"),
    ],
)
def test_a_refusal_of_the_hub_is_named(hub: FakeHub, status: int, code: str, message: str) -> None:
    hub.refuse["some/model"] = (status, code)
    with pytest.raises(ModelNotFoundError, match=message):
        resolve("some/model")


def test_a_hub_that_fails_is_unreachable(hub: FakeHub) -> None:
    hub.refuse["some/model"] = (503, "")
    with pytest.raises(HubUnreachableError, match="it answered with status 503"):
        resolve("some/model")


def test_a_revision_that_is_not_there_is_named(hub: FakeHub, port: Path) -> None:
    hub.repos[PORT] = port
    with pytest.raises(ModelNotFoundError, match="has no revision 'nowhere'; correct --revision"):
        resolve(PORT, revision="nowhere")


def test_a_repository_with_pickles_or_without_weights_is_refused_before_a_download(hub: FakeHub, pickled: Path) -> None:
    hub.repos["some/model"] = pickled
    with pytest.raises(UnsafeWeightsError, match="some/model holds pickle weights only"):
        resolve("some/model")
    (pickled / "pytorch_model.bin").unlink()
    with pytest.raises(ModelNotFoundError, match="some/model holds no weights"):
        resolve("some/model")
    assert hub.downloads() == []


@pytest.mark.parametrize("name", ["no such/model", "a/b/c", "../up", "", " ", "some/..", "-/-"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_refused(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError):
        resolve_model(name, revision=None, allow_pickle=False, hub_timeout=1)


def test_a_hub_that_accepts_and_never_answers_is_noticed_in_time(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_listener() as url:
        point_hub_at(url, monkeypatch)
        with (
            sooner_than(10),  # which the hub's own library takes
            pytest.raises(HubUnreachableError, match=f"{url} can't be reached to load {ORIGINAL}.*--model DIR"),
        ):
            resolve(hub_timeout=0.5)


def test_a_name_lookup_that_hangs_is_noticed_in_time(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import threading

    release = threading.Event()

    def hang(*args: object, **kwargs: object) -> list[object]:
        release.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    point_hub_at("http://hub.invalid", monkeypatch)
    try:
        with sooner_than(PATIENCE), pytest.raises(HubUnreachableError, match="no answer within"):
            resolve(hub_timeout=0.3)
    finally:
        release.set()


def test_the_environments_endpoint_is_honoured_and_its_password_kept_secret(tmp_path: Path) -> None:
    code = (
        "from tasb_qdrant.encoder import load_encoder\n"
        "try:\n    load_encoder('tas-b', hub_timeout=0.5)\n"
        "except Exception as error:\n    import sys; print(type(error).__name__, error, 'torch' in sys.modules)"
    )
    with silent_listener() as url:
        environment = os.environ | {
            "HF_ENDPOINT": url.replace("//", "//user:secret@"),
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "0",
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
    assert done.stderr == ""
    assert done.stdout.startswith(f"HubUnreachableError the model hub at {url} can't be reached")
    assert "secret" not in done.stdout
    assert done.stdout.endswith("False\n"), "torch was imported before the hub was asked"


def test_importing_the_encoder_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, tasb_qdrant.encoder\n"
        "print([m for m in ('torch', 'transformers', 'tokenizers', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == "[]\n"


def test_the_real_hub_where_it_can_not_be_reached_is_named(hub_cache: Path) -> None:
    begin = time.monotonic()
    try:
        resolve(PORT, hub_timeout=0.5)
    except HubUnreachableError as error:
        named = str(error)
    else:
        pytest.skip("the hub can be reached from here; the paths without it run on loopback")
    assert time.monotonic() - begin < 10  # promised to users: an unreachable hub is noticed by then
    assert named.startswith("the model hub at http")
    assert "--model DIR" in named
