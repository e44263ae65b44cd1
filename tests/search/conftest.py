"""The bundled corpus in every kind of store, with word vectors, and searchers over it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from tasb_qdrant import AsyncSearcher, CollectionSettings, Encoder, Searcher, ingest, load_encoder
from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import Hit, ModelContract
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
SERVERS: Final = ("server 1.16.3", "server 1.17.0", "cluster")


class Remembering:
    """A real encoder that encodes the same passages once: the corpus goes into five stores."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._vectors: dict[tuple[bytes, bytes], NDArray[np.float32]] = {}

    @property
    def contract(self) -> ModelContract:
        return self._encoder.contract

    @property
    def device(self) -> str:
        return self._encoder.device

    @property
    def notes(self) -> tuple[str, ...]:
        return self._encoder.notes

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        return self._encoder.tokenize_passages(texts)

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        key = tokens.ids.tobytes(), tokens.offsets.tobytes()
        if key not in self._vectors:
            self._vectors[key] = self._encoder.encode_tokens(tokens, on_progress=on_progress)
        return self._vectors[key].copy()

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode_tokens(self.tokenize_passages(texts))

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._encoder.encode_queries(texts)


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
    return Remembering(load_encoder(minilm_folder(), precision="fp32"))


@pytest.fixture(
    scope="session", params=["embedded", *(pytest.param(store, marks=pytest.mark.server) for store in SERVERS)]
)
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


BATCH_CHANGES: Final = 1e-5
"""Of a score: a batch of another size changes the last digits of a vector."""


def scored(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    """To compare with another list, by `difference`."""
    return [(hit.id, hit.score) for hit in hits]


def counted(corpus: list[dict[str, Any]], name: str) -> Counter[Any]:
    """How many passages have each value of a field."""
    return Counter(record[name] for record in corpus if name in record)
