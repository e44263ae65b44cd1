"""The commit that made a collection's vectors is recorded, and is what a searcher loads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasb_qdrant import Passage, Searcher, ingest
from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder.model.resolve import ORIGINAL, PORT
from tasb_qdrant.errors import HubUnreachableError
from tests.encoder.conftest import point_hub_at
from tests.encoder.model.fake_hub import COMMIT, FakeHub


@pytest.fixture
def pickled(tiny_original: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(tiny_original, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


def test_the_contract_of_a_hub_model_names_its_commit_fetched_or_cached(hub: FakeHub, tiny_original: Path) -> None:
    hub.repos["some/model"] = tiny_original
    for revision in (None, "main", COMMIT):
        assert load_encoder("some/model", device="cpu", revision=revision).contract.revision == COMMIT


def test_a_folder_has_no_commit(tiny: Path) -> None:
    assert load_encoder(tiny, device="cpu").contract.revision == ""


@pytest.mark.parametrize("model", ["tas-b", "some/model"])
def test_a_searcher_loads_the_recorded_commit_from_the_cache_and_asks_nobody(
    hub: FakeHub,
    pickled: Path,
    tiny_original: Path,
    tmp_path: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.repos |= {ORIGINAL: pickled, PORT: tiny_original, "some/model": tiny_original}
    store = tmp_path / "store"
    ingest([Passage("1", "bees dance")], collection="c", path=store, model=model, device="cpu", optimize=False)
    hub.requests.clear()
    with Searcher("c", path=store, device="cpu") as searcher:
        assert searcher.encoder.contract.model == (PORT if model == "tas-b" else model)
        assert searcher.encoder.contract.revision == searcher.info().contract.revision == COMMIT
        assert [hit.id for hit in searcher.search("dancing bees")] == ["1"]
    assert hub.requests == []

    shutil.rmtree(tmp_path / "hub-cache")
    with Searcher("c", path=store, device="cpu") as searcher:
        searcher.warm_up()
    assert all(COMMIT in request for request in hub.requests)
    shutil.rmtree(tmp_path / "hub-cache")
    point_hub_at("http://127.0.0.1:9", monkeypatch)
    with Searcher("c", path=store, device="cpu") as searcher, pytest.raises(HubUnreachableError):
        searcher.warm_up()


def test_a_folder_by_the_models_name_is_searched_with_though_it_has_no_commit(
    hub: FakeHub, tiny_original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["some/model"] = tiny_original
    store = tmp_path / "store"
    ingest([Passage("1", "bees")], collection="c", path=store, model="some/model", device="cpu", optimize=False)
    shutil.copytree(tiny_original, tmp_path / "some/model")
    monkeypatch.chdir(tmp_path)
    with Searcher("c", path=store, device="cpu") as searcher:
        assert searcher.encoder.contract.model == str(tmp_path / "some/model")
