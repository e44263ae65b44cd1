"""Names and files that can be no model are refused by name, whatever the file system says of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.errors import HubUnreachableError, ModelNotFoundError
from tests.encoder.conftest import point_hub_at
from tests.encoder.model.fake_hub import FakeHub

pytestmark = pytest.mark.usefixtures("hub_cache")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the model's name is empty"),
        ("~nosuchuser/x", "no folder ~nosuchuser/x"),
        ("m" * 300, "m{100}… can't be looked up"),
    ],
)
def test_a_name_that_can_be_no_folder_is_refused(name: str, message: str) -> None:
    with pytest.raises(ModelNotFoundError, match=message):
        load_encoder(name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("nowhere"), "is a broken link; complete the folder"),
        (lambda path: path.mkdir(), "is not a file; complete the folder"),
    ],
    ids=["dangling link", "folder"],
)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_that_are_no_file_are_named(tiny: Path, name: str, make: object, message: str) -> None:
    (tiny / "model.safetensors").unlink()
    assert callable(make)
    make(tiny / name)
    with pytest.raises(ModelNotFoundError, match=f"{name} {message}"):
        load_encoder(tiny, device="cpu", allow_pickle=True)


def test_an_index_of_weights_that_is_no_file_is_named(tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    (tiny / "model.safetensors.index.json").mkdir()
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors\.index\.json can't be read"):
        load_encoder(tiny, device="cpu")


def test_a_name_unknown_to_disk_and_hub_is_said_to_be_no_folder_either(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no folder m/notthere here, and no model m/notthere at http"):
        load_encoder("m/notthere")
    point_hub_at("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(HubUnreachableError, match=r"can't be reached.*there is no folder m/notthere$"):
        load_encoder("m/notthere")


def test_a_cached_weight_that_is_gone_is_downloaded_again(hub: FakeHub, tiny_original: Path) -> None:
    hub.repos["some/model"] = tiny_original
    first = load_encoder("some/model", device="cpu", precision="fp32")
    from huggingface_hub import constants

    (snapshot,) = Path(constants.HF_HUB_CACHE).glob("*/snapshots/*")
    shutil.rmtree(snapshot.parents[1] / "blobs")
    second = load_encoder("some/model", device="cpu", precision="fp32")
    assert second.contract == first.contract
