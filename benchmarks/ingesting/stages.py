"""Each stage before the store, alone: `python -m benchmarks.ingesting.stages SOURCE MODEL DEVICE`.

In a process of its own, since the runner never imports torch; it answers with JSON on stdout: passages a second.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.index_proposal import IndexProposal
from tasb_qdrant.ingest.read.windows import read_windows
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.settings import PayloadKeys
from tasb_qdrant.sources import SourceFields, open_sources

READ: Final = "reading and checking"
TOKENIZED: Final = "tokenising"
PASSAGES: Final = "`encode_passages`"
TOKENS: Final = "`encode_tokens`: the encoder's own speed"
_ROUNDS: Final = 2
_WARMING: Final = 8


def measure(source: Path, model: str, device: str) -> dict[str, float]:
    """The best of two rounds each: what else the machine does only makes them slower."""
    rates = {READ: _rate(lambda: sum(len(window.passages) for window in _read(source)))}
    windows = _read(source)
    encoder = load_encoder(model, device=device)
    texts = [passage.encoder_text for window in windows for passage in window.passages]
    encoder.encode_passages(texts[: max(1, len(texts) // _WARMING)])
    rates[TOKENIZED] = _rate(lambda: len(encoder.tokenize_passages(texts)))
    rates[PASSAGES] = _rate(lambda: len(encoder.encode_passages(texts)))
    tokens = encoder.tokenize_passages(texts)
    rates[TOKENS] = _rate(lambda: len(encoder.encode_tokens(tokens)))
    return rates


def _rate(run: Callable[[], int]) -> float:
    """`run` gives the passages that it went through."""
    rates = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        rates.append(run() / (time.perf_counter() - start))
    return max(rates)


def _read(source: Path) -> list[Window]:
    with RejectLog(None, on_reject=lambda: None) as log:
        reader = open_sources([source], format=None, fields=SourceFields(), column_types={}, on_reject=log.add)
        with reader as passages:
            reading = read_windows(
                passages,
                keys=PayloadKeys(),
                integer_ids="u53",
                indexes={},
                rejects=log,
                counters=Counters(),
                proposal=IndexProposal(),
            )
            return list(reading)


def main() -> None:
    source, model, device = sys.argv[1:]
    print(json.dumps(measure(Path(source), model, device)))


if __name__ == "__main__":
    main()
