"""What each precision costs: SciFact, complete, with a small trained encoder, searched exactly.

    python -m benchmarks.precision                    # one line per precision
    python -m benchmarks.precision --write            # into docs/performance.md and docs/performance/precision.json
    python -m benchmarks.precision --write --only int8          # measure these again, keep the others

Vectors are compared one by one with those of our forward pass in fp32; transformers' is in the table too.
Needs SciFact in BEIR's layout below $TASB_QDRANT_DATA, or ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import ir_measures
import numpy as np
from numpy.typing import NDArray

from benchmarks.encoding.texts import data_folder
from benchmarks.encoding.turns import ROOT
from benchmarks.running.document import with_section
from benchmarks.running.machine import commit, cpu_name, today
from benchmarks.running.tables import table
from tasb_qdrant.encoder import Encoder, load_encoder
from tests.models import minilm_folder

DOCUMENT: Final = ROOT / "docs" / "performance.md"
KEPT: Final = ROOT / "docs" / "performance" / "precision.json"
DEPTH: Final = 10

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Collection:
    """Document ids and texts, queries by id, and grades: (query, document, grade)."""

    ids: list[str]
    texts: list[str]
    queries: dict[str, str]
    grades: list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Loss:
    """The result of one precision. Cosines are with ours in fp32, over all documents and queries; `length` is the ratio
    of vector lengths that is farthest from 1."""

    name: str
    ndcg: float
    least_cosine: float
    mean_cosine: float
    length: float
    same_best: float
    seconds: float


def read_collection(folder: Path) -> Collection:
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [line.split("\t") for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    judged = {query for query, _, _ in lines}
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    return Collection(
        ids=[row["_id"] for row in rows],
        texts=[f"{row['title']} {row['text']}" if row["title"] else row["text"] for row in rows],
        queries={row["_id"]: row["text"] for row in queries if row["_id"] in judged},
        grades=[(query, document, int(grade)) for query, document, grade in lines],
    )


def contestants(model: Path) -> dict[str, Callable[[], Encoder]]:
    """The others are compared with the first."""
    return {
        "fp32": lambda: load_encoder(model, device="cpu", precision="fp32"),
        "bf16": lambda: load_encoder(model, device="cpu", precision="bf16"),
        "int8": lambda: load_encoder(model, device="cpu", precision="int8"),
        "transformers": lambda: load_encoder(model, device="cpu", precision="fp32", forward="reference"),
    }


def measure(
    name: str, encoder: Encoder, collection: Collection, truth: tuple[Vectors, Vectors] | None
) -> tuple[Loss, tuple[Vectors, Vectors]]:
    """The loss, and the vectors of documents and queries."""
    start = time.perf_counter()
    documents = encoder.encode_passages(collection.texts)
    queries = encoder.encode_queries(list(collection.queries.values()))
    seconds = time.perf_counter() - start
    found, right = np.concatenate([documents, queries]), np.concatenate(truth or (documents, queries))
    lengths, expected = (np.linalg.norm(vectors, axis=1) for vectors in (found, right))
    cosines = (found * right).sum(axis=1) / lengths / expected
    ratios = lengths / expected
    pairs = ((queries, documents), truth[::-1] if truth else (queries, documents))
    best = [(asked @ known.T).argmax(axis=1) for asked, known in pairs]
    loss = Loss(
        name=name,
        ndcg=ndcg(collection, documents, queries),
        least_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
        length=float(ratios[np.abs(ratios - 1).argmax()]),
        same_best=float((best[0] == best[1]).mean()),
        seconds=seconds,
    )
    return loss, (documents, queries)


def ndcg(collection: Collection, documents: Vectors, queries: Vectors) -> float:
    scores = queries @ documents.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    run = [
        ir_measures.ScoredDoc(query, collection.ids[row], float(scores[number, row]))
        for number, query in enumerate(collection.queries)
        for row in best[number].tolist()
    ]
    qrels = [ir_measures.Qrel(*grade) for grade in collection.grades]
    measure = ir_measures.nDCG @ DEPTH
    return float(ir_measures.calc_aggregate([measure], qrels, run)[measure])


def render(losses: Sequence[Loss], *, machine: str, date: str, revision: str) -> str:
    base = losses[0].ndcg
    rows = [
        (
            loss.name,
            f"{loss.ndcg:.4f}",
            f"{loss.ndcg - base:+.4f}",
            f"{loss.least_cosine:.5f}",
            f"{loss.mean_cosine:.5f}",
            f"{loss.length:.4f}",
            f"{loss.same_best:.1%}",
        )
        for loss in losses
    ]
    header = (
        "",
        "nDCG@10",
        "difference",
        "lowest cosine",
        "mean cosine",
        "length, farthest from 1",
        "same best document",
    )
    command = "`python -m benchmarks.precision --write`"
    told = f"Measured {date}, commit `{revision}`, with all-MiniLM-L6-v2 on {machine} ({command})."
    return f"{told}\n\n{table(header, rows)}"


def kept_losses() -> dict[str, Loss]:
    kept = json.loads(KEPT.read_text())["losses"] if KEPT.is_file() else []
    return {loss["name"]: Loss(**loss) for loss in kept}


def write(losses: dict[str, Loss]) -> None:
    about = {"machine": cpu_name(), "date": today(), "revision": commit(ROOT)}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(about | {"losses": [asdict(loss) for loss in losses.values()]}, indent=1) + "\n")
    text = with_section(DOCUMENT.read_text(encoding="utf-8"), "precision", render([*losses.values()], **about))
    DOCUMENT.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the result in docs/")
    parser.add_argument("--only", type=lambda text: text.split(","), help="these, and fp32 to compare them with")
    options = parser.parse_args()
    folder = data_folder() / "scifact"
    if not folder.is_dir():
        print(f"SciFact is not in {folder}; name its parent folder with TASB_QDRANT_DATA", file=sys.stderr)
        return 1
    collection = read_collection(folder)
    losses = kept_losses() if options.only else {}
    truth = None
    for name, load in contestants(minilm_folder()).items():
        if truth is not None and options.only and name not in options.only:
            continue
        loss, vectors = measure(name, load(), collection, truth)
        truth = truth or vectors
        losses[name] = loss
        print(f"{name:20} nDCG@10 {loss.ndcg:.4f}, cosine {loss.least_cosine:.5f}, {loss.seconds:.0f} s", flush=True)
        if options.write:
            write(losses)
    return 0


if __name__ == "__main__":
    sys.exit(main())
