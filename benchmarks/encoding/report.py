"""A result as Markdown: the part between the markers of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.encoding import summary
from benchmarks.encoding.contestants import BASE
from benchmarks.encoding.results import Competition, Entry, Result, Whole
from benchmarks.encoding.targets import Target, targets_of
from benchmarks.running.tables import Spread, spread, table

NONE = "-"
_TOLD = (
    *("torch", "transformers", "tokenizers", "sentence-transformers", "onnxruntime", "optimum-onnx"),
    *("openvino", "optimum-intel", "fastembed", "langchain-huggingface"),
)


def render(result: Result, *, plots: Sequence[str] = ()) -> str:
    parts = [heading(result), *(f"![{name}](performance/{name})" for name in plots)]
    parts.append(target_table(targets_of(result)))
    parts += [bulk_section(result), query_section(result), startup_section(result)]
    if result.tokenizing:
        parts.append(tokenizing_section(result))
    if result.without_amx:
        parts.append(without_amx_section(result.without_amx))
    parts += [failure_section(result), versions_section(result)]
    return "\n\n".join(part for part in parts if part)


def heading(result: Result) -> str:
    machine = result.machine
    peaks = [f"{name} {_tera(summary.peak(result.main, name))}" for name in _precisions(result.main)]
    bandwidth = spread([one.bandwidth for one in result.main.ceilings])
    copied = f"; memory bandwidth {bandwidth.median / 1e9:.1f} GB/s" if bandwidth else ""
    rounds = len({one.round for one in result.main.ceilings})
    return "\n".join(
        [
            f"Measured {result.date}, commit `{result.commit}`, {result.minutes:.0f} minutes, rounds: {rounds}, on",
            f"{machine.name}, {machine.threads} threads, {machine.memory_gib:.0f} GiB, Python {machine.python}.",
            f"Texts: {result.source}; {result.corpus:,} of them, {result.mean_tokens:.1f} wordpieces on average",
            "(MS MARCO: 75). Ceilings measured between the turns (median, lowest to highest):",
            f"GEMM {', '.join(peaks)}{copied}.",
        ]
    )


def target_table(targets: Iterable[Target]) -> str:
    rows = [(one.work, one.wanted, one.found, one.verdict) for one in targets]
    return "### Targets\n\n" + table(("", "target", "measured", ""), rows)


def bulk_section(result: Result) -> str:
    competition = result.main
    base = summary.entry_of(competition, BASE)
    share = "of the GEMM peak" if result.device == "cpu" else "MFU: of the GEMM peak"
    header = ("", "passages/s", "ratio to sentence-transformers fp32", share, "batch, threads", "cosine")
    text = f"### Bulk\n\n{table(header, [_bulk_row(one, competition, base) for one in competition.entries])}"
    for one in result.whole:
        text += f"\n\n{whole_line(one, competition)}"
    return text


def _bulk_row(entry: Entry, competition: Competition, base: Entry | None) -> tuple[str, ...]:
    if not entry.turns:
        return (entry.title, "failed", *[NONE] * 4)
    ratio = summary.times_as_fast(entry, base, summary.bulk_cost) if base else None
    mark = "" if summary.comparable(entry) else " (not comparable)"
    settings = f"{entry.batch or 'own'}, {entry.threads or 'own'}"
    return (
        _name(entry),
        f"{summary.passages_a_second(entry):,.1f}",
        _times(ratio),
        _percent(summary.of_peak(entry, competition, entry.precision)),
        settings,
        f"{entry.cosine:.5f}{mark}",
    )


def whole_line(one: Whole, competition: Competition) -> str:
    title = next(entry.title for entry in competition.entries if entry.name == one.name)
    return (
        f"The whole corpus at once, {title}: {one.passages:,} passages in {one.seconds:.1f} s, "
        f"{one.passages / one.seconds:,.1f} a second, {one.bulk_mib:,.0f} MiB at most."
    )


def query_section(result: Result) -> str:
    base = summary.entry_of(result.main, BASE)
    rows = []
    for entry in _finished(result.main):
        ratio = summary.times_as_fast(entry, base, summary.query_cost) if base else None
        many = summary.times_as_fast(entry, base, summary.queries_cost) if base else None
        rows.append(
            (
                _name(entry),
                f"{summary.quantile(entry, 0.5):.2f}",
                f"{summary.quantile(entry, 0.99):.2f}",
                _times(ratio),
                f"{median(turn.first_query_ms for turn in entry.turns):.0f}",
                f"{1e3 * median(summary.queries_cost(turn) for turn in entry.turns):.0f}",
                _times(many),
            )
        )
    header = ("", "p50, ms", "p99, ms", "ratio to st fp32 (p50)", "first one, ms", "64 at once, ms", "ratio to st fp32")
    return f"### A single query of 12 tokens, and 64 at once\n\n{table(header, rows)}"


def startup_section(result: Result) -> str:
    base = summary.entry_of(result.main, BASE)
    gpu = result.device != "cpu"
    rows = []
    for entry in _finished(result.main):
        ratio = summary.times_as_fast(entry, base, summary.startup_cost) if base else None
        cells = (
            _name(entry),
            f"{median(turn.startup_s for turn in entry.turns):.1f}",
            _times(ratio),
            f"{median(turn.load_s for turn in entry.turns):.1f}",
            f"{max(turn.peak_mib for turn in entry.turns):,.0f}",
            f"{max(turn.bulk_mib for turn in entry.turns):,.0f}",
        )
        rows.append((*cells, f"{max(turn.gpu_mib for turn in entry.turns):,.0f}") if gpu else cells)
    header = ("", "first vector, s", "ratio to st fp32", "of that loading, s", "peak memory, MiB", "while in bulk, MiB")
    return (
        "### Start-up to the first vector, and memory\n\n"
        f"{table((*header, 'GPU memory, MiB') if gpu else header, rows)}"
    )


def tokenizing_section(result: Result) -> str:
    found = result.tokenizing
    assert found is not None
    rows = []
    names = (("`encode_batch_fast`", found.batch_fast_s), ("ours, no word known", found.cold_s))
    for name, seconds in (*names, ("ours, words known", found.warm_s)):
        ratio = spread([theirs / own for own, theirs in zip(seconds, found.batch_fast_s, strict=True)])
        rows.append((name, f"{found.passages / median(seconds):,.0f}", _times(ratio)))
    intro = f"{found.passages:,} passages, one thread, CPU time; ids {'equal' if found.same else 'DIFFERENT'}."
    header = ("", "passages/s a core", "ratio to `encode_batch_fast`")
    return f"### Tokenising alone\n\n{intro}\n\n{table(header, rows)}"


def without_amx_section(competition: Competition) -> str:
    base = summary.entry_of(competition, BASE)
    rows = []
    for entry in _finished(competition):
        bulk = summary.times_as_fast(entry, base, summary.bulk_cost) if base else None
        query = summary.times_as_fast(entry, base, summary.query_cost) if base else None
        rate = f"{summary.passages_a_second(entry):,.1f}"
        share = _percent(summary.of_peak(entry, competition, entry.precision))
        rows.append((_name(entry), rate, _times(bulk), share, f"{summary.quantile(entry, 0.5):.2f}", _times(query)))
    header = ("", "passages/s", "ratio to st fp32", "of the fp32 GEMM peak", "query p50, ms", "ratio to st fp32")
    peak = _tera(summary.peak(competition, "fp32"))
    return f"### CPU without AMX: fp32 alone\n\nGEMM fp32 {peak}.\n\n{table(header, rows)}"


def failure_section(result: Result) -> str:
    competitions = [result.main, *([result.without_amx] if result.without_amx else [])]
    failures = dict.fromkeys(
        f"- {entry.title}: {entry.failure}" for one in competitions for entry in one.entries if entry.failure
    )
    return "### Failed\n\n" + "\n".join(failures) if failures else ""


def versions_section(result: Result) -> str:
    lines = []
    for environment, packages in sorted(result.packages.items()):
        versions = {name.lower(): version for name, version in packages.items()}
        listed = ", ".join(f"{name} {versions[name]}" for name in _TOLD if name in versions)
        lines.append(f"- {environment}: {listed}")
    return "### Versions\n\n" + "\n".join(lines) if lines else ""


def quick_lines(result: Result) -> list[str]:
    """One line per scenario: ours, and how many times as fast it is as sentence-transformers fp32."""
    competition = result.main
    base = summary.entry_of(competition, BASE)
    lines = []
    for entry in _finished(competition):
        if base is None or entry is base:
            continue
        costs = {"bulk": summary.bulk_cost, "query": summary.query_cost, "64 queries": summary.queries_cost}
        for name, cost in (costs | {"start-up": summary.startup_cost}).items():
            lines.append(f"{name:11} {entry.title:36} {_times(summary.times_as_fast(entry, base, cost))}")
        memory = [max(turn.peak_mib for turn in one.turns) for one in (entry, base)]
        lines.append(f"{'memory':11} {entry.title:36} {memory[1] / memory[0]:.2f}x, {memory[0]:,.0f} MiB at most")
    if result.tokenizing:
        found = result.tokenizing
        ratios = [theirs / own for own, theirs in zip(found.warm_s, found.batch_fast_s, strict=True)]
        same = "ids equal" if found.same else "ids DIFFERENT"
        lines.append(f"{'tokenising':11} {'ours, words known':36} {_times(spread(ratios))} encode_batch_fast, {same}")
    order = ("bulk", "query", "64 queries", "start-up", "memory", "tokenising")
    return sorted(lines, key=lambda line: order.index(line[:11].strip()))


def _finished(competition: Competition) -> list[Entry]:
    return [entry for entry in competition.entries if entry.turns]


def _precisions(competition: Competition) -> list[str]:
    return list(competition.ceilings[0].gemm) if competition.ceilings else []


def _name(entry: Entry) -> str:
    return f"**{entry.title}**" if entry.ours else entry.title


def _times(found: Spread | None) -> str:
    return f"{found.median:.2f} ({found.lowest:.2f} to {found.highest:.2f})" if found else NONE


def _percent(found: Spread | None) -> str:
    return f"{found.median:.0%}" if found else NONE


def _tera(found: Spread | None) -> str:
    if found is None:
        return NONE
    low, high = found.lowest / 1e12, found.highest / 1e12
    return f"{found.median / 1e12:.2f} TFLOP/s ({low:.2f} to {high:.2f})"
