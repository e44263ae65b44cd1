"""A result as Markdown: the part between the markers of docs/performance.md, targets first."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.ingesting.contestants import OURS
from benchmarks.ingesting.results import AGAIN, EMBEDDED, SEARCHABLE, STARTED, STORED, VERIFIED, Entry, Result, Run
from benchmarks.ingesting.stages import TOKENS
from benchmarks.running.tables import Spread, spread, table

_WORKS = (STORED, EMBEDDED, AGAIN, VERIFIED, SEARCHABLE)
_TOLD = ("qdrant-client", "torch", "transformers", "sentence-transformers", "flash-attn", "langchain-qdrant")
_LAYERS = 6
_MIB_A_GB = 1e9 / 2**20


def render(result: Result) -> str:
    parts = [heading(result), targets(result), works(result), peers(result), stages(result), endings(result)]
    return "\n\n".join(part for part in parts if part)


def heading(result: Result) -> str:
    machine = result.machine
    model = "" if result.layers == _LAYERS else f" Its model has {result.layers} of TAS-B's six layers."
    workers = f" `--workers {result.workers}`." if result.workers else ""
    return (
        f"Measured {result.date}, commit `{result.commit}`, in {result.minutes:.0f} minutes, on {machine.name}, "
        f"{machine.threads} threads, {machine.memory_gib:.0f} GiB, Python {machine.python}; Qdrant {result.server} on "
        f"the same machine. {result.passages:,} passages in MS MARCO's format, {result.mean_tokens:.1f} wordpieces on "
        f"average ({result.source}).{model}{workers} Collections have {_counted(result.shards, 'shard')}."
    )


def targets(result: Result) -> str:
    """Those of a GPU are for a card like the H200 with 16 cores and the server beside it."""
    memory = [one.memory_mib / _MIB_A_GB for one in of(result, STORED)]
    if result.device == "cuda":
        starts = [one.seconds - one.busy_s for one in of(result, STARTED)]
        share = shares(result, STORED, _encoder(result))
        rows = [
            _least("text to stored", "≥ 50,000 passages/s", rates(result, STORED), 50_000),
            _least("text to stored", "≥ 0.7 of the encoder's own speed", share, 0.7, "{:.2f}"),
            _most("start-up", "≤ 8 s", starts, 8),
            _least("the same again, nothing new", "≥ 60,000 passages/s", rates(result, AGAIN), 60_000),
            _least("verify", "≥ 50,000 passages/s", rates(result, VERIFIED), 50_000),
            _least("embedded store", "≥ 15,000 passages/s", rates(result, EMBEDDED), 15_000),
        ]
    else:
        share = shares(result, STORED, min(result.stages.values(), default=0.0))
        rows = [_least("text to stored", "≥ 1/1.1 of the slowest stage alone", share, 1 / 1.1, "{:.2f}")]
    judged = [row for row in [*rows, _most("host memory", "≤ 6 GB", memory, 6)] if row]
    return table(["", "target", "found", ""], judged) if judged else ""


def works(result: Result) -> str:
    """Ours. A run's CPU beyond that of a short run is what its passages took."""
    rows = []
    for work in _WORKS:
        if not (runs := of(result, work)):
            continue
        each = [cpu for one in runs if (cpu := _cpu(result, one))] if work == STORED else []
        rows.append(
            [
                work,
                _shown(spread(rates(result, work)), "{:,.0f}"),
                _shown(spread(shares(result, work, _encoder(result))), "{:.2f}"),
                _shown(spread(shares(result, work, result.server_rate)), "{:.2f}"),
                f"{median(one.seconds for one in runs):.1f}",
                *(_shown(spread([cpu[part] for cpu in each]), "{:.0f}") for part in range(3)),
                str(max(one.processes for one in runs)),
                f"{max(one.memory_mib for one in runs):,.0f}",
            ]
        )
    header = ["", "passages/s", "of the encoder's own", "of the server's own", "the whole command, s"]
    header += ["CPU, µs a passage: main process", "its other processes", "the server", "processes", "memory, MiB"]
    return table(header, rows) if rows else ""


def peers(result: Result) -> str:
    rows = []
    for entry in result.entries:
        stored, searchable = ([one for one in entry.runs if one.work == work] for work in (STORED, SEARCHABLE))
        if not stored:
            continue
        name = f"**{entry.title}**" if entry.name == OURS else entry.title
        cpu = [
            (one.main_cpu_s + one.children_cpu_s) * 1e6 / one.passages
            if entry.name != OURS
            else sum((_cpu(result, one) or (0.0, 0.0, 0.0))[:2])
            for one in stored
        ]
        rows.append(
            [
                name,
                f"{median(_rate(one) for one in stored):,.0f}",
                _shown(_times(result, entry, STORED), "{:.2f}"),
                _shown(_times(result, entry, SEARCHABLE), "{:.2f}") if searchable else "-",
                _shown(spread(cpu), "{:,.0f}"),
                f"{stored[0].passages:,}",
            ]
        )
    header = ["", "text to stored, passages/s", "ours, times as fast", "to searchable, ours, times as fast"]
    return table([*header, "client CPU, µs a passage", "passages"], rows) if len(rows) > 1 else ""


def stages(result: Result) -> str:
    if not result.stages:
        return ""
    rows = [(name, f"{rate:,.0f}") for name, rate in result.stages.items()]
    if result.server_rate:
        rows.append(("the server: requests made beforehand", f"{result.server_rate:,.0f}"))
    return table(["each stage alone", "passages/s"], rows)


def endings(result: Result) -> str:
    """What failed, what there was no time for, and the versions."""
    lines = [f"{entry.title} failed: {entry.failure}" for entry in result.entries if entry.failure]
    if result.skipped:
        lines.append(f"There was no time for: {', '.join(result.skipped)}.")
    versions = [
        f"{name}: {', '.join(f'{package} {found[package]}' for package in _TOLD if package in found)}"
        for name, found in result.packages.items()
    ]
    if versions:
        lines.append(f"Versions: {'; '.join(versions)}.")
    return "\n\n".join(lines)


def quick_lines(result: Result) -> list[str]:
    """One line per stage, work and peer."""
    lines = [f"{name}: {rate:,.0f} passages/s" for name, rate in result.stages.items()]
    lines.append(f"the server alone: {result.server_rate:,.0f} points/s")
    for entry in result.entries:
        lines += [f"{entry.name} failed: {entry.failure}"] if entry.failure else []
        lines += [f"{entry.name}, {one.work}: {_rate(one):,.0f} passages/s" for one in entry.runs]
    return lines


def of(result: Result, work: str) -> list[Run]:
    """Our runs of that work."""
    return [one for entry in result.entries if entry.name == OURS for one in entry.runs if one.work == work]


def rates(result: Result, work: str) -> list[float]:
    return [_rate(one) for one in of(result, work)]


def shares(result: Result, work: str, whole: float) -> list[float]:
    return [rate / whole for rate in rates(result, work)] if whole else []


def _rate(run: Run) -> float:
    return run.passages / run.busy_s if run.busy_s else 0.0


def _encoder(result: Result) -> float:
    return result.stages.get(TOKENS, 0.0)


def _times(result: Result, entry: Entry, work: str) -> Spread | None:
    """How many times as fast ours was, round by round: what else the machine did in a round affects both."""
    ours = {one.round: _rate(one) for one in of(result, work)}
    theirs = [one for one in entry.runs if one.work == work and one.round in ours and _rate(one)]
    return spread([ours[one.round] / _rate(one) for one in theirs])


def _cpu(result: Result, run: Run) -> tuple[float, float, float] | None:
    """µs a passage of the main process, the others, and the server: what the run took beyond a start of its round."""
    start = next((one for one in of(result, STARTED) if one.round == run.round), None)
    if start is None or run.passages <= start.passages:
        return None
    more = 1e6 / (run.passages - start.passages)
    return (
        more * (run.main_cpu_s - start.main_cpu_s),
        more * (run.children_cpu_s - start.children_cpu_s),
        more * (run.server_cpu_s - start.server_cpu_s),
    )


def _least(work: str, wanted: str, found: Sequence[float], least: float, form: str = "{:,.0f}") -> list[str]:
    told = spread(found)
    if told is None:
        return []
    return [work, wanted, _shown(told, form), "reached" if told.median >= least else "not reached"]


def _most(work: str, wanted: str, found: Sequence[float], most: float) -> list[str]:
    told = spread(found)
    if told is None:
        return []
    return [work, wanted, _shown(told, "{:.1f}"), "reached" if told.median <= most else "not reached"]


def _shown(found: Spread | None, form: str) -> str:
    if found is None:
        return "-"
    if found.lowest == found.highest:
        return form.format(found.median)
    return f"{form.format(found.median)} ({form.format(found.lowest)} to {form.format(found.highest)})"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
