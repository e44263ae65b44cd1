"""Models and hubs that the encoder's tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasb_qdrant.encoder import Encoder, load_encoder
from tests.encoder.model.fake_hub import FakeHub
from tests.models import make_tasb_like, minilm_folder

SHARED_DATA = Path(os.environ.get("TASB_QDRANT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))

SHARED_INPUTS = Path(os.environ.get("TASB_QDRANT_INPUTS", Path(__file__).parents[2].parent / "shared" / "inputs"))


@pytest.fixture(scope="session")
def tasb_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random DistilBERT of TAS-B's exact configuration. Read only."""
    return make_tasb_like(tmp_path_factory.mktemp("tasb-like"))


@pytest.fixture(scope="session")
def tasb_fp32(tasb_like: Path) -> Encoder:
    return load_encoder(tasb_like, device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def minilm_fp32() -> Encoder:
    return load_encoder(minilm_folder(), device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def tiny_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer DistilBERT with TAS-B's vocabulary. Read only."""
    return make_tasb_like(tmp_path_factory.mktemp("tiny"), layers=1, dim=32, heads=2, hidden=64)


@pytest.fixture
def tiny(tiny_original: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to tamper with."""
    return Path(shutil.copytree(tiny_original, tmp_path / "tiny"))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of huggingface_hub, which reads its environment when it is imported."""
    from huggingface_hub import constants

    folder = tmp_path / "hub-cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return folder


@pytest.fixture
def hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub on loopback that huggingface_hub takes for the real one."""
    from huggingface_hub import close_session

    fake = FakeHub()
    point_hub_at(fake.url, monkeypatch)
    yield fake
    close_session()
    fake.stop()


def point_hub_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does when it is set before huggingface_hub is imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
