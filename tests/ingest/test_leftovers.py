"""What an ingest run that fails leaves behind: what it stored, and no empty collection."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasb_qdrant import Passage, ingest
from tasb_qdrant.collection.open import open_store_at
from tasb_qdrant.errors import RejectedError
from tasb_qdrant.settings import store_settings
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer


@pytest.mark.parametrize("kind", ["embedded", pytest.param("server", marks=pytest.mark.server)])
def test_a_first_run_that_stores_nothing_leaves_no_collection(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = tmp_path / "passages.jsonl"
    source.write_text('{"id": "1", "text": ""}\n')
    if kind == "embedded":
        settings = store_settings(path=tmp_path / "store")
    else:
        server: QdrantServer = request.getfixturevalue("qdrant_1_17")
        settings = store_settings(url=server.url, grpc_port=server.grpc_port)
    name, store = fresh_name(), open_store_at(settings)
    place = {"url": settings.url, "path": settings.path, "grpc_port": settings.grpc_port}

    def run(source: object, dim: int) -> None:
        ingest(source, collection=name, encoder=StubEncoder(dim=dim), optimize=False, **place)  # type: ignore[arg-type]  # of two kinds

    with pytest.raises(RejectedError):
        run(source, 16)
    assert not store.exists(name)
    run([Passage("1", "one")], 8)  # another model may be right
    with pytest.raises(RejectedError):
        run(source, 8)
    assert store.exists(name)
    store.delete(name)
    store.close()
