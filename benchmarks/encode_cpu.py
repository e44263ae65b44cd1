"""Encoding on a CPU, ours against others' in one run: `python -m benchmarks.encode_cpu [--quick]`.

The model is random, in TAS-B's configuration: weights don't change the time. Every contestant encodes the
same passages, each in turn and several times over, so that what else the machine does hits all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.encoder.hardware import has_amx
from tests.models import make_tasb_like

CORPUS = Path(os.environ.get("TASB_QDRANT_DATA", Path(__file__).parents[2] / "shared/data")) / "msmarco-dl-pool"
QUERY = "what is the capital city of france in europe"  # 11 to 13 tokens with CLS and SEP
FLOP_A_TOKEN = 84.9e6  # of the whole model; ours skips 14% of them, and is not credited for it
PEER = "sentence-transformers fp32"

Encode = Callable[[list[str]], NDArray[np.float32]]


@dataclass
class Contestant:
    name: str
    passages: Encode
    query: Encode
    load_s: float
    first_ms: float = 0.0
    bulk_s: list[float] = field(default_factory=list)
    query_ms: list[float] = field(default_factory=list)
    cosine: float = 0.0

    def ratios(self, base: Contestant) -> list[float]:
        """How many times as fast in bulk, round by round: what slows one slows its neighbour."""
        return [theirs / own for own, theirs in zip(self.bulk_s, base.bulk_s, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 passages, twice, instead of 2000, three times")
    parser.add_argument("--passages", type=int, help="how many passages")
    parser.add_argument("--rounds", type=int, help="how often each contestant encodes them")
    options = parser.parse_args()
    count = options.passages or (200 if options.quick else 2000)
    rounds = options.rounds or (2 if options.quick else 3)
    texts = read_texts(count)
    with tempfile.TemporaryDirectory() as folder:
        model = make_tasb_like(Path(folder) / "model")
        contestants = load_contestants(model)
        tokens = load_encoder(model, device="cpu", precision="fp32").tokenize_passages(texts).tokens
        peaks = compete(contestants, texts, rounds)
        print(report(contestants, texts, tokens, peaks))
        print()
        print(tokenizing(model, read_texts(20 * count)))
    return 0


def read_texts(count: int) -> list[str]:
    path = CORPUS / "corpus.jsonl"
    if not path.is_file():
        sys.exit(f"no passages at {path}; set TASB_QDRANT_DATA to the folder of msmarco-dl-pool")
    with path.open() as lines:
        return [json.loads(line)["text"] for line, _ in zip(lines, range(count), strict=False)]


def load_contestants(model: Path) -> list[Contestant]:
    precisions = ("fp32", "bf16") if has_amx() else ("fp32",)
    contestants = [ours(model, p, forward) for forward in ("reference", "fast") for p in precisions]
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:
        print(f"{PEER} is left out: it is not installed", file=sys.stderr)
        return contestants
    start = time.perf_counter()
    transformer = Transformer(str(model))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    peer: Any = SentenceTransformer(modules=[transformer, pooling], device="cpu")

    def encode(texts: list[str]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = peer.encode(texts, show_progress_bar=False)
        return found

    return [Contestant(PEER, encode, encode, time.perf_counter() - start), *contestants]


def ours(model: Path, precision: str, forward: str) -> Contestant:
    start = time.perf_counter()
    encoder = load_encoder(model, device="cpu", precision=precision, forward=forward)
    seconds = time.perf_counter() - start
    return Contestant(f"{forward} {precision}", encoder.encode_passages, encoder.encode_queries, seconds)


def compete(contestants: Sequence[Contestant], texts: list[str], rounds: int) -> dict[str, list[float]]:
    """Fills in the contestants' times; returns the GEMM peaks measured between them, FLOP/s by precision."""
    peaks: dict[str, list[float]] = {}
    sample = texts[:64]
    truth = contestants[0].passages(sample)
    for one in contestants:
        one.first_ms = 1e3 * seconds_of(lambda one=one: one.query([QUERY]))  # type: ignore[misc]  # bound per turn
        one.cosine = min_cosine(one.passages(sample), truth)
    for _ in range(rounds):
        for one in contestants:
            for _ in range(30):
                one.query_ms.append(1e3 * seconds_of(lambda one=one: one.query([QUERY])))  # type: ignore[misc]  # the same
            one.bulk_s.append(seconds_of(lambda one=one: one.passages(texts)))  # type: ignore[misc]  # the same
            for precision in ("fp32", "bf16") if has_amx() else ("fp32",):
                peaks.setdefault(precision, []).append(gemm_peak(precision))
    return peaks


def seconds_of(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def min_cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / norms).min())


def gemm_peak(precision: str) -> float:
    """FLOP/s of the model's largest product, from weights laid out beforehand; the best of ten."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    rows, inputs, outputs = 4096, 768, 3072
    x, bias = torch.randn(rows, inputs).to(dtype), torch.zeros(outputs, dtype=dtype)
    weight = torch.ops.mkldnn._reorder_linear_weight(torch.randn(outputs, inputs).to(dtype), None)
    multiply = torch.ops.mkldnn._linear_pointwise
    best = min(seconds_of(lambda: multiply(x, weight, bias, "none", [], "")) for _ in range(10))
    return 2 * rows * inputs * outputs / best


def report(contestants: Sequence[Contestant], texts: list[str], tokens: int, peaks: dict[str, list[float]]) -> str:
    """Medians. `of peak` sets the whole model's FLOP against the median GEMM peak of the same run."""
    import torch

    base = contestants[0]
    lines = [
        f"{len(texts)} passages, {tokens / len(texts):.0f} tokens each; {torch.get_num_threads()} threads; GEMM peak "
        + ", ".join(f"{p} {median(found) / 1e12:.2f} TFLOP/s" for p, found in peaks.items()),
        "",
        "| | passages/s | ratio | best | of peak | query p50, ms | ratio | best | load, s | first query, ms | cosine |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in contestants:
        rate, query = len(texts) / median(one.bulk_s), median(one.query_ms)
        peak = median(peaks[one.name.rpartition(" ")[2]])
        cells = (
            f"{rate:.1f}",
            f"{median(one.ratios(base)):.2f}x",
            f"{len(texts) / min(one.bulk_s):.1f}",
            f"{tokens * FLOP_A_TOKEN / median(one.bulk_s) / peak:.0%}",
            f"{query:.2f}",
            f"{median(base.query_ms) / query:.2f}x",
            f"{min(one.query_ms):.2f}",
            f"{one.load_s:.1f}",
            f"{one.first_ms:.0f}",
            f"{one.cosine:.6f}",
        )
        lines.append(f"| {one.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tokenizing(model: Path, texts: list[str]) -> str:
    """Ours in one thread against `encode_batch_fast` in one, in CPU time, with equal ids."""
    from tokenizers import Tokenizer

    encoder = load_encoder(model, device="cpu", precision="fp32")
    own = Tokenizer.from_file(str(model / "tokenizer.json"))
    own.no_padding()
    own.enable_truncation(encoder.contract.max_length)
    cold, batch = cpu_seconds(lambda: encoder.tokenize_passages(texts))
    warm = min(cpu_seconds(lambda: encoder.tokenize_passages(texts))[0] for _ in range(3))
    theirs, encodings = cpu_seconds(lambda: own.encode_batch_fast(texts))
    same = all(np.array_equal(batch[i], encoding.ids) for i, encoding in enumerate(encodings))
    rows = (("encode_batch_fast", theirs), ("ours, words unknown", cold), ("ours, words known", warm))
    lines = [f"Tokenising {len(texts)} passages, CPU time of all threads; ids {'equal' if same else 'DIFFERENT'}", ""]
    lines += ["| | passages/s a core | ratio |", "|---|---|---|"]
    lines += [f"| {name} | {len(texts) / seconds:,.0f} | {theirs / seconds:.1f}x |" for name, seconds in rows]
    return "\n".join(lines)


def cpu_seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


if __name__ == "__main__":
    sys.exit(main())
