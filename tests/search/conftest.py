"""The bundled corpus in every kind of store, with word vectors, and searchers over it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tasb_qdrant import AsyncSearcher, CollectionSettings, Encoder, Searcher, ingest, load_encoder
from tasb_qdrant.settings import Bm25Settings
from tests.models import minilm_folder
from tests.qdrant_cluster import QdrantCluster
from tests.qdrant_servers import QdrantServer

CORPUS: Final = Path(__file__).resolve().parents[2] / "tasb_qdrant" / "examples" / "passages.jsonl"
COLLECTION: Final = "searcher-test"
BEES: Final = "How do honeybees tell their nestmates where to find food?"
SETTINGS: Final = CollectionSettings(
    indexes={"topic": "keyword", "year": "integer", "lang": "keyword", "text": "text"},
    bm25=Bm25Settings(),
)
STORES: Final = ("embedded", "server 1.16.3", "server 1.17.0", "cluster")


@dataclass(frozen=True, slots=True)
class Home:
    """A store with the corpus in it, and the options that open it."""

    kind: str
    options: dict[str, Any]
    copies: list[Path] = field(default_factory=list)

    def elsewhere(self) -> dict[str, Any]:
        """The options of another opener: the embedded store has one at a time, so that it gets a copy."""
        if "path" not in self.options:
            return self.options
        copy = Path(f"{self.options['path']}-copy-{len(self.copies)}")
        self.copies.append(copy)
        return {**self.options, "path": Path(shutil.copytree(self.options["path"], copy))}

    def asynchronous(self, **more: Any) -> AsyncSearcher:
        """An AsyncSearcher, not yet open."""
        return AsyncSearcher(COLLECTION, **self.elsewhere(), **more)


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder(minilm_folder(), precision="fp32")


@pytest.fixture(scope="session", params=STORES)
def home(request: pytest.FixtureRequest, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Each store in turn."""
    options: dict[str, Any]
    match request.param:
        case "embedded":
            options = {"path": tmp_path_factory.mktemp("home") / "store"}
        case "cluster":
            cluster: QdrantCluster = request.getfixturevalue("shared_cluster")
            options = {"url": cluster.url, "grpc_port": cluster.grpc_port}
        case name:
            fixture = {"server 1.16.3": "qdrant_1_16", "server 1.17.0": "qdrant_1_17"}[name]
            server: QdrantServer = request.getfixturevalue(fixture)
            options = {"url": server.url, "grpc_port": server.grpc_port}
    home = Home(request.param, {**options, "encoder": encoder})
    ingest(CORPUS, collection=COLLECTION, settings=SETTINGS, **home.options)
    return home


@pytest.fixture(scope="session")
def searcher(home: Home) -> Iterator[Searcher]:
    with Searcher(COLLECTION, **home.options) as opened:
        yield opened


@pytest.fixture(scope="session")
def corpus() -> list[dict[str, Any]]:
    """The corpus as its file has it."""
    return [json.loads(line) for line in CORPUS.read_text().splitlines()]


def counted(corpus: list[dict[str, Any]], name: str) -> Counter[Any]:
    """How many passages have each value of a field."""
    return Counter(record[name] for record in corpus if name in record)
