"""A result as Markdown: the part between the markers of docs/performance.md, targets first."""

from __future__ import annotations

from statistics import median

from benchmarks.running.tables import Spread, spread, table
from benchmarks.searching.contestants import CEILING, EMBEDDED, LOCAL, OURS
from benchmarks.searching.ratios import entry_of, over, overhead, p50, p95, peers, quickest, rate, turns_of
from benchmarks.searching.results import (
    BATCH,
    ENCODED_ONE,
    ENCODED_TOGETHER,
    FILTERED,
    GIVEN,
    GIVEN_FILTERED,
    ONE,
    SINGLE,
    TOGETHER,
    Entry,
    Result,
    Turn,
)
from benchmarks.searching.targets import target_rows

_TOLD = (
    *("qdrant-client", "qdrant-edge-py", "grpcio", "numpy", "torch", "transformers", "sentence-transformers"),
    *("langchain-qdrant", "langchain-huggingface", "haystack-ai", "qdrant-haystack", "sentence-transformers-haystack"),
)


def render(result: Result) -> str:
    parts = [heading(result), targets(result), *server(result), *embedded(result), failures(result), versions(result)]
    return "\n\n".join(part for part in parts if part)


def heading(result: Result) -> str:
    machine = result.machine
    rounds = len({turn.round for entry in result.entries for turn in entry.turns})
    return (
        f"Measured {result.date}, commit `{result.commit}`, {result.minutes:.0f} minutes, rounds: {rounds}, on "
        f"{machine.name}, {machine.threads} threads, {machine.memory_gib:.0f} GiB, Python {machine.python}; Qdrant "
        f"{result.server} on the same machine. {result.points:,} points of {result.dim} numbers and payloads of "
        f"{result.payload_bytes:.0f} bytes of JSON, the best {result.limit} asked for with all of it; the filter lets "
        f"{result.matching:.1%} of the points through. Medians of the rounds, the lowest and the highest."
    )


def targets(result: Result) -> str:
    rows = target_rows(result)
    return "### Targets of searching\n\n" + table(["", "target", "measured", ""], rows) if rows else ""


def server(result: Result) -> list[str]:
    shown = [entry for entry in _at_server(result) if turns_of(entry, SINGLE)]
    if not shown:
        return []
    base = quickest(peers(result, plain=True))
    header = ["", "p50, ms", "p95, ms", f"p50, of {base.title}'s" if base else "", "recall@10"]
    texts = []
    for title, task in (("### One query, from text to hits", SINGLE), ("### The same with a filter", FILTERED)):
        rows = [_latency_row(entry, base, task) for entry in shown if turns_of(entry, task)]
        texts += [title, table(header, rows)]
    return [*texts, *parts(result), *many(result), *together(result)]


def parts(result: Result) -> list[str]:
    if (ours := entry_of(result, OURS)) is None or not ours.parts:
        return []
    rows = []
    for task in (SINGLE, FILTERED):
        found = [each for each in ours.parts if each.task == task]
        taken = zip(*((each.search, each.encode, each.query) for each in found), strict=True)
        cells = [_shown(spread([median(values) for values in rounds]), "{:.2f}") for rounds in taken]
        rows.append([task, *cells, _shown(spread([overhead(each) for each in found]), "{:.2f}")])
    header = ["", "`Searcher.search`, ms", "encoding alone, ms", "the bare gRPC request, ms", "beyond both, ms"]
    return ["### What a search is made of", table(header, rows)]


def many(result: Result) -> list[str]:
    rows = []
    for entry in _at_server(result):
        loop, batch = turns_of(entry, SINGLE), turns_of(entry, BATCH)
        if entry.name != CEILING and loop:
            at_once = f"{batch[0].queries:,}" if batch else "-"
            rows.append([_name(entry), _rate(loop), _rate(batch), at_once])
    header = ["", "in a loop, queries/s", "in one call, queries/s", "queries in that call"]
    return ["### Many queries", table(header, rows)] if rows else []


def together(result: Result) -> list[str]:
    pairs = [(_name(entry), entry, ONE, TOGETHER) for entry in _at_server(result)]
    if ours := entry_of(result, OURS):
        pairs.insert(1, ("its encoder alone, as many in a batch", ours, ENCODED_ONE, ENCODED_TOGETHER))
    rows = [
        [name, _rate(one), _rate(turns_of(entry, many_at_once)), _ratio(turns_of(entry, many_at_once), one)]
        for name, entry, one_at_once, many_at_once in pairs
        if (one := turns_of(entry, one_at_once))
    ]
    header = ["", "one at a time, queries/s", f"{result.at_once} at once, queries/s", "ratio"]
    said = "Ours is `AsyncSearcher`; the stub's requests need no encoding: they are what the server takes by itself."
    return ["### At once", said, table(header, rows)] if rows else []


def embedded(result: Result) -> list[str]:
    pair = [found for name in (EMBEDDED, LOCAL) if (found := entry_of(result, name)) and found.turns]
    if not pair:
        return []
    rows = []
    for entry in pair:
        for ef in sorted({turn.ef for turn in entry.turns}):
            rows.append(
                [
                    f"{_name(entry)}, `hnsw_ef` {ef}" if ef else _name(entry),
                    *(_milliseconds(turns_of(entry, task, ef)) for task in (GIVEN, GIVEN_FILTERED)),
                    *(_recall(entry, task, ef) for task in (GIVEN, GIVEN_FILTERED)),
                    *(_milliseconds(turns_of(entry, task, ef)) for task in (SINGLE, FILTERED)),
                ]
            )
    header = ["", "p50, vector given, ms", "with the filter, ms", "recall@10", "with the filter"]
    header += ["p50, from text, ms", "with the filter, ms"]
    return ["### Embedded", table(header, rows)]


def failures(result: Result) -> str:
    return "\n".join(
        f"{entry.title}, {task}, failed: {said}" for entry in result.entries for task, said in entry.failures.items()
    )


def versions(result: Result) -> str:
    told = [
        f"{environment}: {', '.join(f'{name} {found[name]}' for name in _TOLD if name in found)}"
        for environment, found in result.packages.items()
    ]
    return f"Versions: {'; '.join(told)}." if told else ""


def quick_lines(result: Result) -> list[str]:
    """One line per contestant and task, and the targets."""
    lines = []
    for entry in result.entries:
        for task, ef in dict.fromkeys((turn.task, turn.ef) for turn in entry.turns):
            turns = turns_of(entry, task, ef)
            figure = f"{_milliseconds(turns)} ms" if turns[0].milliseconds else f"{_rate(turns)} queries/s"
            found = entry.recall(task, ef)
            lines.append(
                f"{entry.name:14} {task:16} {f'ef {ef}' if ef else '':7}{figure}"
                + (f", recall {found:.3f}" if found is not None else "")
            )
        lines += [f"{entry.name:14} {task:16} failed: {said}" for task, said in entry.failures.items()]
    return [*lines, *(": ".join(row) for row in target_rows(result))]


def _at_server(result: Result) -> list[Entry]:
    return [entry for entry in result.entries if entry.name not in (EMBEDDED, LOCAL)]


def _latency_row(entry: Entry, base: Entry | None, task: str) -> list[str]:
    turns = turns_of(entry, task)
    return [
        _name(entry),
        _milliseconds(turns),
        _shown(spread([p95(turn) for turn in turns]), "{:.2f}"),
        _shown(over(turns, turns_of(base, task), p50), "{:.2f}"),
        _recall(entry, task, 0),
    ]


def _name(entry: Entry) -> str:
    return f"**{entry.title}**" if entry.name in (OURS, EMBEDDED) else entry.title


def _milliseconds(turns: list[Turn]) -> str:
    return _shown(spread([p50(turn) for turn in turns]), "{:.2f}")


def _rate(turns: list[Turn]) -> str:
    return _shown(spread([rate(turn) for turn in turns]), "{:,.0f}")


def _ratio(above: list[Turn], below: list[Turn]) -> str:
    return _shown(over(above, below, rate), "{:.1f}")


def _recall(entry: Entry, task: str, ef: int) -> str:
    found = next((each for each in entry.recalls if (each.task, each.ef) == (task, ef)), None)
    return f"{found.value:.4f} of {found.queries}" if found else "-"


def _shown(found: Spread | None, form: str) -> str:
    if found is None:
        return "-"
    return f"{form.format(found.median)} ({form.format(found.lowest)} to {form.format(found.highest)})"
