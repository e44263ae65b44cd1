"""What splitting long texts brings: SciFact, complete, with a small trained encoder that reads 256 tokens.

    python -m benchmarks.long_texts                                  # a line for each split
    python -m benchmarks.long_texts --only none tokens:128           # these alone
    python -m benchmarks.long_texts --write                          # into docs/long-texts.md

Each collection is made by `ingest` in an embedded store, and searched by its index, documents by their best passage.
Needs SciFact in BEIR's layout below $TASB_QDRANT_DATA, or ../shared/data.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ir_measures

from benchmarks.encoding.texts import data_folder
from benchmarks.encoding.turns import ROOT
from benchmarks.precision import Collection, read_collection
from benchmarks.running.document import with_section
from benchmarks.running.machine import commit, cpu_name, today
from benchmarks.running.tables import table
from tasb_qdrant import Encoder, Searcher, ingest, load_encoder
from tests.models import minilm_folder

DOCUMENT: Final = ROOT / "docs" / "long-texts.md"
SPLITS: Final = ("none", "tokens:256,overlap:32", "tokens:200,overlap:32", "tokens:128,overlap:16")
MODES: Final = ("dense", "bm25", "hybrid")
MEASURES: Final = (ir_measures.nDCG @ 10, ir_measures.R @ 100)
DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class Result:
    """Of one split: passages, those cut off, and for each mode the measures in their order."""

    split: str
    precision: str
    passages: int
    truncated: int
    figures: dict[str, list[float]]


def measure(split: str, encoder: Encoder, corpus: Path, collection: Collection) -> Result:
    given = None if split == "none" else split
    with tempfile.TemporaryDirectory() as folder:
        report = ingest(corpus, collection="c", path=folder, encoder=encoder, split=given, bm25=True)
        with Searcher("c", path=folder, encoder=encoder) as searcher:
            figures = {mode: _figures(searcher, mode, collection, best_per=given and "doc_id") for mode in MODES}
    return Result(split, report.precision, report.points, report.truncated, figures)


def _figures(searcher: Searcher, mode: str, collection: Collection, *, best_per: str | None) -> list[float]:
    texts = list(collection.queries.values())
    answers = searcher.search_batch(texts, limit=DEPTH, mode=mode, best_per=best_per)  # type: ignore[arg-type]  # a Mode
    run = [
        ir_measures.ScoredDoc(query, hit.payload.get("doc_id", hit.id), hit.score)
        for query, hits in zip(collection.queries, answers, strict=True)
        for hit in hits
    ]
    found = ir_measures.calc_aggregate(MEASURES, [ir_measures.Qrel(*grade) for grade in collection.grades], run)
    return [float(found[each]) for each in MEASURES]


def render(results: Sequence[Result]) -> str:
    header = ("--split", "passages", "truncated", *(f"{mode}: {each}" for mode in MODES for each in MEASURES))
    rows = [
        (
            one.split if one.split == "none" else f"`{one.split}`",
            f"{one.passages:,}",
            f"{one.truncated:,}",
            *(f"{figure:.4f}" for mode in MODES for figure in one.figures[mode]),
        )
        for one in results
    ]
    told = (
        f"Measured {today()}, commit `{commit(ROOT)}`, with all-MiniLM-L6-v2 in {results[0].precision} on {cpu_name()} "
        "(`make bench-long-texts`)."
    )
    return f"{told}\n\n{table(header, rows)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the result in docs/long-texts.md")
    parser.add_argument("--only", metavar="SPLIT", nargs="+", default=SPLITS, help="these splits")
    options = parser.parse_args()
    folder = data_folder() / "scifact"
    if not folder.is_dir():
        print(f"SciFact is not in {folder}; name its parent folder with TASB_QDRANT_DATA", file=sys.stderr)
        return 1
    collection = read_collection(folder)
    encoder = load_encoder(minilm_folder(), device="cpu")
    results = []
    for split in options.only:
        results.append(measure(split, encoder, folder / "corpus.jsonl", collection))
        print(results[-1], flush=True)
    if options.write:
        text = with_section(DOCUMENT.read_text(encoding="utf-8"), "scifact", render(results))
        DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
