"""A result as pictures, SVG: `python -m benchmarks.encoding.plots RESULT.json`. Needs matplotlib."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.encoding import summary
from benchmarks.encoding.model import FLOP_A_TOKEN
from benchmarks.encoding.results import Entry, Result, read_result

OURS: Final = "#0b6e4f"
FLOATS: Final = "#7a8b99"
INT8: Final = "#c9b27c"
CEILING: Final = "#b3261e"
# The same bytes for the same numbers, and text that can be searched.
STYLE: Final = {
    "svg.hashsalt": "tasb-qdrant",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
}


def draw(result: Result, folder: Path, name: str) -> list[str]:
    """Writes `NAME-bulk.svg` and so on, and returns their names. Raises ImportError without matplotlib."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    entries = [entry for entry in result.main.entries if entry.turns]
    with matplotlib.rc_context(STYLE):
        pictures = {
            "bulk": bulk(result, entries),
            "query": bars(
                entries,
                [summary.quantile(entry, 0.5) for entry in entries],
                title="A single query of 12 tokens: bar p50, line to p99 (ms)",
                tails=[summary.quantile(entry, 0.99) for entry in entries],
            ),
            "startup": bars(
                entries,
                [median(turn.startup_s for turn in entry.turns) for entry in entries],
                title="From the start of a process to its first vector (s)",
            ),
            "memory": bars(
                entries,
                [max(turn.peak_mib for turn in entry.turns) for entry in entries],
                title="Peak memory of the process (MiB)",
                digits=0,
            ),
        }
        names = []
        for kind, figure in pictures.items():
            names.append(f"{name}-{kind}.svg")
            figure.savefig(folder / names[-1], metadata={"Date": None}, bbox_inches="tight")
            import_module("matplotlib.pyplot").close(figure)
    return names


def bulk(result: Result, entries: list[Entry]) -> Any:
    rates = [summary.passages_a_second(entry) for entry in entries]
    lows = [min(turn.passages / turn.bulk_s for turn in entry.turns) for entry in entries]
    highs = [max(turn.passages / turn.bulk_s for turn in entry.turns) for entry in entries]
    figure = bars(entries, rates, title="Bulk: passages a second (line: lowest to highest)", lines=(lows, highs))
    axes = figure.axes[0]
    tokens = median(turn.tokens / turn.passages for entry in entries for turn in entry.turns)
    for precision in {entry.precision for entry in entries if entry.ours} & {"bf16", "fp16"}:
        peak = summary.peak(result.main, precision)
        if peak:
            at = peak.median / FLOP_A_TOKEN / tokens
            axes.axvline(at, color=CEILING, linestyle="--", linewidth=1.2)
            label = f"{precision} GEMM peak: {at:,.0f} "
            axes.text(at, len(entries) - 1, label, color=CEILING, ha="right", va="center")
            axes.set_xlim(0, max(*highs, at) * 1.1)
    return figure


def bars(
    entries: list[Entry],
    values: list[float],
    *,
    title: str,
    digits: int = 1,
    tails: list[float] | None = None,
    lines: tuple[list[float], list[float]] | None = None,
) -> Any:
    figure, axes = import_module("matplotlib.pyplot").subplots(figsize=(8.2, 0.34 * len(entries) + 1.1))
    places = range(len(entries))
    colors = [OURS if entry.ours else INT8 if entry.precision == "int8" else FLOATS for entry in entries]
    axes.barh(places, values, color=colors, height=0.68)
    ends = values
    if tails:
        axes.hlines(places, values, tails, color="#333333", linewidth=1)
        ends = [max(pair) for pair in zip(values, tails, strict=True)]
    if lines:
        axes.hlines(places, *lines, color="#222222", linewidth=1)
        ends = [max(pair) for pair in zip(values, lines[1], strict=True)]
    # A tail many times as long as every bar would leave nothing to see of the bars.
    limit = min(max(ends), 3 * max(values)) * 1.14
    for place, value, end in zip(places, values, ends, strict=True):
        axes.text(min(end, limit * 0.9) + limit * 0.008, place, f"{value:,.{digits}f}", va="center")
    axes.set_xlim(0, limit)
    marks = ["" if summary.comparable(entry) else " (not comparable)" for entry in entries]
    axes.set_yticks(places, [entry.title + mark for entry, mark in zip(entries, marks, strict=True)])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    return figure


if __name__ == "__main__":
    path = Path(sys.argv[1])
    print(*draw(read_result(path), path.parent, path.stem))
