"""From text to searchable, and each stage alone: `python -m benchmarks.loading.stages FOLDER COUNT`.

Uses a model of TAS-B's size but with a single layer, so that no stage hides all others. Run it in a separate process;
it answers with JSON on stdout.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.loading.points import ensure_points
from benchmarks.loading.turns import fresh_server
from tasb_qdrant.collection.open import open_for_writing, open_store_at
from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.flow import Flow
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.read.windows import read_windows
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.resume.journal import Journal
from tasb_qdrant.ingest.upload.uploader import Uploader, batches_of
from tasb_qdrant.ingest.verify.run import verify
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.settings import CollectionSettings, PayloadKeys, StoreSettings, store_settings
from tasb_qdrant.sources import SourceFields, open_sources
from tests.models import make_tasb_like
from tests.qdrant_servers import QdrantServer

MODEL: Final = "a DistilBERT of TAS-B's size with one layer, on the CPU"
ROUNDS: Final = 3
WARMING: Final = 4


def measure(build: Path, count: int) -> dict[str, Any]:
    source = ensure_points(build, count).folder / "payloads.jsonl"
    encoder = load_encoder(_model(build / "one-layer"), device="cpu")
    windows: list[Window] = []
    alone = {"read": _timed(lambda: windows.extend(_read(source)))}
    texts = [[passage.encoder_text for passage in window.passages] for window in windows]
    for few in texts[:WARMING]:
        encoder.encode_passages(few)
    tokens = []
    alone["tokenize"] = _timed(lambda: tokens.extend([encoder.tokenize_passages(some) for some in texts]))
    vectors = []
    alone["encode"] = _timed(lambda: vectors.extend([encoder.encode_tokens(some) for some in tokens]))
    with fresh_server(build) as server:
        store = open_store_at(_place(server))
        collection = open_for_writing("alone", store, contract=encoder.contract, settings=CollectionSettings())
        collection.defer_indexing()

        def upload() -> None:
            with Flow() as flow:
                uploader = Uploader(collection, flow, Counters(), on_stored=lambda _: None)
                for window, rows in zip(windows, vectors, strict=True):
                    for batch in batches_of(window, rows, dim=rows.shape[1]):
                        uploader.batches.put(batch)
                uploader.batches.close()
                flow.join(waiting=lambda: None)
            assert collection.reads.count() == count

        alone["upload"] = _timed(upload)
        collection.close()
        store.close()
    rounds = [_together(build, source, encoder, count) for _ in range(ROUNDS)]
    together, checkpoints, verified = zip(*rounds, strict=True)
    return {
        "passages": count,
        "model": MODEL,
        "together_s": together,
        "alone_s": alone,
        "checkpoints_s": checkpoints,
        "verified_s": verified,
    }


def _together(build: Path, source: Path, encoder: Any, count: int) -> tuple[float, float, float]:
    """Seconds of the load, of the checkpoints in it, and of verifying it afterwards."""
    saving = [0.0]
    with fresh_server(build) as server, _timing(Journal, "save", saving):
        place = {"url": server.url, "grpc_port": server.grpc_port, "collection": "together"}

        def run() -> None:
            report = ingest(source, encoder=encoder, optimize=False, transport="grpc", **place)  # type: ignore[arg-type]
            assert report.points == count

        def check() -> None:
            found = verify(source, encoder=encoder, transport="grpc", **place)  # type: ignore[arg-type]
            assert found.read == count
            assert not found.missing + found.payload + found.vectors

        loaded = _timed(run)
        return loaded, saving[0], _timed(check)


@contextmanager
def _timing(owner: type, name: str, seconds: list[float]) -> Iterator[None]:
    """Adds up the time the method takes, in any thread."""
    method = getattr(owner, name)

    def timed(*arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            seconds[0] += time.perf_counter() - start

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, method)


def _read(source: Path) -> list[Window]:
    counters = Counters()
    with RejectLog(None, on_reject=lambda: None) as log:
        reader = open_sources([source], format=None, fields=SourceFields(), column_types={}, on_reject=log.add)
        with reader as passages:
            reading = read_windows(
                passages,
                keys=PayloadKeys(),
                integer_ids="u53",
                indexes={},
                rejects=log,
                counters=counters,
                proposal=IndexProposal(),
            )
            return list(reading)


def _model(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        make_tasb_like(folder, layers=1)
    return folder


def _place(server: QdrantServer) -> StoreSettings:
    return store_settings(url=server.url, grpc_port=server.grpc_port, transport="grpc")


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
