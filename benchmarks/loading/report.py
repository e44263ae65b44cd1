"""A result as Markdown: the part between the markers of docs/performance.md, targets first."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks.loading.contestants import INGEST, LISTS, NUMPY, OURS
from benchmarks.loading.results import Entry, Result, Turn
from benchmarks.running.tables import Spread, spread, table

_TOLD = ("qdrant-client", "grpcio", "protobuf", "numpy", "langchain-qdrant", "langchain-core")


def render(result: Result) -> str:
    parts = [
        heading(result),
        target_table(result),
        main_table(result),
        failures(result),
        versions(result),
    ]
    return "\n\n".join(part for part in parts if part)


def heading(result: Result) -> str:
    machine = result.machine
    return (
        f"Measured {result.date}, commit `{result.commit}`, in {result.minutes:.0f} minutes, on {machine.name}, "
        f"{machine.threads} threads, {machine.memory_gib:.0f} GiB, Python {machine.python}; Qdrant {result.server} on "
        f"the same machine. {result.points:,} points of {result.dim} numbers and payloads of "
        f"{result.payload_bytes:.0f} bytes of JSON."
    )


def target_table(result: Result) -> str:
    ours, numpy, lists = (entry_of(result, name) for name in (OURS, NUMPY, LISTS))
    rows = [
        _judged("points/s", "≥ 1.3 x qdrant-client with numpy", ratio(numpy, ours, wall), least=1.3),
        _judged("points/s", "≥ 2 x qdrant-client with lists", ratio(lists, ours, wall), least=2.0),
        _judged("client CPU a point", "≤ 1/5 of qdrant-client with numpy", ratio(ours, numpy, client_cpu), most=0.2),
    ]
    judged = [row for row in rows if row]
    return table(["", "target", "found", ""], judged) if judged else ""


def main_table(result: Result) -> str:
    base = entry_of(result, NUMPY)
    rows = [_row(entry, base) for entry in result.entries if entry.turns]
    rows.append(_row(result.ceiling, base))
    header = ["", "points/s", "of qdrant-client's with numpy", "client CPU, µs a point", "server CPU, µs a point", ""]
    return table(header, rows)


def failures(result: Result) -> str:
    return "\n".join(f"{entry.title} failed: {entry.failure}" for entry in result.entries if entry.failure)


def versions(result: Result) -> str:
    told = [
        f"{environment}: {', '.join(f'{name} {found[name]}' for name in _TOLD if name in found)}"
        for environment, found in result.packages.items()
    ]
    return f"Versions: {'; '.join(told)}." if told else ""


def quick_lines(result: Result) -> list[str]:
    """One line per contestant."""
    lines = []
    for entry in [*result.entries, result.ceiling]:
        if entry.failure:
            lines.append(f"{entry.name:14} failed: {entry.failure}")
        if entry.turns:
            cpu = spread([client_cpu(turn) for turn in entry.turns])
            serving = spread([server_cpu(turn) for turn in entry.turns])
            rate = spread([1 / wall(turn) for turn in entry.turns])
            lines.append(
                f"{entry.name:14} {_shown(rate, '{:,.0f}')} points/s, client {_shown(cpu, '{:.1f}')} µs a point, "
                f"server {_shown(serving, '{:.1f}')}; batch {entry.batch}, parallel {entry.parallel}"
            )
    return lines


def entry_of(result: Result, name: str) -> Entry | None:
    """The entry of that name, if it finished a turn."""
    return next((entry for entry in result.entries if entry.name == name and entry.turns), None)


def wall(turn: Turn) -> float:
    """Seconds per point."""
    return turn.seconds / turn.points


def client_cpu(turn: Turn) -> float:
    """Microseconds per point."""
    return 1e6 * turn.client_cpu_s / turn.points


def server_cpu(turn: Turn) -> float:
    """Microseconds per point."""
    return 1e6 * turn.server_cpu_s / turn.points


def ratio(above: Entry | None, below: Entry | None, cost: Callable[[Turn], float]) -> Spread | None:
    """Ratios of the costs, round by round, so that whatever else the machine does in a round affects both sides."""
    if above is None or below is None:
        return None
    costs = {turn.round: cost(turn) for turn in below.turns}
    return spread([cost(turn) / costs[turn.round] for turn in above.turns if costs.get(turn.round)])


def _row(entry: Entry, base: Entry | None) -> list[str]:
    name = f"**{entry.title}**" if entry.name in (OURS, INGEST) else entry.title
    chosen = f"batch {entry.batch}, parallel {entry.parallel}" if entry.batch else ""
    if entry.turns and base and entry.turns[0].points < base.turns[0].points:
        chosen = f"{chosen}; {entry.turns[0].points:,} points".removeprefix("; ")
    return [
        name,
        f"{median(1 / wall(turn) for turn in entry.turns):,.0f}" if entry.turns else "-",
        _shown(ratio(base, entry, wall), "{:.2f}"),
        _shown(spread([client_cpu(turn) for turn in entry.turns]), "{:.1f}"),
        _shown(spread([server_cpu(turn) for turn in entry.turns]), "{:.1f}"),
        chosen,
    ]


def _judged(
    work: str,
    wanted: str,
    found: Spread | None,
    *,
    least: float = 0.0,
    most: float = float("inf"),
) -> list[str]:
    if found is None:
        return []
    verdict = "reached" if least <= found.median <= most else "not reached"
    return [work, wanted, _shown(found, "{:.2f}"), verdict]


def _shown(found: Spread | None, form: str) -> str:
    if found is None:
        return "-"
    return f"{form.format(found.median)} ({form.format(found.lowest)} to {form.format(found.highest)})"
