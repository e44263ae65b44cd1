"""The way of one search through this package: which modules it enters after everything is open.

Run as `python -m benchmarks.trip`; a reader who follows `Searcher.search` has as many files to open. What the encoder
does is left out, as the script's own stands for it: a vector of the query's hash.
"""

from __future__ import annotations

import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import tasb_qdrant
from tasb_qdrant import Encoder, F, Searcher
from tasb_qdrant.collection.open import open_for_writing, open_store_at
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import ModelContract, Passage
from tasb_qdrant.settings import CollectionSettings, StoreSettings, store_settings
from tests.qdrant_servers import QdrantServer

COLLECTION: Final = "trip"
DIM: Final = 768
PASSAGES: Final = 500
PACKAGE: Final = Path(tasb_qdrant.__file__).parent


class HashEncoder:
    """Vectors that a hash of the text seeds."""

    device = "cpu"
    notes: tuple[str, ...] = ()
    contract = ModelContract(
        model="hash",
        weights="0" * 64,
        pooling="hash",
        normalized=False,
        distance="Dot",
        dim=DIM,
        max_length=512,
        precision="fp32",
        query_prompt="",
        passage_prompt="",
        version="0",
    )

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n, dim)."""
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIM) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(-1, DIM)

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same."""
        return self.encode_queries(texts)

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        """Never called."""
        raise NotImplementedError

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Never called."""
        raise NotImplementedError


def fill(settings: StoreSettings, encoder: Encoder, *, count: int = PASSAGES) -> None:
    """A new collection with `count` passages, and their field `year` indexed."""
    store = open_store_at(settings)
    made = CollectionSettings(indexes={"year": "integer"})
    collection = open_for_writing(COLLECTION, store, contract=encoder.contract, settings=made)
    for start in range(0, count, 500):
        numbers = range(start, min(start + 500, count))
        passages = [Passage(str(n), f"passage {n}", payload={"year": 2000 + n % 25}) for n in numbers]
        collection.upsert(PointBatch(passages, encoder.encode_passages([each.text for each in passages])))
    collection.optimize()
    collection.close()
    store.close()


def entered(call: Callable[[], Any]) -> list[str]:
    """The modules of this package, by their paths, in the order in which the call enters their functions first."""
    found: dict[str, None] = {}

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(f"{PACKAGE}/"):
            found[str(Path(frame.f_code.co_filename).relative_to(PACKAGE))] = None

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return list(found)


def trips(settings: StoreSettings) -> dict[str, list[str]]:
    """Of a search without a filter and of one with a filter, each after some like it."""
    where = F("year") >= 2010
    with Searcher(
        COLLECTION, url=settings.url, path=settings.path, grpc_port=settings.grpc_port, encoder=HashEncoder()
    ) as searcher:
        ways: dict[str, Callable[[], Any]] = {
            "search": lambda: searcher.search("what bees dance for"),
            "search with a filter": lambda: searcher.search("what bees dance for", where=where),
        }
        for way in ways.values():
            way()
            way()
        return {name: entered(way) for name, way in ways.items()}


@contextmanager
def stores() -> Iterator[dict[str, StoreSettings]]:
    """Both kinds, filled."""
    with tempfile.TemporaryDirectory() as folder, QdrantServer.start("1.17.0", Path(folder) / "server") as server:
        places = {
            "embedded": store_settings(path=Path(folder) / "embedded"),
            "server": store_settings(url=server.url, grpc_port=server.grpc_port),
        }
        for settings in places.values():
            fill(settings, HashEncoder())
        yield places


def main() -> None:
    """Print the numbers, and then the modules by their paths."""
    with stores() as places:
        found = {f"{store}, {way}": trip for store, at in places.items() for way, trip in trips(at).items()}
    for name, trip in found.items():
        print(f"{len(trip):3}  {name}")
    for name, trip in found.items():
        print(f"\n{name}:", *trip, sep="\n  ")


if __name__ == "__main__":
    main()
